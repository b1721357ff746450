"""Whether this node can do its work, question by question."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from inference.errors import BundleRefusal
from models.installed import list_bundles
from server.auth.audit.shipment import find_shipment
from server.auth.audit.trail import newest_number
from server.compose import Node
from server.database import Standing, reading, standing
from server.processes import Process, Role, list_processes

_USABLE = (Standing.CURRENT, Standing.NEWER)
_STANDING = {
    Standing.CURRENT: "The database is up to date.",
    Standing.NEWER: "The database is of a newer version that this one can use; upgrade this host soon.",
    Standing.OLDER: "The database has the tables of another version.",
    Standing.TOO_NEW: "The database is of a newer version that this one cannot use; upgrade this host.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question and its answer."""

    name: str
    is_ok: bool
    sentence: str
    is_warning: bool = False
    """Whether somebody should look although the node works."""


def node_checks(node: Node) -> tuple[Check, ...]:
    """Database, receiver, worker, models."""
    try:
        with reading(node.engine) as connection:
            processes = list_processes(connection)
            repository = check_repository(connection, node.settings.audit_repository)
    except SQLAlchemyError as error:
        unreachable = Check(
            name="database", is_ok=False, sentence=f"The database does not answer ({type(error).__name__})."
        )
        return (unreachable, check_models(node))
    return (
        check_database(node),
        _check_role(processes, Role.RECEIVE, "receiver"),
        _check_role(processes, Role.WORK, "worker"),
        check_models(node),
        *_warnings(processes),
        *repository,
    )


def check_database(node: Node) -> Check:
    """Whether the tables are those of this version."""
    found = standing(node.engine)
    return Check(name="database", is_ok=found in _USABLE, sentence=_STANDING[found])


def check_models(node: Node) -> Check:
    """Whether every installed model bundle is what its metadata says."""
    try:
        bundles = list_bundles(node.settings.site_bundles)
        for bundle in bundles:
            bundle.verify()
    except BundleRefusal as refusal:
        return Check(name="models", is_ok=False, sentence=refusal.sentence)
    names = ", ".join(bundle.identity.name for bundle in bundles)
    return Check(name="models", is_ok=bool(bundles), sentence=f"Verified: {names or 'no bundle is installed'}.")


def _check_role(processes: list[Process], role: Role, name: str) -> Check:
    now = time.time()
    alive = [process for process in processes if process.role is role and process.is_alive(now)]
    faults = [process.fault for process in alive if process.fault]
    if not alive:
        return Check(name=name, is_ok=False, sentence=f"No {name} gave a sign of life lately.")
    return Check(name=name, is_ok=not faults, sentence=faults[0] if faults else f"{len(alive)} running.")


def _warnings(processes: list[Process]) -> list[Check]:
    now = time.time()
    return [
        Check(name=f"trusted files of {process.role}", is_ok=True, is_warning=True, sentence=process.warning)
        for process in processes
        if process.warning and process.is_alive(now)
    ]


def check_repository(connection: Connection, repository: str) -> list[Check]:
    """Whether the audit record repository takes what it is sent; nothing where none is set."""
    if not repository:
        return []
    found = find_shipment(connection, repository)
    waiting = found.waiting if found is not None else newest_number(connection)
    sentence = (
        f"{waiting} records wait." if found is None or found.fault is None else f"{found.fault} {waiting} records wait."
    )
    return [
        Check(
            name="audit repository",
            is_ok=True,
            is_warning=found is not None and found.fault is not None,
            sentence=sentence,
        )
    ]
