"""Precision and recall of ``read_report`` on the corpus, and each statement that it affirms and the label does not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from benchmarks.report_reading.corpus import Key, Label, LabelledReport
from claims.reading import read_report
from claims.reading.chunks import combine
from claims.report import Acuity, Polarity, Report, SignedState, Statement, Topic

_RECENT = frozenset({Acuity.ACUTE, Acuity.SUBACUTE})


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts of one topic and polarity."""

    labelled: int = 0
    found: int = 0
    """Of those labelled."""
    asked: int = 0
    """Of those labelled and not found: left to a person as uncertain."""
    said: int = 0
    right: int = 0
    """Of those said."""

    @property
    def precision(self) -> float | None:
        """Share of what is said that is right."""
        return self.right / self.said if self.said else None

    @property
    def recall(self) -> float | None:
        """Share of what is labelled that is found."""
        return self.found / self.labelled if self.labelled else None


@dataclass(slots=True, kw_only=True)
class Score:
    """Counts over some reports."""

    reports: int = 0
    tallies: dict[tuple[Topic, Polarity], Tally] = field(default_factory=dict)
    falsely_affirmed: list[str] = field(default_factory=list)
    """Affirmed, and labelled otherwise or not at all: the errors that could support a claim."""
    falsely_recent: list[str] = field(default_factory=list)
    """A fracture called acute or subacute that is not labelled so."""
    ages: int = 0
    """Fractures affirmed and labelled so, with an age to compare."""
    ages_right: int = 0
    types: int = 0
    """Modic changes affirmed and labelled so."""
    types_right: int = 0
    misses: list[str] = field(default_factory=list)


def score(reports: Iterable[LabelledReport]) -> Score:
    """Read each report and compare."""
    total = Score()
    for report in reports:
        total.reports += 1
        said = effective(read_report(_as_report(report)).statements)
        _compare(total, report, {key: label for key, label in said.items() if key[1] in report.topics})
    return total


def effective(statements: Iterable[Statement]) -> dict[Key, Label]:
    """What a report comes to: AFFIRMED at a level before UNCERTAIN before NEGATED, of this study, after addenda."""
    by_key: dict[Key, list[Statement]] = {}
    for said in statements:
        if not said.superseded and said.is_of_study:
            by_key.setdefault((said.level, said.topic), []).append(said)
    return {key: _together(group) for key, group in by_key.items()}


def _together(group: list[Statement]) -> Label:
    order = (Polarity.AFFIRMED, Polarity.UNCERTAIN, Polarity.NEGATED)
    polarity = next(p for p in order if any(said.polarity is p for said in group))
    ages = [said.acuity for said in group if said.polarity is polarity and said.acuity is not Acuity.UNSTATED]
    kinds = sorted({kind for said in group if said.polarity is polarity for kind in said.kinds})
    return Label(polarity=polarity, acuity=combine(ages) if ages else Acuity.UNSTATED, kinds=tuple(kinds))


def _as_report(report: LabelledReport) -> Report:
    return Report(id=str(report.number), text=report.text, sha256="", format="text", signed=SignedState.UNKNOWN)


def _compare(total: Score, report: LabelledReport, said: Mapping[Key, Label]) -> None:
    for key, label in report.labels.items():
        tally = total.tallies.setdefault((key[1], label.polarity), Tally())
        tally.labelled += 1
        is_found = _has(said, key, label.polarity)
        tally.found += is_found
        if not is_found:
            tally.asked += _has(said, key, Polarity.UNCERTAIN)
            total.misses.append(f"{_where(report, key)}: labelled {label.polarity}, read {_read(said, key)}")
    for key, label in said.items():
        tally = total.tallies.setdefault((key[1], label.polarity), Tally())
        tally.said += 1
        is_right = _has(report.labels, key, label.polarity)
        tally.right += is_right
        if not is_right:
            line = f"{_where(report, key)}: read {label.polarity}, labelled {_read(report.labels, key)}"
            (total.falsely_affirmed if label.polarity is Polarity.AFFIRMED else total.misses).append(line)
        elif key[1] is Topic.FRACTURE and label.polarity is Polarity.AFFIRMED:
            _compare_age(total, report, key, label)
        elif key[1] is Topic.MODIC and label.polarity is Polarity.AFFIRMED:
            _compare_types(total, report, key, label)


def _compare_types(total: Score, report: LabelledReport, key: Key, label: Label) -> None:
    if key not in report.labels:
        return
    expected = report.labels[key].kinds
    total.types += 1
    total.types_right += expected == label.kinds
    if expected != label.kinds:
        line = f"{_where(report, key)}: type {_types(label)}, labelled {_types(report.labels[key])}"
        (total.misses if set(label.kinds) <= set(expected) else total.falsely_affirmed).append(line)


def _types(label: Label) -> str:
    return " and ".join(label.kinds) or "not named"


def _compare_age(total: Score, report: LabelledReport, key: Key, label: Label) -> None:
    expected = report.labels[key].acuity if key in report.labels else None
    if expected is None:
        return
    total.ages += 1
    total.ages_right += expected is label.acuity
    line = f"{_where(report, key)}: read {label.acuity}, labelled {expected}"
    if expected is not label.acuity:
        total.misses.append(line)
    if label.acuity in _RECENT and expected not in _RECENT:
        total.falsely_recent.append(line)


def _has(labels: Mapping[Key, Label], key: Key, polarity: Polarity) -> bool:
    """A denial of all levels holds for each; what names no level agrees with the same said of any level."""
    level, topic = key
    if (level, topic) in labels or (polarity is Polarity.AFFIRMED and level is not None):
        return (level, topic) in labels and labels[level, topic].polarity is polarity
    if level is None:
        return any(other[1] is topic and label.polarity is polarity for other, label in labels.items())
    return (None, topic) in labels and labels[None, topic].polarity is polarity


def _read(labels: Mapping[Key, Label], key: Key) -> str:
    return labels[key].polarity if key in labels else "nothing"


def _where(report: LabelledReport, key: Key) -> str:
    return f"{report.number:03d} {report.style}, {key[1]} at {key[0].name if key[0] else 'no named level'}"
