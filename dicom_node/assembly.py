"""When a study is complete: after a quiet period, when all that its source holds is here, or when somebody says so.

C-STORE has no signal for the end of a study. The state is in the rows alone, so a restart continues where it was, and
several assemblers on one database may run beside each other: the one UPDATE of `store.hand_over` lets exactly one of
them close a set of instances. The increment of the revision, the marks on its instances and what `on_complete` writes
(the workflow's queue entry) are one transaction: all of it happens, once, or nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from dicom_node import store
from dicom_node.spool import Spool
from dicom_node.store import Study, StudyState
from dicom_node.uploads import studies_with_uploads
from inference.errors import Failure, SettingRefusal, UsageRefusal

NOTHING_TO_READ = "The study holds no image: only reports, segmentations or documents were received."
HAND_OVER_TRIES = 10
"""For an explicit call while instances arrive: each lost try means that another one was committed in between."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssemblyRules:
    """Times in seconds. The defaults are ours; sources that send one study in several jobs may need longer ones."""

    quiet_period_s: float = 30.0
    """Without a word from the source, a study is complete this long after its last instance."""
    ask_after_s: float = 2.0
    """The source is asked for its count when nothing has arrived for this long."""
    ask_every_s: float = 10.0
    """And again after this long, while it holds more than has arrived."""
    expected_wait_s: float = 300.0
    """How long after the last instance a study that misses expected instances goes on, with a note."""
    poll_s: float = 0.5
    """How often the thread looks."""

    def __post_init__(self) -> None:
        """Refuse times that cannot be."""
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise SettingRefusal(f"{name} must be greater than 0 s, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Completion:
    """A study may go on."""

    expected_instances: int | None
    note: str | None


class Assembler:
    """Finds complete studies and hands each over once. `tick` and `complete_now` may be called from any thread."""

    def __init__(
        self,
        engine: Engine,
        spool: Spool,
        rules: AssemblyRules,
        on_complete: Callable[[Connection, str, int], None],
        expected_count: Callable[[str, str], int | None] | None = None,
        *,
        arriving: Callable[[], frozenset[str]] = frozenset,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Bring the parts together.

        Args:
            engine: the database of the rows.
            spool: the spool whose studies these are.
            rules: the times.
            on_complete: called with the open transaction, Study Instance UID and new revision; what it raises undoes
                the hand-over, which is then tried again.
            expected_count: asks a source (AE title, Study Instance UID) for its NumberOfStudyRelatedInstances; None
                when it does not know. Called outside any transaction; may take as long as a C-FIND takes.
            arriving: studies that an instance is arriving for right now (`Receiver.arriving_studies`).
            clock: seconds since the epoch.
        """
        self._engine = engine
        self._spool = spool
        self._rules = rules
        self._on_complete = on_complete
        self._expected_count = expected_count
        self._arriving = arriving
        self._clock = clock
        self._asked: dict[str, tuple[float, int | None]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="assembler", daemon=True)

    def start(self) -> None:
        """Look for complete studies until `stop`."""
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def tick(self, now: float) -> int:
        """Hand over every study that is complete at `now` (seconds since the epoch); returns how many.

        Raises:
            SQLAlchemyError: the studies could not be read. A study that cannot be handed over is logged, not raised.
        """
        with self._engine.connect() as connection:
            receiving = store.list_studies(connection, state=StudyState.RECEIVING)
            uploading = studies_with_uploads(connection)
        self._forget_all_but(receiving)
        arriving = self._arriving()
        waiting = [study for study in receiving if study.study_instance_uid not in arriving | uploading]
        return sum(self._consider(study, now) for study in waiting)

    def complete_now(self, study_instance_uid: str) -> int:
        """Hand a study over without waiting; returns its revision (the current one when nothing new has arrived).

        Raises:
            UsageRefusal: nothing of the study was received, or no image.
            Failure: instances arrive faster than they can be handed over, or are not in the object store yet.
        """
        for _ in range(HAND_OVER_TRIES):
            with self._engine.begin() as connection:
                study = store.study(connection, study_instance_uid)
                if study is None:
                    raise UsageRefusal(f"no instance of study {study_instance_uid} was received")
                if study_instance_uid in studies_with_uploads(connection):
                    raise Failure(f"study {study_instance_uid} is still on its way to the object store")
                if study.pending_images == 0:
                    if study.revision == 0:
                        raise UsageRefusal(f"study {study_instance_uid} cannot be read: {NOTHING_TO_READ}")
                    return study.revision
                completion = _Completion(expected_instances=study.expected_instances, note=None)
                revision = self._close(connection, study, completion)
            if revision is not None:
                return revision
        raise Failure(f"study {study_instance_uid} could not be closed: instances keep arriving")

    def _consider(self, study: Study, now: float) -> bool:
        """Whether the study was handed over."""
        if study.pending_images == 0:
            self._refuse_when_quiet(study, now)
            return False
        completion = self._completion(study, now)
        if completion is None:
            return False
        try:
            with self._engine.begin() as connection:
                revision = self._close(connection, study, completion)
        except Exception as error:  # noqa: BLE001 - one study that cannot be enqueued must not hold up the others
            detail = {"study": study.study_instance_uid, "error": type(error).__name__}
            log.error("hand_over_failed", extra=detail)  # noqa: TRY400 - a traceback may quote rows
            return False
        return revision is not None

    def _close(self, connection: Connection, study: Study, completion: _Completion) -> int | None:
        revision = store.hand_over(
            connection,
            study.study_instance_uid,
            last_received_at=study.last_received_at,
            expected_instances=completion.expected_instances,
            note=completion.note,
        )
        if revision is not None:
            self._on_complete(connection, study.study_instance_uid, revision)
            detail = {"study": study.study_instance_uid, "revision": revision, "instances": study.instance_count}
            log.info("study_complete", extra=detail)
        return revision

    def _completion(self, study: Study, now: float) -> _Completion | None:
        """How the study may go on at `now`, or None to wait."""
        quiet_s = now - study.last_received_at
        expected = self._expected(study, now, quiet_s)
        if expected is None:
            is_quiet = quiet_s >= self._rules.quiet_period_s
            return _Completion(expected_instances=None, note=None) if is_quiet else None
        if study.instance_count >= expected:
            return _Completion(expected_instances=expected, note=None)
        if quiet_s < self._rules.expected_wait_s:
            return None
        note = f"Only {study.instance_count} of the {expected} instances that the source holds were received."
        return _Completion(expected_instances=expected, note=note)

    def _expected(self, study: Study, now: float, quiet_s: float) -> int | None:
        """What the source holds, asked after the last arrival; None: it was not asked yet, or does not know.

        An answer from before the last arrival does not count: a source that is still being filled itself would make
        a study complete at every image.
        """
        if self._expected_count is None or quiet_s < self._rules.ask_after_s:
            return None
        asked_at, answer = self._asked.get(study.study_instance_uid, (0.0, None))
        is_fresh = asked_at > study.last_received_at and now - asked_at < self._rules.ask_every_s
        if not is_fresh:
            answer = self._expected_count(study.source_ae_title, study.study_instance_uid)
            self._asked[study.study_instance_uid] = (now, answer)
        if answer is None:
            return None
        with self._engine.connect() as connection:
            ours = store.delivered_results(connection, study.study_instance_uid)
        return max(answer - ours, 0)

    def _refuse_when_quiet(self, study: Study, now: float) -> None:
        if now - study.last_received_at < self._rules.quiet_period_s:
            return
        with self._engine.begin() as connection:
            store.refuse_receiving(
                connection,
                study.study_instance_uid,
                last_received_at=study.last_received_at,
                reason=NOTHING_TO_READ,
            )

    def _forget_all_but(self, receiving: list[Study]) -> None:
        uids = {study.study_instance_uid for study in receiving}
        self._asked = {uid: asked for uid, asked in self._asked.items() if uid in uids}

    def _run(self) -> None:
        while not self._stopping.wait(self._rules.poll_s):
            try:
                self.tick(self._clock())
            except SQLAlchemyError as error:
                log.warning("assembly_waits_for_database", extra={"error": type(error).__name__})
