"""A thread that judges open claims again when their material changed, and tells the webhook.

What changed is seen by times: runs that ended and reviews that were recorded since the last look, with a margin. A
claim whose material is the same as before is left as it is, so that looking twice changes nothing; after a start every
open claim is judged once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from sqlalchemy import Connection, select

from dicom_node.dicomweb.index import SearchIndex
from server.claims.evaluation import evaluate_claim
from server.claims.notices import Webhook, send_notices
from server.claims.patients import note_patients, record_number
from server.claims.retention import delete_old
from server.claims.rows import ClaimState, claim_row, claims_of_patient
from server.compose import Node
from server.database import reading
from server.events import fault
from server.tables import claims, reviews, runs

LOOK_S = 2.0
MARGIN_S = 60.0
"""How far back it looks again: a time is taken before its row is committed, and hosts' clocks differ."""


class ClaimWatch:
    """Keeps evidence up to date."""

    def __init__(self, node: Node, index: SearchIndex, webhook: Webhook | None) -> None:
        """Nothing runs before ``start``."""
        self._node, self._index, self._webhook = node, index, webhook
        self._stopping = threading.Event()
        self._since: float | None = None
        self._thread = threading.Thread(target=self._run, name="claims", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self, timeout_s: float = 15.0) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def look(self) -> None:
        """Judge again what may have changed, send what is due, and delete what is old."""
        began = time.time()
        for claim_id in self._changed():
            try:
                self._judge(claim_id)
            except Exception as error:  # noqa: BLE001 - a boundary: one claim holds up no other
                fault("claim_fault", error)
        self._since = began - MARGIN_S
        if self._webhook is not None:
            send_notices(self._node, self._webhook)
        if self._node.settings.claim_retention_days:
            delete_old(self._node, self._node.settings.claim_retention_days)

    def _judge(self, claim_id: str) -> None:
        with self._node.engine.begin() as connection:
            row = claim_row(connection, claim_id, lock=True)
            if row.state == ClaimState.OPEN:
                evaluate_claim(connection, self._node, row)

    def _changed(self) -> Iterable[str]:
        with reading(self._node.engine) as connection:
            if (
                connection.execute(select(claims.c.id).where(claims.c.state == ClaimState.OPEN).limit(1)).first()
                is None
            ):
                return ()
            studies = [] if self._since is None else _studies_since(connection, self._since)
        for study in studies:
            self._index.refresh(study)
        with self._node.engine.begin() as connection:
            numbers = note_patients(connection)
            if self._since is None:
                return list(connection.execute(select(claims.c.id).where(claims.c.state == ClaimState.OPEN)).scalars())
            numbers += [number for study in studies if (number := record_number(connection, study))]
            found = [claim for number in dict.fromkeys(numbers) for claim in claims_of_patient(connection, number)]
        return dict.fromkeys(found)

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_S):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - a boundary: one bad claim or a lost connection ends no thread
                fault("claims_fault", error)


def _studies_since(connection: Connection, since: float) -> list[str]:
    ended = select(runs.c.study_instance_uid).where(runs.c.finished_at >= since)
    reviewed = select(reviews.c.study_instance_uid).where(reviews.c.reviewed_at >= since)
    return sorted({*connection.execute(ended).scalars(), *connection.execute(reviewed).scalars()})
