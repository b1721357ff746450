"""What each model gave for one study, in numbers that can be watched over many studies (server.output_drift).

Per study, because findings of one study are not independent: whether a question was answered, and whether something was
called; the worst grade on each scale; and each measurement as its mean over the levels. No identity, no position.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from statistics import fmean
from typing import Any

from inference.findings import Finding, NotAssessed, Present, ReviewStatus, StudyFindings
from inference.review.scales import SCALES

SEPARATOR = "|"


def outputs_of(document: StudyFindings) -> dict[str, Any]:
    """By ``model|version|question``: ``present``, ``answered``, ``grades``, ``measurements``, as the AI gave them."""
    versions = {model.name: model.version for model in document.models}
    groups: dict[str, list[Finding]] = defaultdict(list)
    for finding in _as_given(document.findings):
        if finding.model in versions:
            key = SEPARATOR.join((finding.model, versions[finding.model], finding.question.value))
            groups[key].append(finding)
    return {key: _of_question(found) for key, found in sorted(groups.items())}


def _as_given(findings: Iterable[Finding]) -> Iterator[Finding]:
    """As the AI gave them, whatever a reviewer made of it."""
    for finding in findings:
        review = finding.review
        if review is None:
            yield finding
        elif review.status is not ReviewStatus.ADDED:
            yield review.original or finding


def _of_question(found: list[Finding]) -> dict[str, Any]:
    answered = [finding for finding in found if not isinstance(finding.assessment, NotAssessed)]
    values: dict[str, list[float]] = defaultdict(list)
    for finding in found:
        for measurement in finding.measurements:
            values[measurement.name].append(measurement.value)
    return {
        "present": any(isinstance(finding.assessment, Present) for finding in answered),
        "answered": bool(answered),
        "grades": _worst_grades(answered),
        "measurements": {name: round(fmean(numbers), 3) for name, numbers in sorted(values.items())},
    }


def _worst_grades(answered: list[Finding]) -> dict[str, str]:
    given: dict[str, list[str]] = defaultdict(list)
    for finding in answered:
        for grade in finding.grades:
            given[grade.scale].append(grade.value)
    known = {scale: values for scale, values in sorted(given.items()) if scale in SCALES}
    return {scale: max(values, key=SCALES[scale].index) for scale, values in known.items()}
