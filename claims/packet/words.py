"""What the summary says in words: tables from values to marks and terms that read the same in grey.

Every state has a mark of its own shape, because colour is lost in print and to many eyes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from claims.claim import Patient
from claims.evidence import CriterionState, Verdict
from claims.report import Polarity, ReadReport, Report, SignedState, Statement, Topic
from inference.anatomy import Vertebra
from inference.findings import Absent, Finding, FindingReview, NotAssessed, Present, ReviewStatus, StudyFindings
from inference.findings.summary import describe_measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """A mark and the words that go with it."""

    mark: str
    words: str


VERDICTS: Mapping[Verdict, Marked] = {
    Verdict.SUPPORTS: Marked(mark="✔", words="Signed report names fracture and acuity sign"),
    Verdict.PARTIAL: Marked(mark="◐", words="Signed report names fracture, acuity sign missing"),
    Verdict.REPORT_MISSING: Marked(mark="□", words="Signed report missing"),
    Verdict.NO_EVIDENCE: Marked(mark="○", words="No study and no report"),
    Verdict.CONTRADICTS: Marked(mark="✖", words="Contradiction: a person must read both"),
}
STATES: Mapping[CriterionState, Marked] = {
    CriterionState.MET: Marked(mark="✔", words="met"),
    CriterionState.NOT_MET: Marked(mark="✖", words="not met"),
    CriterionState.NOT_DETERMINABLE: Marked(mark="?", words="not determinable"),
}
POLARITIES: Mapping[Polarity, str] = {
    Polarity.AFFIRMED: "named",
    Polarity.NEGATED: "negated",
    Polarity.UNCERTAIN: "uncertain",
}
SIGNED: Mapping[SignedState, str] = {
    SignedState.SIGNED: "signed",
    SignedState.UNSIGNED: "NOT SIGNED",
    SignedState.UNKNOWN: "signature not known",
}
REVIEWS: Mapping[ReviewStatus, str] = {
    ReviewStatus.ACCEPTED: "accepted",
    ReviewStatus.CORRECTED: "corrected",
    ReviewStatus.REJECTED: "rejected",
    ReviewStatus.ADDED: "added",
}
TOPICS: Mapping[Topic, str] = {
    Topic.FRACTURE: "fracture",
    Topic.EDEMA: "marrow oedema",
    Topic.OTHER_CAUSE: "another cause",
    Topic.AUGMENTED: "earlier augmentation",
}
"""What is quoted for a body, in this order; retropulsion is a criterion of its own."""
NOT_MEASURED = "not measured"


def day(when: date | None) -> str:
    """A date as ISO 8601, or that there is none."""
    return "date not known" if when is None else when.isoformat()


def moment(when: datetime) -> str:
    """A time to the minute with its zone; a report's own time has often none."""
    if when.tzinfo is None:
        return f"{when:%Y-%m-%d %H:%M}"
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def patient_line(patient: Patient) -> str:
    """Who the claim is for: name, birth date, sex, and the numbers that the claim carries."""
    name = ", ".join(filter(None, (patient.family_name, patient.given_name))) or "name not given"
    facts = (
        None if patient.birth_date is None else f"born {patient.birth_date.isoformat()}",
        patient.sex,
        patient.medical_record_number and f"MRN {patient.medical_record_number}",
        patient.member_id and f"member {patient.member_id}",
    )
    return " · ".join([name, *filter(None, facts)])


def person_name(name: str) -> str:
    """A DICOM person name to read: components of a group with spaces, groups one after the other."""
    groups = (" ".join(part for part in group.split("^") if part) for group in name.split("="))
    return " = ".join(group for group in groups if group) or "no name"


def answer(finding: Finding) -> str:
    """Present, absent, or not assessed and why."""
    match finding.assessment:
        case Present():
            return "present"
        case Absent():
            return "absent"
        case NotAssessed(sentence=sentence):
            return f"not assessed: {sentence}"


def height_loss(finding: Finding) -> tuple[str, str]:
    """The loss with its uncertainty, and how it was measured."""
    measured = finding.measurement("height_loss")
    if measured is None:
        return NOT_MEASURED, answer(finding)
    spread = "" if measured.uncertainty is None else f" ± {measured.uncertainty:.2g}"
    return f"{measured.value:.3g}{spread} %", measured.method


def oedema(finding: Finding) -> tuple[str, str]:
    """What the marrow looks like on a fat-suppressed series, and how that was measured or why not."""
    share = finding.measurement("marrow_oedema_share")
    acuity = next((grade.value for grade in finding.grades if grade.scale == "acuity"), None)
    if share is None:
        return acuity or "not assessed", finding.note or "No fat-suppressed series shows this body."
    return acuity or "no acuity told", f"{describe_measurement(share)}: {share.method}"


def review_line(findings: StudyFindings, finding: Finding) -> str:
    """Who reviewed a finding, what became of it and when; or that nobody has."""
    if findings.review is None or finding.review is None:
        return "AI finding not reviewed by a physician"
    return f"AI finding {_became(finding.review)} by {finding.review.reviewer}, {moment(findings.review.reviewed_at)}"


def _became(review: FindingReview) -> str:
    changed = f" ({', '.join(review.changed)})" if review.changed else ""
    return f"{REVIEWS[review.status]}{changed}"


def signature(report: Report) -> str:
    """Who stands by a report, and when they signed it."""
    who = f" by {report.signed_by}" if report.signed_by else ""
    when = f", {moment(report.signed_at)}" if report.signed_at else ""
    return f"{SIGNED[report.signed]}{who}{when}"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotedSentence:
    """A sentence of a report about a body, and what was read in it."""

    text: str
    section: str
    reading: str
    """Like ``fracture named (acute)``."""
    report: Report
    is_superseded: bool


def quoted(reports: Sequence[ReadReport], body: Vertebra) -> list[QuotedSentence]:
    """The sentences that the reports have on a body: what stands before what an addendum reversed, fracture first.

    A sentence that says several things is quoted once.
    """
    found: dict[tuple[str, int], QuotedSentence] = {}
    for read, said in sorted(
        _on(reports, body), key=lambda pair: (pair[1].superseded, list(TOPICS).index(pair[1].topic))
    ):
        key = (read.report.id, said.quote.start)
        earlier = found.get(key)
        reading = _reading(said) if earlier is None else f"{earlier.reading}; {_reading(said)}"
        found[key] = QuotedSentence(
            text=said.quote.text,
            section=said.quote.section.value,
            reading=reading,
            report=read.report,
            is_superseded=said.superseded,
        )
    return list(found.values())


def _on(reports: Sequence[ReadReport], body: Vertebra) -> list[tuple[ReadReport, Statement]]:
    return [(r, s) for r in reports for s in r.statements if s.level is body and s.topic in TOPICS]


def _reading(said: Statement) -> str:
    age = f" ({said.acuity.value})" if said.topic is Topic.FRACTURE and said.acuity.value != "unstated" else ""
    note = f" - {said.note}" if said.note else ""
    return f"{TOPICS[said.topic]} {POLARITIES[said.polarity]}{age}{note}"
