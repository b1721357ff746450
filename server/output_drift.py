"""Whether what the models give has shifted, for each model version, question and source of studies.

Of every study that was read, reviewed or not: how often a question was not answered, how often something was called,
the worst grade on each scale, and each measurement (server.outputs). It sees what the models gave, not whether it was
right: an alarm says that outputs differ from those of the first studies of the same model version from the same source,
by other scanners, protocols or patients, or by a fault; silence does not say that the model is right.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from dicom_node.tables import studies
from inference.review.control_chart import Chart, charts
from inference.review.scales import SCALES
from inference.review.shift import Shift, grade_shift, mean_shift
from server.outputs import SEPARATOR
from server.tables import runs, worklist_entries

WHAT_IT_TELLS = (
    "These numbers compare what a model version gave for the newest studies of one source with what it gave for its "
    "first 200. An alarm tells that outputs have shifted (another scanner or protocol, other patients, or a fault), "
    "not that they are wrong; no alarm does not tell that they are right. That only reviews can tell."
)


class Watched(NamedTuple):
    """What one series of numbers is of."""

    model: str
    version: str
    question: str
    source: str
    """AE title from which the studies came."""
    signal: str
    """``not_assessed``, ``present``, ``grade SCALE`` or ``measured NAME``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputShift:
    """What has become of one series."""

    watched: Watched
    shift: Shift


def output_drift(connection: Connection) -> list[OutputShift]:
    """Every series that has studies after its reference."""
    series: dict[Watched, list[Any]] = defaultdict(list)
    for source, outputs in _outputs(connection):
        for key, given in outputs.items():
            model, version, question = key.split(SEPARATOR)
            for signal, value in _signals(given):
                series[Watched(model, version, question, source, signal)].append(value)
    return [
        OutputShift(watched=watched, shift=shift)
        for watched, values in sorted(series.items())
        for shift in _shifts(watched.signal, values)
    ]


def _outputs(connection: Connection) -> Iterable[tuple[str, dict[str, Any]]]:
    """(source, outputs) of each study, in the order in which they were read."""
    entry = worklist_entries.c
    of_run = (runs.c.study_instance_uid == entry.study_instance_uid) & (runs.c.revision == entry.findings_revision)
    joined = worklist_entries.join(runs, of_run).join(studies, studies.c.study_instance_uid == entry.study_instance_uid)
    query = select(studies.c.source_ae_title, entry.outputs).select_from(joined)
    for source, text in connection.execute(query.order_by(runs.c.finished_at, entry.study_instance_uid)):
        yield source, json.loads(text)


def _signals(given: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "not_assessed", not given["answered"]
    if given["answered"]:
        yield "present", given["present"]
    yield from ((f"grade {scale}", value) for scale, value in given["grades"].items())
    yield from ((f"measured {name}", value) for name, value in given["measurements"].items())


def _shifts(signal: str, values: list[Any]) -> Iterator[Shift]:
    kind, _, name = signal.partition(" ")
    if kind == "grade":
        yield from grade_shift(values, SCALES[name])
    elif kind == "measured":
        yield from mean_shift(values)
    else:
        yield from map(_of_rate, charts(values))


def _of_rate(chart: Chart) -> Shift:
    return Shift(
        direction=chart.direction,
        reference=chart.reference_rate,
        recent=chart.recent_rate,
        studies=chart.studies,
        value=chart.value,
        limit=chart.limit,
    )


class OutputWatch:
    """``output_drift``, computed anew only where a study was read since."""

    def __init__(self) -> None:
        """Nothing is computed before the first call."""
        self._lock = threading.Lock()
        self._marker: tuple[Any, ...] | None = None
        self._found: list[OutputShift] = []

    def __call__(self, connection: Connection) -> list[OutputShift]:
        """As it is now."""
        with self._lock:
            newest = select(func.count(), func.max(runs.c.finished_at)).select_from(runs)
            rows = connection.execute(select(func.count()).select_from(worklist_entries)).scalar_one()
            marker = (*connection.execute(newest).one(), rows)
            if marker != self._marker:
                self._found, self._marker = output_drift(connection), marker
            return self._found
