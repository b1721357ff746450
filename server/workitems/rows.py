"""The workitems of the runs of studies: each run has at least one, and they follow it in its own transactions.

A run takes over the workitems that wait for its study; where there is none, one of its own is made. So a killed
process leaves both or neither, and a workitem says what its run says.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, insert, select, update

from dicom_node.ups.states import UpsState
from server.tables import workitems

OPEN = (UpsState.SCHEDULED.value, UpsState.IN_PROGRESS.value)
EQUIPMENT_FAILURE, NOT_SUPPORTED, UNSPECIFIED = "110501", "110522", "110513"
"""Equipment failure, Object Types not supported, Discontinued for unspecified reason (PS3.16 CID 9300)."""


def queue_workitems(connection: Connection, study_instance_uid: str, revision: int, now: float) -> None:
    """Give a run the workitems that wait for its study, or one of its own."""
    waiting = (
        workitems.c.study_instance_uid == study_instance_uid,
        workitems.c.revision.is_(None),
        workitems.c.state == UpsState.SCHEDULED.value,
        workitems.c.is_for_us,
        workitems.c.is_ready,
    )
    taken = connection.execute(update(workitems).where(*waiting).values(revision=revision, changed_at=now))
    if taken.rowcount == 0:
        own = {
            "workitem_uid": new_uid(),
            "state": UpsState.SCHEDULED.value,
            "is_for_us": True,
            "is_ready": True,
            "study_instance_uid": study_instance_uid,
            "revision": revision,
            "document": "{}",
        }
        connection.execute(insert(workitems).values(**own, created_at=now, changed_at=now))


def start_workitems(connection: Connection, study_instance_uid: str, revision: int, now: float) -> None:
    """Claim the workitems of a run."""
    begun = {"state": UpsState.IN_PROGRESS.value, "started_at": now, "changed_at": now, "transaction_uid": new_uid()}
    of_run = _of_run(study_instance_uid, revision)
    scheduled = workitems.c.state == UpsState.SCHEDULED.value
    connection.execute(update(workitems).where(*of_run, scheduled).values(**begun))


def complete_workitems(connection: Connection, study_instance_uid: str, revision: int, now: float) -> None:
    """Complete the workitems of a run that made its results."""
    start_workitems(connection, study_instance_uid, revision, now)
    _finish(connection, study_instance_uid, revision, {"state": UpsState.COMPLETED.value, "finished_at": now})


def cancel_workitems(
    connection: Connection, study_instance_uid: str, revision: int, now: float, *, reason: str | None, code: str
) -> None:
    """Cancel the workitems of a run that made none, with the reason and its code."""
    start_workitems(connection, study_instance_uid, revision, now)  # PS3.4 CC.2.2.3: from SCHEDULED by way of it
    why = {"reason": reason, "discontinuation": code}
    _finish(connection, study_instance_uid, revision, {"state": UpsState.CANCELED.value, "finished_at": now, **why})


def _finish(connection: Connection, study_instance_uid: str, revision: int, values: dict[str, Any]) -> None:
    of_run = _of_run(study_instance_uid, revision)
    claimed = workitems.c.state == UpsState.IN_PROGRESS.value
    connection.execute(update(workitems).where(*of_run, claimed).values(**values, changed_at=values["finished_at"]))


def new_uid() -> str:
    """A UID of the kind 2.25 (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid4().int}"


def locked(connection: Connection, workitem_uid: str) -> Row[Any] | None:
    """One workitem, which nobody else changes before the transaction ends."""
    query = select(workitems).where(workitems.c.workitem_uid == workitem_uid).with_for_update()
    return connection.execute(query).one_or_none()


def open_count(connection: Connection, study_instance_uid: str, revision: int) -> int:
    """How many workitems of a run are neither completed nor canceled."""
    query = select(func.count()).where(*_of_run(study_instance_uid, revision), workitems.c.state.in_(OPEN))
    return int(connection.execute(query).scalar_one())


def _of_run(study_instance_uid: str, revision: int) -> Sequence[ColumnElement[bool]]:
    return (
        workitems.c.is_for_us,
        workitems.c.study_instance_uid == study_instance_uid,
        workitems.c.revision == revision,
    )
