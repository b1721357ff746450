"""Whether this node can do its work, question by question."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from inference.errors import BundleRefusal
from models.registry import list_bundles
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


def node_checks(node: Node) -> tuple[Check, ...]:
    """Database, receiver, worker, models."""
    try:
        with reading(node.engine) as connection:
            processes = list_processes(connection)
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
