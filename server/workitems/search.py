"""A search over the workitems of a node: the newest first, decided one after the other."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row

from dicom_node.ups.elements import Dataset
from dicom_node.ups.query import STATE, UID, WorkitemQuery
from server.tables import workitems
from server.workitems.shown import Shown, workitem_rows

ROWS_AT_ONCE = 200
_COLUMNS = {STATE: workitems.c.state, UID: workitems.c.workitem_uid}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One page of the workitems that match."""

    entries: list[Dataset]
    has_more: bool


def find(connection: Connection, shown: Shown, query: WorkitemQuery) -> Found:
    """The workitems that match."""
    with closing(_matching(connection, shown, query)) as matching:
        page = list(islice(matching, query.offset, query.offset + query.limit + 1))
    entries = [shown.whole(connection, row) for row in page[: query.limit]]
    return Found(entries=entries, has_more=len(page) > query.limit)


def _matching(connection: Connection, shown: Shown, query: WorkitemQuery) -> Generator[Row[Any]]:
    statement = workitem_rows().order_by(workitems.c.created_at.desc(), workitems.c.workitem_uid)
    for tag, value in query.exact.items():
        if tag in _COLUMNS:
            statement = statement.where(_COLUMNS[tag] == value)
    with connection.execution_options(yield_per=ROWS_AT_ONCE).execute(statement) as rows:
        yield from (row for row in rows if query.fits(shown.brief(row)))
