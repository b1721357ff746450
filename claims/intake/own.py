"""Our own JSON of a claim, ``spine-claim/1``: the fields of Claim, and facts on the studies and reports beside it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from claims.claim import Claim, ClaimRefusal, ClaimUse, Patient, ServiceLine
from claims.level_field import Level
from claims.report import SignedState
from claims.study import RetainedView, Study, ViewPlane

SCHEMA = "spine-claim/1"


Words = Annotated[str, Field(max_length=200)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PatientFacts(_Part):
    """Who a study or a report is of."""

    medical_record_number: Words | None = None
    member_id: Words | None = None
    family_name: Words = ""
    given_name: Words = ""
    birth_date: dt.date | None = None
    sex: Literal["F", "M", "O"] | None = None

    @property
    def identifiers(self) -> tuple[tuple[str, str], ...]:
        """As claims.matching compares them."""
        name = f"{self.family_name}^{self.given_name}" if self.family_name else ""
        birth = self.birth_date.isoformat() if self.birth_date else ""
        found = (
            ("medical_record_number", self.medical_record_number or ""),
            ("member_id", self.member_id or ""),
            ("birth_date", birth),
            ("name", name),
        )
        return tuple((kind, value) for kind, value in found if value)


class ReportFacts(_Part):
    """What a plain report does not say of itself."""

    id: Words | None = None
    signed: SignedState | None = None
    signed_by: Words | None = None
    study_instance_uid: Words | None = None
    study_date: dt.date | None = None
    modality: Words | None = None
    patient: PatientFacts = PatientFacts()


class _Line(_Part):
    number: Annotated[int, Field(ge=1)]
    procedure: Words
    units: int = 1
    diagnoses: tuple[Words, ...] = ()
    bodies: tuple[Level, ...] = ()
    modifiers: tuple[Words, ...] = ()


class _View(_Part):
    sop_instance_uid: Words
    plane: ViewPlane | None = None
    shows_contrast: bool | None = None
    shows_needle: bool | None = None


class _Study(_Part):
    study_instance_uid: Words
    date: dt.date | None = None
    modality: Words
    patient: PatientFacts
    levels: tuple[Level, ...] = ()
    has_fat_suppressed: bool | None = None
    views: tuple[_View, ...] = ()


class _ClaimFile(_Part):
    spine_schema: Annotated[Literal["spine-claim/1"], Field(alias="schema")]
    id: Words
    use: ClaimUse = ClaimUse.CLAIM
    patient: PatientFacts
    payer_id: Words
    payer_name: Words = ""
    policy: Words | None = None
    jurisdiction: Words | None = None
    provider_npi: Words = ""
    organization_id: Words = ""
    service_date: dt.date
    onset_date: dt.date | None = None
    lines: tuple[_Line, ...]
    studies: tuple[_Study, ...] = ()
    reports: tuple[ReportFacts, ...] = ()


def read_own(values: Mapping[str, Any]) -> tuple[Claim, tuple[Study, ...], tuple[ReportFacts, ...]]:
    """Claim, studies and facts on reports; ClaimRefusal names every field at fault, without its value."""
    try:
        read = _ClaimFile.model_validate(values)
    except ValidationError as error:
        raise ClaimRefusal(f"The claim cannot be read: {'; '.join(_faults(error))}.") from None
    claim = Claim(
        id=read.id,
        use=read.use,
        patient=Patient(**dict(read.patient)),
        payer_id=read.payer_id,
        payer_name=read.payer_name,
        policy=read.policy,
        jurisdiction=read.jurisdiction,
        provider_npi=read.provider_npi,
        organization_id=read.organization_id,
        service_date=read.service_date,
        onset_date=read.onset_date,
        lines=tuple(ServiceLine(**dict(line)) for line in read.lines),
    )
    return claim, tuple(map(_study, read.studies)), read.reports


def _study(read: _Study) -> Study:
    return Study(
        uid=read.study_instance_uid,
        date=read.date,
        modality=read.modality,
        patient_identifiers=read.patient.identifiers,
        levels=read.levels,
        has_fat_suppressed=read.has_fat_suppressed,
        views=tuple(RetainedView(**dict(view)) for view in read.views),
    )


def _faults(error: ValidationError) -> Iterator[str]:
    for fault in error.errors(include_input=False, include_url=False):
        place = ".".join(str(part) for part in fault["loc"])
        yield f"{place}: {fault['msg'].removeprefix('Value error, ')}"
