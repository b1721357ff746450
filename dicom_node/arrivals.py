"""The rows of an arrival: the statements that a receiver executes for each instance, on the database's driver.

They follow the rules of dicom_node.store: the row of a study is touched first, studies in the order of their UIDs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple, cast

from sqlalchemy import ClauseElement, Connection, Dialect, String, bindparam, case, select
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler

from dicom_node.store import Instance, StudyState, insert_into
from dicom_node.tables import instances, studies
from dicom_node.verdicts import Verdict

ARRIVAL_STEP_S = 0.25
"""A study's last arrival is told to this step: two indexes hold it, which each image of a burst would write again."""


class RacedError(Exception):
    """Another receiver inserted one of these instances at the same moment; roll back and record again."""


def record_instances(connection: Connection, arrived: Sequence[Instance]) -> list[Verdict]:
    """Add instances and put their studies to receiving; returns STORED, DUPLICATE, REENCODED or CONFLICT for each.

    Only an image puts a study that was handed over already back to receiving: a report or a document that arrives late
    is kept and belongs to the next revision, and our own objects change nothing, so that no routing rule can loop.

    Raises:
        RacedError: see there; nothing of this transaction may be committed.
        SQLAlchemyError: the database refused.
    """
    cursor = connection.connection.cursor()
    try:
        return record_by_driver(cursor, connection.dialect, arrived)
    finally:
        cursor.close()


def record_by_driver(cursor: DBAPICursor, dialect: Dialect, arrived: Sequence[Instance]) -> list[Verdict]:
    """The same on a cursor of the database's driver, in its open transaction: what is between costs more than it does.

    Raises:
        RacedError: see there; nothing of this transaction may be committed.
        SQLAlchemyError: the database refused.
    """
    table = _Table(cursor=cursor, dialect=dialect)
    held = table.held([instance.sop_instance_uid for instance in arrived])
    verdicts: list[Verdict] = []
    fresh: list[Instance] = []
    for instance in arrived:
        first = held.get(instance.sop_instance_uid)
        verdicts.append(Verdict.STORED if first is None else _compare(first, instance))
        if first is None:
            held[instance.sop_instance_uid] = _Content(instance.transfer_syntax_uid, instance.sha256)
            fresh.append(instance)
    for study_uid in sorted({instance.study_instance_uid for instance in fresh}):
        table.touch_study([instance for instance in fresh if instance.study_instance_uid == study_uid])
    for instance in fresh:
        table.insert(instance)
    return verdicts


def record_instance(connection: Connection, arrived: Instance) -> Verdict:
    """Add one instance; see record_instances."""
    return record_instances(connection, [arrived])[0]


class _Content(NamedTuple):
    transfer_syntax_uid: str
    sha256: str


def _compare(first: _Content, again: Instance) -> Verdict:
    """What a re-send of a SOP Instance UID is: the same bytes, another encoding, or a conflict."""
    if first.transfer_syntax_uid != again.transfer_syntax_uid:
        return Verdict.REENCODED
    return Verdict.DUPLICATE if first.sha256 == again.sha256 else Verdict.CONFLICT


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """The statements of an arrival."""

    cursor: DBAPICursor
    dialect: Dialect

    def held(self, sop_instance_uids: Sequence[str]) -> dict[str, _Content]:
        wanted = list(dict.fromkeys(sop_instance_uids))
        values = {f"uid_{number}": uid for number, uid in enumerate(wanted)}
        rows = _held_statement(self.dialect, len(wanted)).run(self.cursor, values)
        return {uid: _Content(syntax, sha256) for uid, syntax, sha256 in rows}

    def touch_study(self, arrived: Sequence[Instance]) -> None:
        """Make the study's row, or note the arrival in it; it is locked from here to the end of the transaction."""
        if any(instance.is_image for instance in arrived):
            touch = _Touch.OPEN
        else:
            touch = _Touch.KEEP if all(instance.ours for instance in arrived) else _Touch.PROLONG
        values = {
            "study_instance_uid": arrived[0].study_instance_uid,
            "state": StudyState.RECEIVING.value,
            "revision": 0,
            "first_received_at": min(instance.received_at for instance in arrived),
            "last_received_at": max(instance.received_at for instance in arrived),
            "source_ae_title": arrived[0].source_ae_title,
        }
        _touch_statement(self.dialect, touch).run(self.cursor, values)

    def insert(self, instance: Instance) -> None:
        """Insert; RETURNING tells whether it did: the row count of an INSERT is not known on PostgreSQL."""
        values = {name: getattr(instance, name) for name in Instance.__slots__}
        if not _insert_statement(self.dialect).run(self.cursor, values):
            raise RacedError


class _Touch(StrEnum):
    """What arrivals do to a study that has a row already."""

    OPEN = "open"
    """An image: receiving from now on, whatever it was."""
    PROLONG = "prolong"
    """Something else: a study that is receiving waits longer, any other stays as it is."""
    KEEP = "keep"
    """Our own objects: nothing."""


class _Prepared:
    """A statement as the driver takes it. Building and keying one for each instance costs more than executing it."""

    def __init__(self, statement: ClauseElement, dialect: Dialect) -> None:
        compiled = cast("SQLCompiler", statement.compile(dialect=dialect))
        self._sql = compiled.string
        self._defaults = dict(compiled.params)
        self._order = compiled.positiontup
        self._dialect = dialect
        self._error = dialect.loaded_dbapi.Error

    def run(self, cursor: DBAPICursor, values: Mapping[str, object]) -> Sequence[Any]:
        """Execute with these values; the rows that it returns.

        Raises:
            SQLAlchemyError: the database refused; it does not quote the values.
        """
        named = {**self._defaults, **values}
        parameters: Any = named if self._order is None else tuple(map(named.__getitem__, self._order))
        try:
            cursor.execute(self._sql, parameters)
            return cursor.fetchall() if cursor.description else ()
        except self._error as error:
            raise driver_failure(error, self._dialect) from error


def driver_failure(error: Exception, dialect: Dialect) -> BaseException:
    """What SQLAlchemy raises where the driver raises this."""
    base = dialect.loaded_dbapi.Error
    return DBAPIError.instance(None, None, error, base, hide_parameters=True, dialect=dialect)


@cache
def _touch_statement(dialect: Dialect, touch: _Touch) -> _Prepared:
    insert = insert_into(studies, dialect.name)
    key = [studies.c.study_instance_uid]
    names = ("study_instance_uid", "state", "revision", "first_received_at", "last_received_at", "source_ae_title")
    insert = insert.values({name: bindparam(name) for name in names})
    now = insert.excluded.last_received_at
    later = case((studies.c.last_received_at > now, studies.c.last_received_at), else_=now)
    is_open = studies.c.state == StudyState.RECEIVING.value
    is_news = studies.c.last_received_at < now - ARRIVAL_STEP_S
    if touch is _Touch.KEEP:
        return _Prepared(insert.on_conflict_do_nothing(index_elements=key), dialect)
    changes: dict[str, Any] = {"last_received_at": later}
    wanted = is_open & is_news
    if touch is _Touch.OPEN:
        changes |= {"state": StudyState.RECEIVING.value, "reason": case((is_open, studies.c.reason), else_=None)}
        wanted = ~is_open | is_news
    return _Prepared(insert.on_conflict_do_update(index_elements=key, set_=changes, where=wanted), dialect)


@cache
def _insert_statement(dialect: Dialect) -> _Prepared:
    insert = insert_into(instances, dialect.name).values({name: bindparam(name) for name in Instance.__slots__})
    insert = insert.on_conflict_do_nothing(index_elements=[instances.c.sop_instance_uid])
    return _Prepared(insert.returning(instances.c.sop_instance_uid), dialect)


@cache
def _held_statement(dialect: Dialect, count: int) -> _Prepared:
    columns = (instances.c.sop_instance_uid, instances.c.transfer_syntax_uid, instances.c.sha256)
    uids = [bindparam(f"uid_{number}", type_=String) for number in range(count)]
    return _Prepared(select(*columns).where(instances.c.sop_instance_uid.in_(uids)), dialect)
