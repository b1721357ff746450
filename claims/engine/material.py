"""The material of one claim, sorted: what counts, what comes too early or too late, and what is not signed.

Everything is matched to the patient first; a study or report that is not surely the patient's refuses the whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from claims.claim import Claim, ClaimRefusal
from claims.criteria import CriteriaTable
from claims.matching import check_patient
from claims.report import Polarity, ReadReport, SignedState, Statement, Topic
from claims.study import Study
from inference.anatomy import Vertebra
from inference.findings import StudyFindings


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedReport:
    """A report with the day of its images and what they were made with, from itself or from its study."""

    read: ReadReport
    day: date | None
    modality: str | None

    @property
    def words(self) -> str:
        """Like ``the MR report of 2026-02-01``."""
        kind = f"{self.modality} report" if self.modality else "report"
        return f"the {kind} of {self.day}" if self.day else f"the {kind} without a date"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One standing statement, and where it stands."""

    report: DatedReport
    statement: Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What one claim is judged on."""

    claim: Claim
    table: CriteriaTable
    studies: tuple[Study, ...]
    """That count: of a kind that the policy takes, from onset (if known) up to the service, or of that day alone where
    the policy is about the procedure's own images; undated ones too."""
    findings: tuple[StudyFindings, ...]
    """Of those studies, oldest study first."""
    signed: tuple[DatedReport, ...]
    """Signed reports that count, oldest first, those without a date last."""
    early: tuple[DatedReport, ...]
    """Signed reports of images from before that."""
    late: tuple[DatedReport, ...]
    """Signed reports of images from after the service."""
    unsigned: tuple[DatedReport, ...]
    """Reports that are not signed, or of which nobody knows."""

    def studies_of(self, body: Vertebra | None) -> tuple[Study, ...]:
        """The studies that may show the body."""
        return tuple(s for s in self.studies if body is None or not s.levels or body in s.levels)

    def said(
        self, topic: Topic, body: Vertebra | None, reports: Iterable[DatedReport] | None = None
    ) -> tuple[Said, ...]:
        """What the newest reports that speak of the topic there say of it; undated ones are taken with them."""
        found = [
            Said(report=report, statement=statement)
            for report in (self.signed if reports is None else reports)
            for statement in standing(report.read)
            if statement.topic is topic and statement.level is body
        ]
        newest = max((said.report.day for said in found if said.report.day), default=None)
        return tuple(said for said in found if said.report.day in (newest, None))

    def about(self, topic: Topic, body: Vertebra | None) -> tuple[Said, ...]:
        """What is said of the topic there; a denial of it everywhere, where nothing is or the denial is newer."""
        own = self.said(topic, body)
        newest = max((one.report.day for one in own if one.report.day), default=None)
        general = [one for one in self.said(topic, None) if one.statement.polarity is Polarity.NEGATED]
        newer = [one for one in general if newest and one.report.day and one.report.day > newest]
        return tuple(newer) or own or tuple(general)

    def anywhere(self, topic: Topic) -> tuple[Said, ...]:
        """Everything that the reports that count say of the topic, at whatever level."""
        return tuple(
            Said(report=report, statement=statement)
            for report in self.signed
            for statement in standing(report.read)
            if statement.topic is topic
        )

    def levels_with(self, topic: Topic) -> tuple[Vertebra, ...]:
        """Every level at which the reports that count affirm the topic, from the head down."""
        found = {
            statement.level
            for report in self.signed
            for statement in standing(report.read)
            if statement.topic is topic and statement.polarity is Polarity.AFFIRMED and statement.level is not None
        }
        return tuple(sorted(found, key=lambda level: level.value))


def standing(read: ReadReport) -> tuple[Statement, ...]:
    """Statements of the images or the procedure reported that no addendum reversed."""
    return tuple(s for s in read.statements if not s.superseded and s.is_of_study)


def is_of_kind(said: Iterable[Said], kinds: Iterable[str]) -> bool | None:
    """Whether all that is affirmed is of these kinds; None where a kind is not named, or only some are."""
    wanted = set(kinds)
    named = [set(one.statement.kinds) for one in said if one.statement.polarity is Polarity.AFFIRMED]
    if not wanted or all(some and some <= wanted for some in named):
        return True
    return False if all(some and some.isdisjoint(wanted) for some in named) else None


def gather(
    claim: Claim,
    table: CriteriaTable,
    studies: Sequence[Study],
    findings: Sequence[StudyFindings],
    reports: Sequence[ReadReport],
) -> Material:
    """The material, sorted.

    Raises:
        ClaimRefusal: two studies, documents or reports with one identifier, findings of a study that is not given, or
            a study or report that is not surely the patient's.
    """
    _check_once([study.uid for study in studies], "study")
    _check_once([document.study_instance_uid for document in findings], "document of findings of one study")
    by_uid = {study.uid: study for study in studies}
    if any(document.study_instance_uid not in by_uid for document in findings):
        raise ClaimRefusal("Findings are given of a study that is not: its date and patient are needed with it.")
    for study in studies:
        check_patient(claim.patient, study.patient_identifiers, f"the {study.modality} study of {study.date}")
    dated = sorted((_dated(read, by_uid) for read in _each_once(reports)), key=_by_day)
    for report in dated:
        check_patient(claim.patient, _identifiers(report, by_uid), report.words)
    signed = [r for r in dated if r.read.report.signed is SignedState.SIGNED]
    counted = sorted((s for s in studies if _counts(s, claim, table)), key=lambda s: (s.date or date.max, s.uid))
    documents = {document.study_instance_uid: document for document in findings}
    return Material(
        claim=claim,
        table=table,
        studies=tuple(counted),
        findings=tuple(documents[study.uid] for study in counted if study.uid in documents),
        signed=tuple(r for r in signed if not _is_early(r.day, claim, table) and not _is_late(r.day, claim)),
        early=tuple(r for r in signed if _is_early(r.day, claim, table)),
        late=tuple(r for r in signed if _is_late(r.day, claim)),
        unsigned=tuple(r for r in dated if r not in signed and not _is_late(r.day, claim)),
    )


def _dated(read: ReadReport, studies: dict[str, Study]) -> DatedReport:
    report, study = read.report, studies.get(read.report.study_instance_uid or "")
    return DatedReport(
        read=read,
        day=report.study_date or (study.date if study else None),
        modality=report.modality or (study.modality if study else None),
    )


def _by_day(report: DatedReport) -> tuple[date, str]:
    return report.day or date.max, report.read.report.id


def _identifiers(report: DatedReport, studies: dict[str, Study]) -> tuple[tuple[str, str], ...]:
    """The report's own; where it carries none at all, those of the study that it is the report of."""
    own = report.read.report
    study = studies.get(own.study_instance_uid or "")
    return own.patient_identifiers or (study.patient_identifiers if study else ())


def _each_once(reports: Sequence[ReadReport]) -> list[ReadReport]:
    """The reports without repeats; ClaimRefusal where one id stands for two texts."""
    by_digest = {read.report.sha256: read for read in reports}
    _check_once([read.report.id for read in by_digest.values()], "report text of one number")
    return list(by_digest.values())


def _check_once(identifiers: list[str], what: str) -> None:
    if [name for name, count in Counter(identifiers).items() if count > 1]:
        raise ClaimRefusal(f"Each {what} is given once, got one of them twice; which of the two counts?")


def _counts(study: Study, claim: Claim, table: CriteriaTable) -> bool:
    is_in_time = not _is_early(study.date, claim, table) and not _is_late(study.date, claim)
    return is_in_time and study.modality in table.verdict.modalities


def _is_early(day: date | None, claim: Claim, table: CriteriaTable) -> bool:
    """Before the onset; of a procedure's own images and report, before the service."""
    first = claim.service_date if table.verdict.of_service_day else claim.onset_date
    return day is not None and first is not None and day < first


def _is_late(day: date | None, claim: Claim) -> bool:
    return day is not None and day > claim.service_date
