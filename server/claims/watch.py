"""A thread that judges open claims again when their material changed, and tells the webhook.

What changed is seen by times: studies that received something, runs that ended, reviews that were recorded and reports
that a feed sent since the last look, with a margin. A claim whose material is the same as before is left as it is, so
that looking twice changes nothing; after a start every open claim is judged once, and again when the search index has
everything that had been received.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from sqlalchemy import Connection, select

from dicom_node.dicomweb.index import SearchIndex
from dicom_node.tables import studies as received
from server.claims.evaluation import evaluate_claim
from server.claims.notices import Webhook, send_notices
from server.claims.patients import carry_over, not_indexed, record_numbers
from server.claims.received import read_ahead
from server.claims.retention import delete_old, delete_old_reports
from server.claims.rows import ClaimState, claim_row, claims_of_patient
from server.compose import Node
from server.database import reading
from server.events import fault
from server.tables import claims, received_reports, reviews, runs

LOOK_S = 2.0
INDEX_S = 1.0
"""How long it reads headers at a look, until the search index is complete for the first time."""
MARGIN_S = 60.0
"""How far back it looks again: a time is taken before its row is committed, and hosts' clocks differ."""


class ClaimWatch:
    """Keeps evidence up to date."""

    def __init__(self, node: Node, index: SearchIndex, webhook: Webhook | None) -> None:
        """Nothing runs before ``start``."""
        self._node, self._index, self._webhook = node, index, webhook
        self._stopping = threading.Event()
        self._since: float | None = None
        self._is_complete = False
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
        if self._since is None:
            with self._node.engine.begin() as connection:
                carry_over(connection)
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
        if self._node.settings.hl7_retention_days:
            delete_old_reports(self._node, self._node.settings.hl7_retention_days)

    def _judge(self, claim_id: str) -> None:
        with reading(self._node.engine) as connection:
            number = claim_row(connection, claim_id).medical_record_number
        read_ahead(self._node, number)
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
            if self._since is None or self._became_complete():
                return list(connection.execute(select(claims.c.id).where(claims.c.state == ClaimState.OPEN)).scalars())
            studies = _studies_since(connection, self._since)
            missing = not_indexed(connection, studies)
        for study in missing:
            self._index.refresh(study)
        with reading(self._node.engine) as connection:
            numbers = record_numbers(connection, studies) + _reported_since(connection, self._since)
            found = [claim for number in dict.fromkeys(numbers) for claim in claims_of_patient(connection, number)]
        return dict.fromkeys(found)

    def _became_complete(self) -> bool:
        """Whether the search index has just got everything, for the first time."""
        was, self._is_complete = self._is_complete, self._is_complete or self._index.refresh(budget_s=INDEX_S)
        return self._is_complete and not was

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_S):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - a boundary: one bad claim or a lost connection ends no thread
                fault("claims_fault", error)


def _studies_since(connection: Connection, since: float) -> list[str]:
    ended = select(runs.c.study_instance_uid).where(runs.c.finished_at >= since)
    reviewed = select(reviews.c.study_instance_uid).where(reviews.c.reviewed_at >= since)
    arrived = select(received.c.study_instance_uid).where(received.c.last_received_at >= since)
    return sorted({study for query in (ended, reviewed, arrived) for study in connection.execute(query).scalars()})


def _reported_since(connection: Connection, since: float) -> list[str]:
    query = select(received_reports.c.medical_record_number).where(received_reports.c.received_at >= since)
    return list(connection.execute(query.distinct()).scalars())
