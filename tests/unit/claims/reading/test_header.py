"""What a text says of itself."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from claims.reading.header import read_date, read_modality, read_signature, report_from_text
from claims.report import SignedState


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("Electronically signed by Dana Whitfield, MD on 03/14/2026 4:12 PM", SignedState.SIGNED),
        ("Electronically Signed By: Whitfield MD, Dana at 14-MAR-2026 16:12", SignedState.SIGNED),
        ("Signed by: D. Whitfield\nDate: 2026-03-14", SignedState.SIGNED),
        ("Finalized by Dr. Whitfield, March 14, 2026", SignedState.SIGNED),
        ("Verified by Dr. H Bell", SignedState.SIGNED),
        ("PRELIMINARY REPORT\nL1 fracture.", SignedState.UNSIGNED),
        ("Dictated but not read.", SignedState.UNSIGNED),
        ("*** DRAFT ***", SignedState.UNSIGNED),
        ("This report has not been electronically signed by a radiologist.", SignedState.UNSIGNED),
        ("Pending signature", SignedState.UNSIGNED),
        ("PRELIMINARY REPORT\nElectronically signed by: A. Resident, MD", SignedState.UNKNOWN),
        ("Acute fracture of L1.", SignedState.UNKNOWN),
        ("Preliminary findings were called to Dr. Osei.\nElectronically signed by: D. Whitfield", SignedState.SIGNED),
    ],
)
def test_signed_state(text: str, state: SignedState) -> None:
    assert read_signature(text).state is state


def test_who_signed_and_when() -> None:
    signature = read_signature("x\nElectronically signed by: Dana Whitfield, MD on 03/14/2026 12:05 AM")
    assert signature.by == "Dana Whitfield, MD"
    assert signature.at == datetime(2026, 3, 14, 0, 5)  # noqa: DTZ001 - as written


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("03/04/2026", date(2026, 3, 4)),
        ("14/03/2026", date(2026, 3, 14)),
        ("3-4-26", date(2026, 3, 4)),
        ("2026-03-04", date(2026, 3, 4)),
        ("4 March 2026", date(2026, 3, 4)),
        ("04-MAR-2026", date(2026, 3, 4)),
        ("March 4th, 2026", date(2026, 3, 4)),
        ("45/45/2026", None),
        ("no date", None),
    ],
)
def test_dates(text: str, day: date | None) -> None:
    assert read_date(text) == day


@pytest.mark.parametrize(
    ("text", "modality"),
    [("MRI L-spine", "MR"), ("CT THORAX", "CT"), ("NM bone scan", "NM"), ("XR spine", "DX"), ("Spine", None)],
)
def test_modality(text: str, modality: str | None) -> None:
    assert read_modality([text]) == modality


def test_the_header_names_patient_and_examination() -> None:
    text = (
        "MRN: 00123  DOB: 01/31/1948\nAccession #: ACC-9\n"
        "EXAM: CT THORACIC SPINE\nDate of exam: 2026-03-14\n\nL1 fracture."
    )
    report = report_from_text(text, text.encode(), report_format="text")
    assert report.patient_identifiers == (
        ("medical_record_number", "00123"),
        ("accession_number", "ACC-9"),
        ("birth_date", "1948-01-31"),
    )
    assert (report.id, report.modality, report.study_date) == ("ACC-9", "CT", date(2026, 3, 14))
