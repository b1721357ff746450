"""The worklist: studies by priority, each with its state, what was found and reviewed, and where that went.

Filtered, sorted and paged by the database (server.worklist_index keeps what it sorts by), so that a list of many
thousands answers as quickly as a short one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, case, exists, func, literal, or_, select

from dicom_node import store
from dicom_node.results import OPEN_STATES, DeliveryState
from dicom_node.store import StudyState
from dicom_node.tables import deliveries, studies
from inference.errors import ReasonCode
from inference.findings import Question
from inference.findings.summary import NAMES
from server.patients import studies_of_patients
from server.priority import NOT_READ, PRIORITIES, Alarm
from server.tables import reviews, runs, worklist_entries
from server.worklist_index import has_word, rank_without_findings, said_of

RECENT_RUNS = 20
"""Runs whose time tells how long reading a study usually takes."""
IN_WORK = (StudyState.RECEIVING, StudyState.COMPLETE, StudyState.RUNNING)
_E, _S = worklist_entries.c, studies.c


class Sent(StrEnum):
    """What became of the objects of a study."""

    OPEN = "open"
    """Some are on their way."""
    DEAD = "dead"
    """Some could not be delivered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which studies are wanted; None takes every one."""

    priority: str | None = None
    """Code of a priority."""
    state: StudyState | None = None
    question: Question | None = None
    """Called present, as reviewed where it was."""
    not_assessed: ReasonCode | None = None
    reviewed: bool | None = None
    """Whether its newest findings were reviewed."""
    delivery: Sent | None = None
    received_after: float | None = None
    """Seconds since the epoch, of the latest arrival."""
    words: tuple[str, ...] = ()
    """Each in a UID, the source, the reason or what is said of the study, whatever the case."""
    with_patients: bool = False
    """Whether a word may be one of the patient's too: for those who may see images."""


def worklist(connection: Connection, wanted: Filter, *, limit: int, offset: int) -> dict[str, Any]:
    """The most urgent first, unreviewed before reviewed, then by arrival; ``next_offset`` is None on the last page."""
    rank = _rank()
    chosen = _chosen(connection, wanted, rank)
    order = (rank, _E.review.is_not(None), _S.last_received_at.desc(), _S.study_instance_uid)
    rows = connection.execute(chosen.order_by(*order).limit(limit + 1).offset(offset)).all()
    shown = rows[:limit]
    uids = [row.study_instance_uid for row in shown]
    of_study, sent = _runs(connection, uids), _deliveries(connection, uids)
    known, said, reviewed = store.studies_of(connection, uids), _said(connection, uids), _reviews(connection, uids)
    entries = [
        {
            **_entry(known[uid], of_study.get(uid, []), row.rank),
            **_of_findings(said.get(uid), reviewed.get(uid)),
            "deliveries": sent.get(uid, []),
        }
        for uid, row in zip(uids, shown, strict=True)
    ]
    return {
        "studies": entries,
        "offset": offset,
        "next_offset": offset + limit if len(rows) > limit else None,
        "counts": _counts(connection, chosen),
        "priorities": [{"code": p.code, "label": p.label, "alarm": p.alarm} for p in PRIORITIES],
        "reasons": [reason.value for reason in ReasonCode],
        "questions": [{"code": question.value, "name": NAMES[question]} for question in Question],
        "usual_inference_s": usual_inference_s(connection),
    }


def study_json(study: store.Study) -> dict[str, Any]:
    """What was received of a study, as JSON values; times in seconds since the epoch."""
    return {
        "study_instance_uid": study.study_instance_uid,
        "state": study.state.value,
        "reason": study.reason,
        "revision": study.revision,
        "instances": study.instance_count,
        "expected_instances": study.expected_instances,
        "first_received_at": study.first_received_at,
        "last_received_at": study.last_received_at,
        "source_ae_title": study.source_ae_title,
    }


def usual_inference_s(connection: Connection) -> float | None:
    """Median time of the latest runs, in seconds; None before the first."""
    query = select(runs.c.inference_s).where(runs.c.inference_s.is_not(None))
    seconds = connection.execute(query.order_by(runs.c.finished_at.desc()).limit(RECENT_RUNS)).scalars().all()
    return round(median(seconds), 1) if seconds else None


def _rank() -> ColumnElement[int]:
    """The place in the order: of the row by the study's state, or of a study without a row."""
    by_state = {state: _E.rank_not_read if state in NOT_READ else _E.rank_open for state in StudyState}
    by_state[StudyState.DONE] = by_state[StudyState.EXPIRED] = _E.rank_done
    return case(
        *(
            (_S.state == state.value, func.coalesce(column, literal(rank_without_findings(state))))
            for state, column in by_state.items()
        ),
        else_=literal(len(PRIORITIES)),
    )


def _chosen(connection: Connection, wanted: Filter, rank: ColumnElement[int]) -> Select[Any]:
    joined = studies.outerjoin(worklist_entries, _E.study_instance_uid == _S.study_instance_uid)
    columns = (_S.study_instance_uid, rank.label("rank"), _S.state, _E.review)
    conditions = [*_conditions(wanted, rank), *(_is_found(connection, wanted, word) for word in wanted.words)]
    return select(*columns).select_from(joined).where(*conditions)


def _conditions(wanted: Filter, rank: ColumnElement[int]) -> Iterator[ColumnElement[bool]]:
    if wanted.priority is not None:
        places = {priority.code: place for place, priority in enumerate(PRIORITIES, start=1)}
        yield rank == places.get(wanted.priority, 0)
    if wanted.state is not None:
        yield _S.state == wanted.state.value
    if wanted.question is not None:
        yield has_word(_E.called, wanted.question)
    if wanted.not_assessed is not None:
        yield has_word(_E.not_assessed, wanted.not_assessed)
    if wanted.reviewed is not None:
        yield _E.review.is_not(None) if wanted.reviewed else _E.review.is_(None)
    if wanted.delivery is not None:
        yield _is_sent(wanted.delivery)
    if wanted.received_after is not None:
        yield _S.last_received_at >= wanted.received_after


def _is_sent(sent: Sent) -> ColumnElement[bool]:
    states = [DeliveryState.DEAD.value] if sent is Sent.DEAD else [state.value for state in OPEN_STATES]
    return exists().where(deliveries.c.study_instance_uid == _S.study_instance_uid, deliveries.c.state.in_(states))


def _is_found(connection: Connection, wanted: Filter, word: str) -> ColumnElement[bool]:
    texts = (_S.study_instance_uid, _S.source_ae_title, _S.reason, _E.said)
    found = [func.lower(text).contains(word.lower(), autoescape=True) for text in texts]
    if wanted.with_patients:
        found.append(_S.study_instance_uid.in_(studies_of_patients(connection, word)))
    return or_(*found)


def _counts(connection: Connection, chosen: Select[Any]) -> dict[str, int]:
    """Of all pages together."""
    every = chosen.subquery()
    urgent = [place for place, priority in enumerate(PRIORITIES, start=1) if priority.alarm is Alarm.URGENT]
    counted = {
        "studies": func.count(),
        "urgent": func.sum(case((every.c.rank.in_(urgent), 1), else_=0)),
        "in_work": func.sum(case((every.c.state.in_([state.value for state in IN_WORK]), 1), else_=0)),
        "reviewed": func.count(every.c.review),
    }
    row = connection.execute(select(*counted.values()).select_from(every)).one()
    return {name: int(count or 0) for name, count in zip(counted, row, strict=True)}


def _runs(connection: Connection, uids: Sequence[str]) -> dict[str, list[Row[Any]]]:
    """Runs by study, oldest revision first."""
    query = select(runs).where(runs.c.study_instance_uid.in_(uids)).order_by(runs.c.revision)
    found: dict[str, list[Row[Any]]] = {}
    for row in connection.execute(query):
        found.setdefault(row.study_instance_uid, []).append(row)
    return found


def _deliveries(connection: Connection, uids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Counted objects by study, with revision, destination, state and one of the reasons."""
    key = (deliveries.c.study_instance_uid, deliveries.c.revision, deliveries.c.destination, deliveries.c.state)
    query = (
        select(*key, func.count().label("objects"), func.max(deliveries.c.reason).label("reason"))
        .where(deliveries.c.study_instance_uid.in_(uids))
        .group_by(*key)
        .order_by(*key)
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for row in connection.execute(query).mappings():
        values = dict(row)
        found.setdefault(values.pop("study_instance_uid"), []).append(values)
    return found


def _said(connection: Connection, uids: Sequence[str]) -> dict[str, Any]:
    """The rows of worklist_entries, by study."""
    query = select(worklist_entries).where(_E.study_instance_uid.in_(uids))
    return {row.study_instance_uid: row for row in connection.execute(query)}


def _reviews(connection: Connection, uids: Sequence[str]) -> dict[str, Any]:
    """The newest review of each study, of whichever revision."""
    columns = (reviews.c.study_instance_uid, reviews.c.number, reviews.c.revision, reviews.c.reviewed_at)
    query = select(*columns, reviews.c.reviewer_name).where(reviews.c.study_instance_uid.in_(uids))
    return {row.study_instance_uid: row for row in connection.execute(query.order_by(reviews.c.number))}


def _entry(study: store.Study, of_study: Sequence[Row[Any]], rank: int) -> dict[str, Any]:
    newest = of_study[-1] if of_study else None
    priority = PRIORITIES[rank - 1]
    return {
        **study_json(study),
        "queued_at": newest.queued_at if newest else None,
        "started_at": newest.started_at if newest else None,
        "finished_at": newest.finished_at if newest else None,
        "priority": {"rank": rank, "code": priority.code, "label": priority.label, "alarm": priority.alarm},
    }


def _of_findings(row: Row[Any] | None, review: Row[Any] | None) -> dict[str, Any]:
    """What is said of a study; of a review, ``holds`` is false where it is of an earlier revision."""
    said = said_of(None) if row is None else json.loads(row.said)
    number = None if row is None else row.review
    of_review = None if review is None else _review(review, holds=review.number == number)
    return {"findings_revision": None if row is None else row.findings_revision, **said, "review": of_review}


def _review(review: Row[Any], *, holds: bool) -> dict[str, Any]:
    return {
        "number": review.number,
        "revision": review.revision,
        "reviewer": review.reviewer_name,
        "reviewed_at": review.reviewed_at,
        "holds": holds,
    }
