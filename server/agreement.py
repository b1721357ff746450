"""How often reviewers agree with the AI, and whether that, or what the AI says, has changed.

Counted is the newest review of each study. A finding that the AI did not assess counts as neither agreed nor overruled.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, func, select

from dicom_node.tables import studies
from inference.review.control_chart import Chart, charts, wilson
from server.tables import review_decisions, reviews

_D = review_decisions.c


class By(StrEnum):
    """What agreement can be told apart by."""

    MODEL = "model"
    VERSION = "version"
    QUESTION = "question"
    LEVEL = "level"
    """Where the AI said that the finding is."""
    SOURCE = "source"
    """AE title from which the study came."""


_COLUMNS: dict[By, ColumnElement[Any]] = {
    By.MODEL: _D.model,
    By.VERSION: _D.model_version,
    By.QUESTION: _D.question,
    By.LEVEL: _D.level,
    By.SOURCE: studies.c.source_ae_title,
}
_OVERRULED = ("rejected", "corrected")


class Signal(StrEnum):
    """What is watched, one yes or no per reviewed study, for each model and question."""

    OVERRULED = "overruled"
    """A reviewer rejected or corrected an answer, or added one."""
    PRESENT = "present"
    """The AI called something present."""
    NOT_ASSESSED = "not_assessed"
    """The AI answered nothing."""


def agreement(connection: Connection, by: Sequence[By]) -> list[dict[str, Any]]:
    """Counts with 95 % Wilson intervals, one entry for each group, in order of the group's names."""
    keys = [_COLUMNS[name].label(name.value) for name in by]
    answered = _D.ai_assessment.in_(("present", "absent"))
    overruled = answered & _D.status.in_(_OVERRULED)
    counts = {
        "answered": answered,
        "overruled": overruled,
        "present": _D.ai_assessment == "present",
        "present_overruled": overruled & (_D.ai_assessment == "present"),
        "absent": _D.ai_assessment == "absent",
        "absent_overruled": overruled & (_D.ai_assessment == "absent"),
        "not_assessed": _D.ai_assessment == "not_assessed",
        "not_assessed_answered": (_D.ai_assessment == "not_assessed") & (_D.status == "corrected"),
        "added": _D.status == "added",
    }
    query = _current(*keys, *(_count(condition).label(name) for name, condition in counts.items()))
    rows = connection.execute(query.group_by(*keys).order_by(*keys)).mappings()
    return [_entry(dict(row), by) for row in rows]


def _entry(row: dict[str, Any], by: Sequence[By]) -> dict[str, Any]:
    group = {name.value: row.pop(name.value) for name in by}
    rates = {
        "disagreement": _rate(row["overruled"], row["answered"]),
        "disagreement_of_present": _rate(row["present_overruled"], row["present"]),
        "disagreement_of_absent": _rate(row["absent_overruled"], row["absent"]),
    }
    return {**group, "counts": {name: int(count) for name, count in row.items()}, **rates}


def _rate(count: int, total: int) -> dict[str, float | None]:
    low, high = wilson(int(count), int(total))
    value = None if total == 0 else round(count / total, 4)
    return {"value": value, "low": round(low, 4), "high": round(high, 4)}


def decision_counts(connection: Connection) -> Iterator[tuple[str, str, str, str, int]]:
    """(model, version, question, status, count) over all reviews that hold."""
    keys = (_D.model, _D.model_version, _D.question, _D.status)
    for model, version, question, status, count in connection.execute(
        _current(*keys, func.count()).group_by(*keys).order_by(*keys)
    ):
        yield model or "", version or "", question, status, count


def drift(connection: Connection) -> list[tuple[str, str, str, Signal, Chart]]:
    """(model, version, question, signal, chart) of every signal that has studies after its reference."""
    series: dict[tuple[str, str, str, Signal], list[bool]] = defaultdict(list)
    for row in connection.execute(_per_study()):
        group = (row.model, row.model_version, row.question)
        series[*group, Signal.OVERRULED].append(row.overruled > 0)
        series[*group, Signal.PRESENT].append(row.present > 0)
        series[*group, Signal.NOT_ASSESSED].append(row.answered == 0)
    return [(*key, chart) for key, outcomes in series.items() for chart in charts(outcomes)]


class DriftWatch:
    """``drift``, computed anew only where a review was added: the metrics are asked for far more often than that."""

    def __init__(self) -> None:
        """Nothing is computed before the first call."""
        self._lock = threading.Lock()
        self._reviews = -1
        self._found: list[tuple[str, str, str, Signal, Chart]] = []

    def __call__(self, connection: Connection) -> list[tuple[str, str, str, Signal, Chart]]:
        """The charts as they are now."""
        with self._lock:
            count = connection.execute(select(func.count()).select_from(reviews)).scalar_one()
            if count != self._reviews:
                self._found, self._reviews = drift(connection), count
            return self._found


def _per_study() -> Select[Any]:
    """One row for each reviewed study, model and question, in order of the reviews."""
    keys = (_D.study_instance_uid, _D.model, _D.model_version, _D.question)
    counts = (
        _count(_D.status.in_((*_OVERRULED, "added"))).label("overruled"),
        _count(_D.ai_assessment == "present").label("present"),
        _count(_D.ai_assessment.in_(("present", "absent"))).label("answered"),
    )
    query = _current(*keys, *counts).where(_D.model.is_not(None)).group_by(*keys, reviews.c.reviewed_at)
    return query.order_by(reviews.c.reviewed_at, *keys)


def _count(condition: ColumnElement[bool]) -> ColumnElement[Any]:
    return func.sum(case((condition, 1), else_=0))


def _current(*columns: Any) -> Select[Any]:
    """Over the decisions of the newest review of each study."""
    newest = (
        select(reviews.c.study_instance_uid, func.max(reviews.c.number).label("number"))
        .group_by(reviews.c.study_instance_uid)
        .subquery()
    )
    joined = (
        review_decisions.join(
            newest,
            (newest.c.study_instance_uid == _D.study_instance_uid) & (newest.c.number == _D.number),
        )
        .join(reviews, (reviews.c.study_instance_uid == _D.study_instance_uid) & (reviews.c.number == _D.number))
        .join(studies, studies.c.study_instance_uid == _D.study_instance_uid)
    )
    return select(*columns).select_from(joined)
