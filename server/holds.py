"""Legal hold: a person says that the images of a study are kept, whatever the rules of retention say, and why.

Each change is a row of the audit trail, in the transaction that makes it, with who and why.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from dicom_node.expiry import lock_study
from dicom_node.store import StudyState
from inference.errors import Refusal
from server.auth.audit.record import AuditKind, record_of
from server.auth.audit.trail import append
from server.auth.roles import Principal
from server.expired import images_are_gone
from server.operations import NotThere
from server.tables import study_holds

REASON_MAX_CHARACTERS = 500


def add_hold(
    connection: Connection, study_instance_uid: str, reason: str, principal: Principal, *, address: str = ""
) -> Row[Any]:
    """Hold a study; a hold that stands is given the new reason.

    Raises:
        NotThere: nothing of that study was received.
        Refusal: its images are gone, or no reason is given.
    """
    reason = " ".join(reason.split())
    if not 0 < len(reason) <= REASON_MAX_CHARACTERS:
        raise Refusal(f"A hold has a reason of 1 to {REASON_MAX_CHARACTERS} characters, got {len(reason)}.")
    state = lock_study(connection, study_instance_uid)
    if state is None:
        raise NotThere(f"No instance of study {study_instance_uid} was received.")
    if state == StudyState.EXPIRED:
        raise images_are_gone(study_instance_uid)
    connection.execute(delete(study_holds).where(study_holds.c.study_instance_uid == study_instance_uid))
    connection.execute(
        insert(study_holds).values(
            study_instance_uid=study_instance_uid,
            reason=reason,
            held_by=principal.subject,
            held_by_name=principal.display_name,
            held_at=time.time(),
        )
    )
    _audit(connection, study_instance_uid, f"held: {reason}", principal, address)
    return _hold(connection, study_instance_uid)


def remove_hold(
    connection: Connection, study_instance_uid: str, reason: str, principal: Principal, *, address: str = ""
) -> None:
    """End a hold.

    Raises:
        NotThere: the study is not held.
        Refusal: no reason is given.
    """
    reason = " ".join(reason.split())
    if not 0 < len(reason) <= REASON_MAX_CHARACTERS:
        raise Refusal(f"The end of a hold has a reason of 1 to {REASON_MAX_CHARACTERS} characters, got {len(reason)}.")
    gone = connection.execute(delete(study_holds).where(study_holds.c.study_instance_uid == study_instance_uid))
    if gone.rowcount == 0:
        raise NotThere(f"Study {study_instance_uid} is not held.")
    _audit(connection, study_instance_uid, f"released: {reason}", principal, address)


def list_holds(connection: Connection) -> list[Row[Any]]:
    """Every hold, the oldest first."""
    return list(connection.execute(select(study_holds).order_by(study_holds.c.held_at)).all())


def hold_of(connection: Connection, study_instance_uid: str) -> Row[Any] | None:
    """The hold of a study; None where there is none."""
    query = select(study_holds).where(study_holds.c.study_instance_uid == study_instance_uid)
    return connection.execute(query).one_or_none()


def _hold(connection: Connection, study_instance_uid: str) -> Row[Any]:
    held = hold_of(connection, study_instance_uid)
    assert held is not None, "just written"  # noqa: S101 - states the invariant
    return held


def _audit(connection: Connection, study: str, about: str, principal: Principal, address: str) -> None:
    append(connection, record_of(AuditKind.HOLD_CHANGED, principal, address=address, studies=(study,), about=about))
