"""Claims, studies, reports and findings from the short words of a table that a coder reads."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from claims.claim import Claim, ClaimUse, Patient, ServiceLine
from claims.criteria import load_catalogue
from claims.engine import evaluate
from claims.evidence import ClaimEvidence
from claims.reading import read_report
from claims.report import ReadReport, Report, SignedState
from claims.study import RetainedView, Study, ViewPlane
from inference.anatomy import Numbering, Site, Vertebra
from inference.errors import ReasonCode
from inference.findings import (
    Absent,
    DocumentReview,
    Evidence,
    Finding,
    FindingReview,
    Geometry,
    GeometryType,
    Grade,
    Measurement,
    NotAssessed,
    Present,
    Question,
    Reviewer,
    ReviewStatus,
    StudyFindings,
)
from inference.geometry import FrameReference
from inference.provenance import tracking_uid

PATIENT = Patient(
    medical_record_number="MRN-1", family_name="Doe", given_name="Jane", birth_date=date(1950, 1, 31), sex="F"
)
IDENTIFIERS = (("medical_record_number", "MRN-1"), ("birth_date", "1950-01-31"))
ONSET, SERVICE, IMAGED = date(2026, 2, 1), date(2026, 3, 1), date(2026, 2, 10)
CATALOGUE = load_catalogue()
MODIFIERS = ("KX", "LT", "RT", "50")
ANSWERS = {
    "present": Present(),
    "absent": Absent(),
    "not-assessed": NotAssessed(reason=ReasonCode.TRUNCATION, sentence="It touches the edge."),
}


def claim_of(lines: str, **changes: Any) -> Claim:
    """A claim of ``22514 L1 M80.08XA; 22515x2 L2 L3 M80.08XA``."""
    made = tuple(_line(number, words.split()) for number, words in enumerate(lines.split(";"), start=1))
    claim = Claim(
        id="CLAIM-1",
        use=ClaimUse.CLAIM,
        patient=PATIENT,
        payer_id="MEDICARE",
        jurisdiction="TX",
        service_date=SERVICE,
        onset_date=ONSET,
        lines=made,
    )
    return replace(claim, **changes)


def _line(number: int, words: Sequence[str]) -> ServiceLine:
    code, _, units = words[0].partition("x")
    bodies = tuple(Vertebra[word] for word in words[1:] if word in Vertebra.__members__)
    modifiers = tuple(word for word in words[1:] if word in MODIFIERS)
    diagnoses = tuple(word for word in words[1:] if word not in Vertebra.__members__ and word not in MODIFIERS)
    return ServiceLine(
        number=number,
        procedure=code,
        units=int(units or 1),
        diagnoses=diagnoses,
        bodies=bodies,
        modifiers=modifiers,
    )


def study_of(words: str, number: int = 1, identifiers: tuple[tuple[str, str], ...] = IDENTIFIERS) -> Study:
    """A study of ``MR 2026-02-10``; further words: ``no-stir``, vertebrae that it shows, retained views."""
    modality, day, *more = words.split()
    return Study(
        uid=f"1.2.{number}",
        date=None if day == "undated" else date.fromisoformat(day),
        modality=modality,
        patient_identifiers=identifiers,
        levels=tuple(Vertebra[word] for word in more if word in Vertebra.__members__),
        has_fat_suppressed="no-stir" not in more if modality == "MR" else None,
        views=tuple(
            _view(place, word) for place, word in enumerate(more) if word.split("+")[0] in set(ViewPlane) | {"view"}
        ),
    )


def _view(place: int, word: str) -> RetainedView:
    plane, *shown = word.split("+")
    return RetainedView(
        sop_instance_uid=f"1.2.9.{place}",
        plane=None if plane == "view" else ViewPlane(plane),
        shows_contrast="contrast" in shown or None,
        shows_needle="needle" in shown or None,
    )


def report_of(words: str, number: int = 1, identifiers: tuple[tuple[str, str], ...] = IDENTIFIERS) -> ReadReport:
    """A report of ``MR 2026-02-10: FINDINGS: ...``; further words before the colon: ``unsigned``, ``unknown``."""
    head, _, text = words.partition(":")
    modality, day, *more = head.split()
    signed = next((SignedState(word) for word in more), SignedState.SIGNED)
    return read_report(
        Report(
            id=f"REPORT-{number}",
            text=text.strip(),
            sha256=hashlib.sha256(words.encode()).hexdigest(),
            format="text",
            signed=signed,
            study_date=None if day == "undated" else date.fromisoformat(day),
            modality=None if modality == "report" else modality,
            patient_identifiers=identifiers,
        )
    )


def findings_of(words: Iterable[str], study: Study) -> StudyFindings:
    """Findings of ``L1 present``; also ``acute-appearing``, ``genant=1``, ``height_loss=31``, ``reviewed``."""
    lines = [line.split() for line in words]
    is_reviewed = any("reviewed" in line for line in lines)
    reviewer = Reviewer(name="Roe^Rita", identifier="rr", organisation="Site")
    return StudyFindings(
        study_instance_uid=study.uid,
        series=(),
        numbering=Numbering(method="counted_from_sacrum", ambiguous=["ambiguous"] in lines, note=""),
        findings=tuple(_finding(line, study) for line in lines if line != ["ambiguous"]),
        models=(),
        software_version="1",
        review=DocumentReview(number=1, revision=1, reviewer=reviewer, reviewed_at=datetime(2026, 2, 11, tzinfo=UTC))
        if is_reviewed
        else None,
    )


def _finding(words: Sequence[str], study: Study) -> Finding:
    level, answer, *more = words
    values = dict(word.split("=") for word in more if "=" in word)
    question = Question.MODIC if "-" in level else Question.COMPRESSION_FRACTURE
    grades = [Grade(scale="acuity", value=word) for word in more if word.endswith("-appearing")]
    grades += [Grade(scale=scale, value=values.pop(scale)) for scale in ("genant", "modic") if scale in values]
    units = {"height_loss": "%", "canal_compromise": "%", "local_kyphosis": "deg"}
    source = FrameReference(sop_class_uid="1.2.840.10008.5.1.4.1.1.4", sop_instance_uid=f"{study.uid}.7", frame=1)
    point = Geometry(type=GeometryType.POINT, points=((10.0, 20.0),))
    return Finding(
        id=tracking_uid(study.uid, question, level),
        question=question,
        site=Site(level=level),
        assessment=ANSWERS[answer],
        grades=tuple(grades),
        measurements=tuple(
            Measurement(name=name, value=float(value), unit=units[name], uncertainty=4.0, method="test method")
            for name, value in values.items()
        ),
        evidence=(Evidence(source=source, geometry=point),),
        review=FindingReview(status=ReviewStatus.ACCEPTED, reviewer="Rita Roe") if "reviewed" in more else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case of the table."""

    name: str
    claim: str
    verdict: str
    studies: tuple[str, ...] = ("MR 2026-02-10",)
    reports: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    """Of the last study."""
    onset: str = ONSET.isoformat()
    policy: str | None = None
    bodies: str = ""
    says: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    asks_not: tuple[str, ...] = ()
    disagrees: tuple[str, ...] = ()
    criteria: tuple[str, ...] = ()

    def evaluated(self, *, without_findings: bool = False) -> ClaimEvidence:
        """The evidence."""
        onset = None if self.onset == "unknown" else date.fromisoformat(self.onset)
        claim = claim_of(self.claim, onset_date=onset, policy=self.policy)
        studies = [study_of(words, number) for number, words in enumerate(self.studies, start=1)]
        findings = [findings_of(self.findings, studies[-1])] if self.findings and not without_findings else []
        reports = [report_of(words, number) for number, words in enumerate(self.reports, start=1)]
        return evaluate(claim, CATALOGUE.table_for(claim), studies=studies, findings=findings, reports=reports)


def read_cases(path: Path) -> list[Case]:
    """The cases of a table."""
    rows = tomllib.loads(path.read_text("utf-8"))["case"]
    return [
        Case(**{word: tuple(value) if isinstance(value, list) else value for word, value in row.items()})
        for row in rows
    ]
