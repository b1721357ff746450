"""Whether a study or a report is of the claim's patient: two identifiers that agree, and none that differs.

A refusal names the kind of identifier, never its value.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping

from claims.claim import ClaimRefusal, Patient

WANTED = 2
"""Identifiers that have to agree (Joint Commission NPSG.01.01.01: at least two patient identifiers)."""
WORDS: Mapping[str, str] = {
    "medical_record_number": "the medical record number",
    "member_id": "the member id",
    "birth_date": "the birth date",
    "name": "the name",
}
"""Every kind of identifier that is compared, as a person calls it; a name counts once, family and given together."""


class PatientRefusal(ClaimRefusal):
    """A study or a report is not, or not surely, of the claim's patient."""


def check_patient(patient: Patient, identifiers: Iterable[tuple[str, str]], what: str) -> None:
    """Refuse what is not surely the patient's.

    Args:
        patient: Of the claim.
        identifiers: Of the study or report, by the kinds of WORDS; other kinds are left out.
        what: What they were read from, like ``the report of 2026-02-01``.

    Raises:
        PatientRefusal: one identifier differs, or fewer than two can be compared.
    """
    theirs = _compared(identifiers)
    ours = _identifiers(patient)
    shared = [kind for kind in WORDS if kind in theirs and kind in ours]
    differing = [kind for kind in shared if not _SAME.get(kind, _same_code)(ours[kind], theirs[kind])]
    if differing:
        raise PatientRefusal(f"{_begin(what)} is not of the claim's patient: {_and(differing)} differs.")
    if len(shared) < WANTED:
        compared = _and(shared) if shared else "none"
        raise PatientRefusal(
            f"{_begin(what)} cannot be matched to the claim's patient: {WANTED} identifiers have to agree, and of both "
            f"there is {compared}."
        )


def _compared(identifiers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The kinds of WORDS; a name that comes in two parts counts as one."""
    given = {kind: value for kind, value in identifiers if value.strip()}
    if "name" not in given and {"family_name", "given_name"} <= given.keys():
        given["name"] = f"{given['family_name']}^{given['given_name']}"
    return {kind: value for kind, value in given.items() if kind in WORDS}


def _identifiers(patient: Patient) -> dict[str, str]:
    given = {
        "medical_record_number": patient.medical_record_number,
        "member_id": patient.member_id,
        "birth_date": patient.birth_date.isoformat() if patient.birth_date else None,
        "name": f"{patient.family_name}^{patient.given_name}" if patient.family_name and patient.given_name else None,
    }
    return {kind: value for kind, value in given.items() if value}


def _same_code(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()


def _same_date(one: str, other: str) -> bool:
    return re.sub(r"\D", "", one) == re.sub(r"\D", "", other)


def _same_name(one: str, other: str) -> bool:
    """Whether one has all words of the other, and at least two: a middle name or initial may be left out."""
    ours, theirs = _words(one), _words(other)
    return min(len(ours), len(theirs)) >= WANTED and (ours <= theirs or theirs <= ours)


def _words(name: str) -> set[str]:
    """The words of a name without case and accents; of a DICOM name its first component group."""
    plain = unicodedata.normalize("NFKD", name.split("=", maxsplit=1)[0]).casefold()
    return set(re.findall(r"\w+", "".join(c for c in plain if not unicodedata.combining(c))))


_SAME: Mapping[str, Callable[[str, str], bool]] = {"birth_date": _same_date, "name": _same_name}


def _and(kinds: list[str]) -> str:
    return " and ".join(WORDS[kind] for kind in kinds)


def _begin(what: str) -> str:
    return what[:1].upper() + what[1:]
