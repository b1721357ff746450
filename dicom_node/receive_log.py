"""The receive log: an acknowledged instance is durable after one sync, and becomes a file of its own later.

A process writes to several segments, one for each instance that is arriving. What was acknowledged waits in its
segment until the keeper, a thread of this process, has made it a file: in a gap between arrivals, or when much or old
work waits. A segment of which nothing waits is used again. Where no segment is free the caller writes a file at once,
as it does for what is larger than a segment: so the log bounds itself, and a disk without room for it is no fault.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dicom_node import log_segment
from dicom_node.durable import DurableTree
from dicom_node.file_meta import FileMeta
from dicom_node.log_record import BLOCK_BYTES, NO_NONCE, Found, Record
from dicom_node.log_segment import DamagedRecordError, Segment, copy_content
from dicom_node.logged_file import LoggedFile

BATCH = 32
"""Most instances that become files in one go; between two goes the keeper looks whether an instance arrives."""
SPARE_SHARE = 1.25
"""A segment is taken for the next instance when this many times the size of the last one fits."""
RETRY_S = 5.0
"""After the disk refused."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRules:
    """Sizes in bytes, times in seconds. Our choices: the first for a burst of 1 500 CT slices, the others by trial."""

    budget_bytes: int = 1 << 30
    """Most disk that the segments of one process take; 0: no log, every instance is a file at once."""
    first_segment_bytes: int = 8 << 20
    largest_segment_bytes: int = 64 << 20
    gap_s: float = 0.05
    """Nothing arrives for so long: time to make files."""
    patience_s: float = 10.0
    """Nothing waits longer, whatever arrives."""
    most_waiting: int = 8192
    """More instances do not wait, whatever their size: what is known of each is kept in memory, about 2 KiB."""


class ReceiveLog:
    """The segments of one process. Thread-safe."""

    def __init__(
        self,
        tree: DurableTree,
        folder: Path,
        new_tmp: Callable[[], Path],
        rules: LogRules,
        *,
        has_room: Callable[[int], bool] = lambda _: True,
        on_damage: Callable[[Record, Path], None] = lambda _record, _copy: None,
    ) -> None:
        """Bring the parts together; nothing is written before `start`.

        Args:
            tree: the spool's tree; the paths of records are below its root.
            folder: where the segments of every process are.
            new_tmp: a new path for an unfinished file.
            rules: sizes and times.
            has_room: whether the disk has room for so many bytes more.
            on_damage: told of a record whose bytes are not its own, with a copy of them, which it takes away.
        """
        self.folder = folder
        self.tree = tree
        self.new_tmp = new_tmp
        self._rules = rules
        self._has_room = has_room
        self._on_damage = on_damage
        self._lock = threading.Lock()
        self._free: list[Segment] = []
        self._used: list[Segment] = []
        self._busy: set[int] = set()  # descriptors of segments that an instance is arriving in
        self._left: list[Segment] = []  # of dead processes, not replayed yet
        self._typical_bytes = 0
        self._waiting_bytes = self._waiting_count = 0
        self._last_arrival = 0.0
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._refused_until = 0.0
        self._thread = threading.Thread(target=self._run, name="receive-log", daemon=True)

    def start(self) -> None:
        """Take over what dead processes left, and begin.

        Raises:
            OSError: the folder cannot be made.
        """
        self.tree.ensure(self.folder)
        log_segment.sweep(self.folder)
        self.adopt()
        self._wake.set()
        self._thread.start()

    def stop(self, grace_s: float) -> None:
        """Make files of what waits, within the grace time, and give every segment back to whoever comes next."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(grace_s)
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline and self._split_some():
            continue
        with self._lock:
            segments = [*self._free, *self._used, *self._left]
            self._free, self._used, self._left = [], [], []
        for segment in segments:
            segment.close()

    def adopt(self) -> int:
        """Lock the segments that no living process holds; returns how many of them hold records to replay."""
        found = [Segment.adopt(path) for path in sorted(self.folder.glob(f"*{log_segment.SUFFIX}"))]
        segments = [segment for segment in found if segment is not None]
        left = [segment for segment in segments if segment.nonce != NO_NONCE]
        with self._lock:
            self._free += [segment for segment in segments if segment.nonce == NO_NONCE]
            self._left += left
        return len(left)

    def left_behind(self) -> list[Segment]:
        """The segments of dead processes that hold records to replay."""
        with self._lock:
            return list(self._left)

    def take_over(self, segments: list[Segment], wanted: list[tuple[Segment, Found]]) -> None:
        """These segments of dead processes are replayed: make files of the wanted records, then use the segments."""
        with self._lock:
            for segment in segments:
                if segment not in self._left:
                    continue  # another thread was faster
                self._left.remove(segment)
                segment.tail = segment.size_bytes  # nothing more goes into it before it is begun again
                segment.waiting = [found for owner, found in wanted if owner is segment]
                self._count(segment.waiting, 1)
                self._used.append(segment)
        self._wake.set()

    def begin(self, meta: FileMeta) -> LoggedFile | None:
        """Begin an instance in a free place of the log; None when there is none.

        Raises:
            OSError: the disk does not take it.
        """
        with self._lock:
            segment = self._pick() if self._waiting_count < self._rules.most_waiting else None
            if segment is not None:
                self._busy.add(segment.descriptor)
        if segment is None:
            self._wake.set()
            return None
        try:
            if segment.nonce == NO_NONCE:
                segment.begin()
            return LoggedFile(self, segment, meta)
        except OSError:
            self.release(segment, None, is_wanted=False)
            raise

    def release(self, segment: Segment, found: Found | None, *, is_wanted: bool) -> None:
        """An instance has ended: nothing of it was kept, or it is to become a file, or it became one already."""
        with self._lock:
            self._busy.discard(segment.descriptor)
            self._last_arrival = time.monotonic()
            if found is not None:
                segment.tail = found.end
                self._typical_bytes = found.record.content_bytes
            was_idle = not self._waiting_bytes
            if found is not None and is_wanted:
                segment.waiting.append(found)
                self._count([found], 1)
        if was_idle:
            self._wake.set()  # otherwise the keeper looks by itself: no thread is woken for every instance

    def is_empty(self) -> bool:
        """Whether everything that was acknowledged is a file of its own."""
        with self._lock:
            return not (self._left or any(segment.waiting for segment in self._used))

    @property
    def arriving(self) -> int:
        """How many instances are arriving in the log."""
        with self._lock:
            return len(self._busy)

    def is_ready(self) -> bool:
        """Whether the next instance finds a place in the log."""
        with self._lock:
            return bool(self._free)

    def _count(self, founds: Sequence[Found], sign: int) -> None:
        self._waiting_bytes += sign * sum(found.end - found.at for found in founds)
        self._waiting_count += sign * len(founds)

    def _pick(self) -> Segment | None:
        room = max(SPARE_SHARE * self._typical_bytes, BLOCK_BYTES)
        for segment in reversed(self._used):
            if segment.descriptor not in self._busy and segment.room_bytes >= room:
                return segment
        if not self._free:
            return None
        segment = self._free.pop()
        self._used.append(segment)
        return segment

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(self._rules.gap_s if self._waiting_bytes else None)
            self._wake.clear()
            if (rest_s := self._refused_until - time.monotonic()) > 0:
                self._stopping.wait(rest_s)
                self._wake.set()
                continue
            self._grow()
            while self._is_time() and not self._stopping.is_set():
                if not self._split_some():
                    break

    def _grow(self) -> None:
        """Make one segment when none is free: small ones first, so that a node that receives little takes little."""
        with self._lock:
            total = sum(segment.size_bytes for segment in (*self._free, *self._used, *self._left))
            is_needed = not self._free
        rules = self._rules
        size = min(rules.largest_segment_bytes, max(rules.first_segment_bytes, total))
        if not is_needed or total + size > rules.budget_bytes or not self._has_room(2 * size):
            return
        try:
            segment = Segment.create(self.folder, size)
        except OSError as error:
            self._refuse(error)
            return
        with self._lock:
            self._free.append(segment)

    def _is_time(self) -> bool:
        with self._lock:
            oldest = min((s.waiting[0].record.instance.received_at for s in self._used if s.waiting), default=None)
            is_gap = not self._busy and time.monotonic() - self._last_arrival >= self._rules.gap_s
            is_much = (
                2 * self._waiting_bytes > self._rules.budget_bytes or 2 * self._waiting_count > self._rules.most_waiting
            )
        return oldest is not None and (is_gap or is_much or time.time() - oldest > self._rules.patience_s)

    def _split_some(self) -> bool:
        """Make files of some records of one segment; whether there was anything to do, and it worked."""
        with self._lock:
            segment = next((s for s in self._used if s.waiting), None)
            batch = segment.waiting[:BATCH] if segment else []
        if segment is None:
            self._reuse()
            return False
        try:
            self._make_files(segment, batch)
        except OSError as error:
            self._refuse(error)
            return False
        with self._lock:
            del segment.waiting[: len(batch)]
            self._count(batch, -1)
        self._reuse()
        return True

    def _make_files(self, segment: Segment, batch: list[Found]) -> None:
        moves: list[tuple[Path, Path]] = []
        try:
            for found in batch:
                target, tmp = self.tree.root / found.record.instance.path, self.new_tmp()
                if target.exists():
                    continue  # sent twice, or brought out by a reader; what stands at a path like this is whole
                moves.append((tmp, target))
                try:
                    copy_content(segment.descriptor, found, tmp)
                except DamagedRecordError:
                    log.error("log_record_damaged", extra={"segment": segment.path.name, "at": found.at})  # noqa: TRY400 - no traceback
                    self._on_damage(found.record, tmp)
                    moves.pop()
            self.tree.rename_all(moves)
        finally:
            for tmp, _ in moves:
                tmp.unlink(missing_ok=True)

    def _reuse(self) -> None:
        """Free the segments of which nothing is wanted any more."""
        with self._lock:
            done = [s for s in self._used if not s.waiting and s.descriptor not in self._busy]
            self._used = [s for s in self._used if s not in done]
        for number, segment in enumerate(done):
            try:
                segment.forget()
            except OSError as error:
                self._refuse(error)
                with self._lock:
                    self._used += done[number:]
                return
            segment.tail = BLOCK_BYTES
            with self._lock:
                self._free.append(segment)

    def _refuse(self, error: OSError) -> None:
        self._refused_until = time.monotonic() + RETRY_S
        log.warning("receive_log_waits_for_disk", extra={"error": type(error).__name__, "errno": error.errno})
