"""The steps of the workflows over a real node, with stand-ins for the child process and the destination."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from builders.tenure import Held
from dicom_node import arrivals, store
from dicom_node.delivery import OPEN_GATE, BackOff, Gate, SendOutcome, Verdict
from dicom_node.tables import deliveries, studies
from server.auth.audit.trail import entries_after
from server.compose import Node
from server.delivery_work import DeliverySteps
from server.operations import complete
from server.study_work import StudySteps

STUDY, SR, SEG = "1.2.3", "2.25.1", "2.25.2"
MADE = [
    {
        "role": role,
        "path": f"results/{role}.dcm",
        "sop_instance_uid": uid,
        "sop_class_uid": "1.2",
        "series_instance_uid": f"{uid}.1",
        "sha256": uid,
    }
    for role, uid in (("sr", SR), ("seg", SEG))
]
DONE = {"state": "done", "results": MADE, "seconds": 1.5, "findings_path": "results/f.json", "findings_sha256": "f"}


@dataclass(slots=True)
class Answering:
    """In place of the child process: gives the answers in turn."""

    answers: list[Any]
    requests: list[dict[str, Any]] = field(default_factory=list)

    def call(self, request: dict[str, Any]) -> Any:
        self.requests.append(request)
        return self.answers.pop(0)


@dataclass(slots=True)
class Peer:
    """In place of a destination: answers each object by its file name."""

    verdicts: dict[str, Verdict]
    sent: list[list[str]] = field(default_factory=list)

    def __call__(self, files: Sequence[Path], gate: Gate = OPEN_GATE) -> tuple[SendOutcome, ...]:
        self.sent.append([])
        return tuple(self._take(path, gate) for path in files)

    def _take(self, path: Path, gate: Gate) -> SendOutcome:
        gate.before(path)
        self.sent[-1].append(path.stem)
        outcome = SendOutcome(
            sop_instance_uid="x", verdict=self.verdicts[path.stem], status=None, sentence=f"said of {path.stem}"
        )
        gate.after(path, outcome)
        return outcome


@dataclass(slots=True)
class Desk:
    """Everything that the steps need."""

    node: Node
    client: Any
    peer: Peer
    kernel: Answering

    @property
    def study(self) -> StudySteps:
        return StudySteps(
            engine=self.node.engine,
            client=self.client,
            kernel=self.kernel,  # type: ignore[arg-type]
            destinations=("PACS",),
            attempts=2,
            tenure=Held(),
        )

    @property
    def delivery(self) -> DeliverySteps:
        return DeliverySteps(
            engine=self.node.engine,
            client=self.client,
            spool=self.node.spool,
            destinations={"PACS": self.peer},
            back_off=BackOff(first_s=10, longest_s=60, attempts=3),
            tenure=Held(),
        )

    def receive(self, sop_instance_uid: str) -> None:
        now = time.time()
        instance = store.Instance(
            sop_instance_uid=sop_instance_uid,
            study_instance_uid=STUDY,
            series_instance_uid="1.2.3.4",
            sop_class_uid="1.2.840.10008.5.1.4.1.1.4",
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            path=f"received/{sop_instance_uid}",
            size_bytes=1,
            sha256=sop_instance_uid,
            received_at=now,
            source_ae_title="SOURCE",
        )
        with self.node.engine.begin() as connection:
            arrivals.record_instance(connection, instance)

    def hand_over(self) -> int:
        return complete(self.node, self.client, STUDY)

    def queued(self) -> list[str]:
        flows = self.client.list_workflows(status=["ENQUEUED", "DELAYED"], load_input=False)
        return sorted(flow.workflow_id for flow in flows)

    def audited(self) -> list[tuple[str, str, int]]:
        with self.node.engine.connect() as connection:
            rows = [entry.record for entry in entries_after(connection, 0, limit=100)]
        assert {(row.subject, row.studies) for row in rows} <= {("PACS", (STUDY,))}
        return [(row.kind.value, row.outcome.value, row.instances) for row in rows]

    def study_row(self) -> Any:
        with self.node.engine.connect() as connection:
            return connection.execute(select(studies)).one()

    def parcels(self) -> dict[str, str]:
        with self.node.engine.connect() as connection:
            return {row.sop_instance_uid: row.state for row in connection.execute(select(deliveries))}

    def finish(self, revision: int = 1) -> None:
        self.study.begin(STUDY, revision, 1, 0)
        self.study.record(STUDY, revision, DONE)
