"""Which instances there are to retrieve: what was received and what this node made, never what was set aside."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    Table,
    and_,
    bindparam,
    func,
    literal,
    null,
    select,
    true,
    union_all,
)
from sqlalchemy.sql.selectable import CompoundSelect

from dicom_node.dicomweb.refusals import checked_uid, not_held
from dicom_node.spool import Spool
from dicom_node.tables import expirations, instances, results, web_headers, web_instances
from dicom_node.uploads import waiting_uploads

UIDS_AT_ONCE = 500
"""Values in one query: fewer than SQLite's default limit of 999."""

Reading = Callable[[], AbstractContextManager[Connection]]
"""Opens a transaction that only reads, and so waits for no writer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A study, a series of it, or an instance of that, by UID."""

    study: str
    series: str | None = None
    instance: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is no UID.

        Raises:
            WebRefusal: 400.
        """
        for value, name in ((self.study, "study"), (self.series, "series"), (self.instance, "instance")):
            if value is not None:
                checked_uid(value, f"{name}'s name")


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeLayout:
    """Where frames lie in a file that can be sent byte for byte: uncompressed, little endian, in whole bytes."""

    offset: int
    """Of the first byte."""
    frame_bytes: int
    frame_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One instance that can be retrieved."""

    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str | None
    """As it was received; None for an object of ours, whose file says it."""
    spool: Spool
    relative: str
    """Path below the spool's root."""
    sha256: str
    """Of what was stored; the same digest is the same content."""
    received_at: float
    """Or made at; seconds since the epoch."""
    layout: NativeLayout | None = None
    """As the index holds it; looked up where a single instance is asked for, and None where the file must be read."""

    @property
    def path(self) -> Path:
        """Its file; brought here first where it is only in the receive log or in the object store.

        Raises:
            ObjectStoreFailure: the object store does not answer.
        """
        return self.spool.path(self.relative)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """Looks instances up."""

    reading: Reading
    spool: Spool

    def of(self, place: Place) -> list[Held]:
        """The instances of a place, by series and in the order of their instance numbers where those are known.

        Raises:
            WebRefusal: 404, nothing of it is held.
        """
        with self.reading() as connection:
            found = _found(connection, place, self.spool)
        if not found:
            raise not_held("Nothing is held under this address.")
        return found

    def missing(self, study_instance_uid: str | None, limit: int) -> list[Held]:
        """Instances without a row in the search index, the first received first."""
        with self.reading() as connection:
            named = {} if study_instance_uid is None else {"study_instance_uid": study_instance_uid}
            rows = connection.execute(_without_row(tuple(named)), named | {"limit": limit}).mappings()
            return [_held(row, self.spool) for row in rows]

    def documents(self, found: Sequence[Held]) -> dict[str, bytes]:
        """What the index keeps of their headers (``metadata.packed``), by SOP Instance UID; at most UIDS_AT_ONCE."""
        files = {held.sop_instance_uid: held.relative for held in found}
        with self.reading() as connection:
            rows = connection.execute(_documents(), {"uids": list(files)}).all()
        return {uid: document for uid, path, document in rows if path == files[uid] and document is not None}

    def addresses(self, sop_instance_uids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Study and series of the instances that are held, by SOP Instance UID."""
        found: dict[str, tuple[str, str]] = {}
        with self.reading() as connection:
            for start in range(0, len(sop_instance_uids), UIDS_AT_ONCE):
                wanted = sop_instance_uids[start : start + UIDS_AT_ONCE]
                for table in (instances, results):
                    key = table.c.sop_instance_uid
                    query = select(key, table.c.study_instance_uid, table.c.series_instance_uid).where(key.in_(wanted))
                    found |= {uid: (study, series) for uid, study, series in connection.execute(query)}
        return found

    def counts(self) -> tuple[int, ...]:
        """How many instances were received, how many of them wait, how many were made, and how often some expired.

        The same numbers stand for the same instances: those only grow as long as none expires.
        """
        with self.reading() as connection:
            return waiting_uploads(connection).instances, *(
                int(connection.execute(select(func.count()).select_from(table)).scalar_one())
                for table in (instances, results, expirations)
            )


_UIDS = ("sop_instance_uid", "study_instance_uid", "series_instance_uid", "sop_class_uid")
_COLUMNS = (*_UIDS, "path", "sha256")


# Statements are built once: building one takes longer than SQLite takes to run it.


def _rows(table: Table, time: str, rank: int) -> Select[tuple[object, ...]]:
    columns = (table.c[name] for name in _COLUMNS)
    syntax: ColumnElement[Any] = table.c["transfer_syntax_uid"] if table is instances else null()
    return select(
        *columns, table.c[time].label("received_at"), syntax.label("transfer_syntax_uid"), literal(rank).label("rank")
    ).where(~table.c.waits_for_upload if table is instances else true())


def _everything(named: Sequence[str], *, without_row: bool = False) -> CompoundSelect[tuple[object, ...]]:
    """What was received and what was made, where the named columns have the values of the parameters so called."""
    parts = []
    for table, time, rank in ((instances, "received_at", 1), (results, "created_at", 0)):
        query = _rows(table, time, rank).where(*(table.c[name] == bindparam(name) for name in named))
        if without_row:
            known = select(web_instances.c.sop_instance_uid).where(
                web_instances.c.sop_instance_uid == table.c.sop_instance_uid
            )
            query = query.where(~known.exists())
        parts.append(query)
    return union_all(*parts)


@functools.cache
def _without_row(named: tuple[str, ...]) -> Select[tuple[object, ...]]:
    rows = _everything(named, without_row=True).subquery()
    return select(rows).order_by(rows.c.received_at, rows.c.sop_instance_uid).limit(bindparam("limit"))


@functools.cache
def _in_order(named: tuple[str, ...]) -> Select[tuple[object, ...]]:
    rows = _everything(named).subquery()
    number = func.coalesce(web_instances.c.number, 0)
    return (
        select(rows)
        .outerjoin(web_instances, web_instances.c.sop_instance_uid == rows.c.sop_instance_uid)
        .order_by(rows.c.rank, rows.c.series_instance_uid, number, rows.c.received_at, rows.c.sop_instance_uid)
    )


@functools.cache
def _single(named: tuple[str, ...]) -> Select[tuple[object, ...]]:
    """With the layout, where the index has it of the very file."""
    rows = _everything(named).subquery()
    header = web_headers.c
    is_same = and_(header.sop_instance_uid == rows.c.sop_instance_uid, header.path == rows.c.path)
    layout = (header.pixels_at, header.frame_bytes, header.frame_count)
    return select(rows, *layout).outerjoin(web_headers, is_same).order_by(rows.c.rank)


@functools.cache
def _documents() -> Select[Any]:
    header = web_headers.c
    wanted = header.sop_instance_uid.in_(bindparam("uids", expanding=True))
    return select(header.sop_instance_uid, header.path, header.document).where(wanted)


def _found(connection: Connection, place: Place, spool: Spool) -> list[Held]:
    """An object of ours that is in both tables (it came back after its row was lost) is the one that was made."""
    uids = {
        "study_instance_uid": place.study,
        "series_instance_uid": place.series,
        "sop_instance_uid": place.instance,
    }
    named = {name: value for name, value in uids.items() if value is not None}
    if place.instance is not None:
        row = connection.execute(_single(tuple(named)), named).mappings().first()
        return [] if row is None else [_held(row, spool, layout=_layout(row))]
    found: dict[str, Held] = {}
    for row in connection.execute(_in_order(tuple(named)), named).mappings():
        found.setdefault(row["sop_instance_uid"], _held(row, spool))
    return _received_first(list(found.values()))


def _received_first(found: Sequence[Held]) -> list[Held]:
    """By series, the one first received first; within a series as they come."""
    first: dict[str, float] = {}
    for held in found:
        first[held.series_instance_uid] = min(held.received_at, first.get(held.series_instance_uid, held.received_at))
    return sorted(found, key=lambda held: (first[held.series_instance_uid], held.series_instance_uid))


def _held(row: RowMapping, spool: Spool, layout: NativeLayout | None = None) -> Held:
    values: Mapping[str, Any] = {name: row[name] for name in (*_UIDS, "sha256", "received_at", "transfer_syntax_uid")}
    relative = str(row["path"])
    return Held(spool=spool, relative=relative, layout=layout, **values)


def _layout(row: RowMapping) -> NativeLayout | None:
    if row["pixels_at"] is None:
        return None
    return NativeLayout(offset=row["pixels_at"], frame_bytes=row["frame_bytes"], frame_count=row["frame_count"])
