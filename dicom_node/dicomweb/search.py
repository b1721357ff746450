"""QIDO-RS (PS3.18 10.6): studies, series and instances by their attributes."""

from __future__ import annotations

import functools
import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import BindParameter, Connection, RowMapping, Select, bindparam, func, select

from dicom_node.dicomweb.encoding import JsonDataset
from dicom_node.dicomweb.held import Holdings, Place
from dicom_node.dicomweb.index import SearchIndex, read_attributes
from dicom_node.dicomweb.levels import (
    ABOVE,
    AVAILABILITY,
    BY_DEFAULT,
    INDEXED,
    MODALITIES_IN_STUDY,
    RETRIEVE_URL,
    SERIES_INSTANCES,
    SERIES_UID,
    SOP_UID,
    STUDY_INSTANCES,
    STUDY_SERIES,
    STUDY_UID,
    Level,
)
from dicom_node.dicomweb.matching import matches
from dicom_node.dicomweb.query import Query
from dicom_node.tables import web_instances, web_series, web_studies

WAIT_FOR_INDEX_S = 5.0
"""How long a search that names no study waits for instances to be read that were received since the last one."""
ROWS_AT_ONCE = 500

FUZZY_WARNING = "The fuzzymatching parameter is not supported. Only literal matching has been performed."
MORE_WARNING = "There are additional results that can be requested."
"""Both as PS3.18 8.3.4 words them."""
INDEX_WARNING = "Instances were received that are not in the search index yet."


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The answer to a query."""

    entries: list[JsonDataset]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Answers queries."""

    index: SearchIndex
    holdings: Holdings

    def find(self, query: Query, base_url: str) -> Found:
        """The entries that match, in an order that does not depend on the query: the latest study first.

        Args:
            query: what is searched for.
            base_url: up to and without ``/studies``, for the Retrieve URLs.
        """
        is_complete = self._refresh(query)
        with self.holdings.reading() as connection:
            with closing(_matching(connection, query)) as matching:
                page = list(islice(matching, query.offset, query.offset + query.limit + 1))
            shown = page[: query.limit]
            counts = _Counts.of(connection, {row[STUDY_UID] for row in shown}, query.level)
        entries = [self._entry(row, query, counts, base_url) for row in shown]
        warnings = (
            (MORE_WARNING, len(page) > query.limit),
            (FUZZY_WARNING, query.fuzzy),
            (INDEX_WARNING, not is_complete),
        )
        return Found(entries=entries, warnings=tuple(text for text, holds in warnings if holds))

    def _refresh(self, query: Query) -> bool:
        studies = query.uids.get(STUDY_UID)
        if studies is None:
            return self.index.refresh(budget_s=WAIT_FOR_INDEX_S)
        return all(self.index.refresh(study) for study in studies)

    def _entry(self, row: _Row, query: Query, counts: _Counts, base_url: str) -> JsonDataset:
        level = query.level
        computed = counts.attributes(row, level) | {
            RETRIEVE_URL: _element("UR", _url(base_url, row, level)),
            AVAILABILITY: _element("CS", "ONLINE"),
        }
        known = row.attributes | computed
        wanted = {STUDY_UID, SERIES_UID, SOP_UID, *computed, *query.included}
        wanted.update(tag for above in ABOVE[level] for tag in BY_DEFAULT[above])
        absent = sorted(query.included - _INDEXED - computed.keys())
        if absent:
            known |= self._from_file(row, absent)
        return {tag: known[tag] for tag in sorted(known) if query.everything or tag in wanted}

    def _from_file(self, row: _Row, tags: Sequence[str]) -> JsonDataset:
        """Attributes that the index does not hold, of the instance or of the first one below the entry."""
        place = Place(study=row[STUDY_UID], series=row.uids.get(SERIES_UID), instance=row.uids.get(SOP_UID))
        return read_attributes(self.holdings.of(place)[0], tags)


_INDEXED = frozenset(tag for tags in INDEXED.values() for tag in tags)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One entry as the index holds it."""

    uids: Mapping[str, str]
    attributes: JsonDataset

    def __getitem__(self, tag: str) -> str:
        return self.uids[tag]


_UID_COLUMNS: Mapping[Level, Mapping[str, Any]] = {
    Level.STUDY: {STUDY_UID: web_studies.c.study_instance_uid},
    Level.SERIES: {STUDY_UID: web_series.c.study_instance_uid, SERIES_UID: web_series.c.series_instance_uid},
    Level.INSTANCE: {
        STUDY_UID: web_instances.c.study_instance_uid,
        SERIES_UID: web_instances.c.series_instance_uid,
        SOP_UID: web_instances.c.sop_instance_uid,
    },
}
_TABLES = {Level.STUDY: web_studies, Level.SERIES: web_series, Level.INSTANCE: web_instances}


# Statements are built once: building one takes longer than SQLite takes to run it.


@functools.cache
def _statement(level: Level, names: tuple[str, ...]) -> Select[tuple[object, ...]]:
    """By parameters: tags of UIDs, and MODALITIES_IN_STUDY; the value of each is a list."""
    columns = _UID_COLUMNS[level]
    texts = [_TABLES[above].c.attributes.label(above.value) for above in ABOVE[level]]
    statement = select(*(column.label(tag) for tag, column in columns.items()), *texts).select_from(_joined(level))
    for name in names:
        values: BindParameter[Any] = bindparam(name, expanding=True)
        if name == MODALITIES_IN_STUDY:
            has_one = select(web_series.c.study_instance_uid).where(web_series.c.modality.in_(values))
            statement = statement.where(columns[STUDY_UID].in_(has_one))
        else:
            statement = statement.where(columns[name].in_(values))
    return statement.order_by(*_order(level))


def _joined(level: Level) -> Any:
    joined: Any = web_studies
    if level is not Level.STUDY:
        joined = joined.join(web_series, web_series.c.study_instance_uid == web_studies.c.study_instance_uid)
    if level is Level.INSTANCE:
        same = (web_instances.c.study_instance_uid == web_series.c.study_instance_uid) & (
            web_instances.c.series_instance_uid == web_series.c.series_instance_uid
        )
        joined = joined.join(web_instances, same)
    return joined


def _order(level: Level) -> Iterator[Any]:
    yield web_studies.c.received_at.desc()
    yield web_studies.c.study_instance_uid
    if level is not Level.STUDY:
        yield web_series.c.number
        yield web_series.c.series_instance_uid
    if level is Level.INSTANCE:
        yield web_instances.c.number
        yield web_instances.c.sop_instance_uid


def _matching(connection: Connection, query: Query) -> Generator[_Row]:
    """Rows that match, read and decided one after the other: no more are read than the page needs."""
    values = {tag: list(uids) for tag, uids in query.uids.items()}
    if query.modalities:
        values[MODALITIES_IN_STUDY] = list(query.modalities)
    statement = _statement(query.level, tuple(values))
    with connection.execute(statement, values, execution_options={"yield_per": ROWS_AT_ONCE}) as rows:
        for row in rows.mappings():
            attributes = _attributes(row, query.level)
            if matches(query.matchers, attributes):
                yield _Row(uids={tag: str(row[tag]) for tag in _UID_COLUMNS[query.level]}, attributes=attributes)


def _attributes(row: RowMapping, level: Level) -> JsonDataset:
    merged: JsonDataset = {}
    for above in ABOVE[level]:
        merged |= json.loads(row[above.value])
    return merged


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counts:
    """What is computed from rows, for the studies of one page."""

    instances: Mapping[tuple[str, str], int]
    modalities: Mapping[str, Sequence[str]]
    series: Mapping[str, int]
    totals: Mapping[str, int]

    @classmethod
    def of(cls, connection: Connection, studies: Iterable[str], level: Level) -> _Counts:
        if level is Level.INSTANCE:
            return cls(instances={}, modalities={}, series={}, totals={})
        instances: dict[tuple[str, str], int] = {}
        modalities: dict[str, set[str]] = {}
        series: dict[str, int] = {}
        totals: dict[str, int] = {}
        for chunk in _chunks(sorted(studies)):
            for study, one, count in connection.execute(_instance_counts(), {"studies": chunk}):
                instances[study, one] = count
                series[study] = series.get(study, 0) + 1
                totals[study] = totals.get(study, 0) + count
            if level is not Level.STUDY:
                continue
            for study, modality in connection.execute(_modalities(), {"studies": chunk}):
                modalities.setdefault(study, set()).update({modality} - {""})
        by_study = {study: sorted(values) for study, values in modalities.items()}
        return cls(instances=instances, modalities=by_study, series=series, totals=totals)

    def attributes(self, row: _Row, level: Level) -> JsonDataset:
        study = row[STUDY_UID]
        match level:
            case Level.STUDY:
                return {
                    MODALITIES_IN_STUDY: _element("CS", *self.modalities.get(study, ())),
                    STUDY_SERIES: _element("IS", self.series.get(study, 0)),
                    STUDY_INSTANCES: _element("IS", self.totals.get(study, 0)),
                }
            case Level.SERIES:
                return {SERIES_INSTANCES: _element("IS", self.instances.get((study, row[SERIES_UID]), 0))}
            case Level.INSTANCE:
                return {}


_IN_STUDIES: BindParameter[Any] = bindparam("studies", expanding=True)


@functools.cache
def _instance_counts() -> Select[Any]:
    key = (web_instances.c.study_instance_uid, web_instances.c.series_instance_uid)
    return select(*key, func.count()).where(key[0].in_(_IN_STUDIES)).group_by(*key)


@functools.cache
def _modalities() -> Select[Any]:
    key = (web_series.c.study_instance_uid, web_series.c.modality)
    return select(*key).where(key[0].in_(_IN_STUDIES)).distinct()


def _chunks(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), ROWS_AT_ONCE):
        yield values[start : start + ROWS_AT_ONCE]


def _element(vr: str, *values: object) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def _url(base_url: str, row: _Row, level: Level) -> str:
    url = f"{base_url}/studies/{row[STUDY_UID]}"
    if level is not Level.STUDY:
        url += f"/series/{row[SERIES_UID]}"
    return f"{url}/instances/{row[SOP_UID]}" if level is Level.INSTANCE else url
