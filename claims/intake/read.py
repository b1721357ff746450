"""One door for every format: what it is is told by its first bytes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from claims.check import check_claim
from claims.claim import Claim, ClaimRefusal
from claims.intake.own import ReportFacts, read_own
from claims.study import Study

MOST_BYTES = 32 * 1024 * 1024
"""Of one file; an 837 of some ten thousand claims."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What a file of claims says."""

    claims: tuple[Claim, ...]
    studies: tuple[Study, ...] = ()
    """Facts on studies that our own JSON may carry beside its claim."""
    reports: tuple[ReportFacts, ...] = ()
    """Facts on reports, in the order of the report files."""


def read_claims(data: bytes) -> Intake:
    """The claims of a file, each checked.

    Raises:
        ClaimRefusal: it is none of the formats, malformed, too large, holds a claim twice, or one that is not sound.
    """
    if len(data) > MOST_BYTES:
        raise ClaimRefusal(f"A file of claims has at most {MOST_BYTES} bytes, got {len(data)}.")
    intake = _read(data)
    if not intake.claims:
        raise ClaimRefusal("The file holds no claim.")
    if twice := [name for name, count in Counter(claim.id for claim in intake.claims).items() if count > 1]:
        raise ClaimRefusal(f"Each claim of a file has a number of its own, got {len(twice)} of them twice.")
    for claim in intake.claims:
        check_claim(claim)
    return intake


def _read(data: bytes) -> Intake:
    head = data.lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"ISA"):
        from claims.intake.x12 import read_837p  # noqa: PLC0415 - pyx12 is loaded only where there is an 837

        return Intake(claims=read_837p(head))
    values = _json(head)
    if values.get("resourceType") == "Claim":
        from claims.intake.fhir import read_fhir  # noqa: PLC0415 - fhir.resources takes a second to load

        return Intake(claims=(read_fhir(values),))
    if "resourceType" in values:
        raise ClaimRefusal(f"A FHIR claim is the resource Claim, got {str(values['resourceType'])[:40]}.")
    claim, studies, reports = read_own(values)
    return Intake(claims=(claim,), studies=studies, reports=reports)


def _json(data: bytes) -> Mapping[str, Any]:
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        raise ClaimRefusal("A claim is JSON (our own or FHIR) or X12 837P, and this file is neither.") from None
    if not isinstance(values, dict):
        raise ClaimRefusal("A claim in JSON is one object, and this file is not.")
    return values
