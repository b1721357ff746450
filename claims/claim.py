"""A claim as its biller wrote it: who, when, which procedures at which vertebral bodies, for which diagnoses.

Codes are kept as billed and never changed: CPT (AMA) and ICD-10-CM codes only, without their descriptors.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from inference.anatomy import Vertebra
from inference.errors import Refusal


class ClaimRefusal(Refusal):
    """A claim cannot be read or worked on."""


class ClaimUse(StrEnum):
    """What the claim is for."""

    CLAIM = "claim"
    """The procedure was done."""
    PREAUTHORIZATION = "preauthorization"
    """The procedure is scheduled; payer is asked before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """Who the claim is for; matched to studies and reports on two identifiers at least."""

    medical_record_number: str | None = None
    member_id: str | None = None
    """As the payer knows the person."""
    family_name: str = ""
    given_name: str = ""
    birth_date: date | None = None
    sex: str | None = None
    """``F``, ``M`` or ``O``; None where it is not given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLine:
    """One billed procedure."""

    number: int
    """From 1, as on the claim."""
    procedure: str
    """CPT code."""
    units: int
    diagnoses: tuple[str, ...]
    """ICD-10-CM codes with their dots, in the order of the line's pointers."""
    bodies: tuple[Vertebra, ...] = ()
    """Vertebral bodies treated, as the procedure note or the coder names them; empty where nobody did."""
    modifiers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What is billed for one patient on one day."""

    id: str
    """The biller's own claim number."""
    use: ClaimUse
    patient: Patient
    payer_id: str
    payer_name: str = ""
    policy: str | None = None
    """Id of the criteria table to go by; None: the one of the payer and the jurisdiction."""
    jurisdiction: str | None = None
    """Postal code of the state, like ``TX``, or of the contractor, like ``JE``."""
    provider_npi: str = ""
    """National Provider Identifier, ten digits (Luhn-checked with the prefix 80840)."""
    organization_id: str = ""
    service_date: date
    onset_date: date | None = None
    """When pain or injury began, from the chart; None where nobody said."""
    lines: tuple[ServiceLine, ...]

    @property
    def bodies(self) -> tuple[Vertebra, ...]:
        """The bodies of all lines, from the head down, each once."""
        return tuple(sorted({b for line in self.lines for b in line.bodies}, key=lambda body: body.value))
