"""The report in words, as an Enhanced SR (TID 2000): for viewers that read no measurements, and for what has no mark.

Viewers show a document whose title is not that of a measurement report as a page of text: the name of each section and
the sentences in it (OHIF shows nothing else), so that every sentence says what it is about. It is what can be opened of
a study on which nothing is drawn: everything absent, or nothing assessed and why.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from highdicom.sr import ContentItem, EnhancedSR
from highdicom.sr.templates import DEFAULT_LANGUAGE, LanguageOfContentItemAndDescendants
from pydicom.dataset import Dataset

from dicom_node import code_table as table
from dicom_node.concept import Concept
from dicom_node.derived import ReportContext
from dicom_node.equipment import observers
from dicom_node.sr.items import CONTAINS, container, text_item
from dicom_node.sr.skeleton import ReportPlace, begin_report, complete_report
from dicom_node.sr.verification import verified_context
from dicom_node.sr.words import label, place_words, review_words, short_words
from dicom_node.uids import ObjectRole
from inference.errors import ReasonCode
from inference.findings import FIVE_QUESTIONS, Absent, Finding, NotAssessed, Present, SeriesUse, StudyFindings
from inference.findings.encode import encode
from inference.findings.summary import CALIBRATIONS, describe_measurement, summarise
from inference.provenance import SOFTWARE_NAME, ModelIdentity

SERIES_NUMBER = 9005
"""Of the first revision; later ones follow (derived.REVISION_STEP). A list begins with the SR, which is drawn."""
VERIFIED_SERIES_NUMBER = 9601
"""Of the first review of a study; later ones follow."""
LINE_BREAK = "\r\n"
"""PS3.5 6.1.3."""
_MOMENT = "%Y%m%d%H%M%S"
_UNSAID = ("", "NA", "unknown")
"""Plane and contrast of a series that has none, or whose header does not say."""
TEXT = "AI report in words"
"""Series Description: all that a viewer shows of a report before it is opened."""


def encode_text_report(
    findings: StudyFindings, *, sources: Mapping[str, Sequence[Dataset]], context: ReportContext
) -> Dataset:
    """Encode the findings of one study revision in words; reviewed ones as a verified report.

    Args:
        findings: The document.
        sources: Headers (no pixels needed) of the instances of every series of the study, by Series Instance UID.
        context: Who, when, and which revision; ``predecessor`` and ``earlier_verified`` are reports in words.

    Raises:
        ValueError: there is no source.
    """
    headers = [header for series in sorted(sources) for header in sources[series]]
    if not headers:
        raise ValueError("a report needs at least one source instance, got none")
    place = ReportPlace(role=_role(findings), series_number=_series_number(findings, context), headers=headers)
    report = begin_report(EnhancedSR, _content(findings, context), place=place, findings=findings, context=context)
    complete_report(report, headers, _described(findings, context))
    _list_after_the_measurements(report)
    return report


def _role(findings: StudyFindings) -> tuple[str, ...]:
    if findings.review is None:
        return (ObjectRole.TEXT_REPORT,)
    return (ObjectRole.VERIFIED_TEXT, hashlib.sha256(encode(findings)).hexdigest())


def _series_number(findings: StudyFindings, context: ReportContext) -> int:
    if findings.review is None:
        return context.series_number(SERIES_NUMBER)
    return VERIFIED_SERIES_NUMBER + findings.review.number - 1


def _described(findings: StudyFindings, context: ReportContext) -> ReportContext:
    """The context with what a viewer's list says of the report."""
    if findings.review is not None:
        verified = verified_context(context, findings.review)
        return replace(verified, description=f"In words: {verified.description}")
    revision = "" if context.revision == 1 else f", revision {context.revision}"
    return replace(context, description=f"{TEXT}{revision}: unverified, research use only")


def _list_after_the_measurements(report: Dataset) -> None:
    """Begin the series a second earlier: OHIF lists documents from the newest series on, and by UID at one time."""
    began = datetime.strptime(f"{report.SeriesDate}{report.SeriesTime}", _MOMENT) - timedelta(seconds=1)  # noqa: DTZ007 - its zone is the object's
    report.SeriesDate, report.SeriesTime = began.strftime(_MOMENT[:6]), began.strftime(_MOMENT[6:])


def _content(findings: StudyFindings, context: ReportContext) -> Dataset:
    summary, described = table.LN_STANDARD["55112-7"], table.DCM["121065"]
    finding = table.DCM["121071"]
    sections = (
        _section(summary, summary, _summary(findings, context.earlier_review)),
        _section(table.LN_STANDARD["59776-5"], finding, _findings(findings)),
        _section(table.OWN_EVALUATIONS["NOT_ASSESSED"], finding, _not_assessed(findings)),
        _section(table.LN_STANDARD["55111-9"], described, _procedure(findings)),
    )
    children: list[ContentItem] = [
        *LanguageOfContentItemAndDescendants(DEFAULT_LANGUAGE),
        *observers(context, None if findings.review is None else findings.review.reviewer),
        *sections,
    ]
    root = container(table.LN_STANDARD["18748-4"].code, children, template_id="2000")
    root.ContinuityOfContent = "SEPARATE"  # so that OHIF writes what each of its codes is of
    return root


def _section(heading: Concept, name: Concept, sentences: Iterable[str]) -> ContentItem:
    """One text, each sentence on a line of its own: of several texts, OHIF would make one paragraph."""
    lines = LINE_BREAK.join(f"- {sentence}" for sentence in sentences)
    return container(heading.code, [text_item(name.code, lines, CONTAINS)])


def _summary(findings: StudyFindings, earlier_review: str | None) -> Iterator[str]:
    """Research use, an earlier revision's review, whether the levels can be trusted, the five answers."""
    yield findings.notice
    if earlier_review is not None:
        yield earlier_review
    if findings.numbering.ambiguous:
        yield f"Level numbering uncertain: {findings.numbering.note}"
    yield from (summarise(question, findings) for question in FIVE_QUESTIONS)


def _findings(findings: StudyFindings) -> Iterator[str]:
    """What is present, each with its numbers; what is absent, each question once."""
    present = [finding for finding in findings.findings if isinstance(finding.assessment, Present)]
    yield from (_present(finding) for finding in present)
    absent: dict[str, list[Finding]] = {}
    for finding in findings.findings:
        if isinstance(finding.assessment, Absent):
            absent.setdefault(short_words(finding), []).append(finding)
    if not present:
        yield "Nothing was found present." if absent else "Nothing was assessed."
    yield from (f"{_capital(words)}: absent at {_places(where)}." for words, where in absent.items())
    yield from (review_words(f, f.review) for f in findings.findings if f.review and isinstance(f.assessment, Absent))


def _present(finding: Finding) -> str:
    parts = [f"{label(finding)}."]
    if finding.measurements:
        parts.append(f"Measured: {'; '.join(map(describe_measurement, finding.measurements))}.")
    if finding.probability is not None:
        parts.append(f"Probability {finding.probability:.2f}, {CALIBRATIONS[finding.calibration]}.")
    parts += [finding.note] if finding.note else []
    return " ".join(parts if finding.review is None else [*parts, review_words(finding, finding.review)])


def _not_assessed(findings: StudyFindings) -> Iterator[str]:
    """Each question and reason once, with its levels; what was rejected in a review says so itself."""
    open_: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings.findings:
        if isinstance(finding.assessment, NotAssessed):
            said = "" if finding.review is None else f" {review_words(finding, finding.review)}"
            why = f"{finding.assessment.sentence}{said}"
            open_.setdefault((short_words(finding), why), []).append(finding)
    for (words, why), where in open_.items():
        place = "" if where[0].site.level is None else f" at {_places(where)}"
        yield f"{_capital(words)}{place}: not assessed: {why}"
    if not open_:
        yield "Every question was answered."


def _procedure(findings: StudyFindings) -> Iterator[str]:
    """How levels were named, what was read and what was not, its limits, and by which models."""
    yield f"Level numbering: {findings.numbering.method.replace('_', ' ')}. {findings.numbering.note}"
    yield from map(_series, findings.series)
    yield from (sentence for s in findings.series for code, sentence in s.warnings if code is not ReasonCode.NUMBERING)
    yield from map(_model, findings.models)
    yield f"Encoded by {SOFTWARE_NAME} {findings.software_version}."


def _series(series: SeriesUse) -> str:
    what = " ".join(word for word in (series.modality, series.plane, series.contrast) if word not in _UNSAID)
    if series.refused is not None:
        return f"Series {what}: not read: {series.refused[1]}"
    return f"Series {what}: {'read by ' + ', '.join(series.used_by) if series.used_by else 'not read'}."


def _model(model: ModelIdentity) -> str:
    trained = f", trained on {model.training_data}" if model.training_data else ""
    return f"Model {model.name} {model.version}{trained}; weights sha256 {model.sha256[:16]}."


def _places(findings: Iterable[Finding]) -> str:
    return ", ".join(map(place_words, findings))


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
