"""The verified report of a review at an archive: found, and looked at by DCMTK and dicom3tools."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from builders.peers import StoreScp, program
from dicom_node.sr.checklist import violations

KNOWN = ("Unrecognized defined term = <99SPINEAI>", "DeviceUID(0018,1002)> - Attribute is not present in standard")


def verified(archived: StoreScp) -> list[Dataset]:
    """The verified reports that an archive has received; what it is still writing is none yet."""
    return [report for report in map(_read, archived.received()) if report.get("VerificationFlag") == "VERIFIED"]


def _read(path: Path) -> Dataset:
    try:
        return dcmread(path)
    except (InvalidDicomError, EOFError):
        return Dataset()


def _output(name: str, *words: object) -> str:
    executable = program(name)
    assert executable is not None
    done = subprocess.run([executable, *map(str, words)], capture_output=True, text=True, check=False, timeout=120)
    return done.stdout + done.stderr


def assert_it_is_right(report: Dataset, archived: StoreScp, paths: list[Path]) -> None:
    """No error of dciodvfy, readable by DCMTK, its template kept, and the AI's report named as its predecessor."""
    (path,) = (p for p in archived.received() if dcmread(p).SOPInstanceUID == report.SOPInstanceUID)
    (ai_report,) = (
        d for d in map(dcmread, archived.received()) if d.Modality == "SR" and d.VerificationFlag == "UNVERIFIED"
    )
    lines = [line for line in _output("dciodvfy", "-new", path).splitlines() if line.startswith(("Error", "Warning"))]
    assert [line for line in lines if not any(words in line for words in KNOWN)] == []
    text = _output("dsrdump", "+Pl", path)
    assert "VERIFIED" in text
    assert "Corrected by Jane Doe" in text
    assert "Rejected by Jane Doe" in text
    sources = {str(header.SOPInstanceUID): header for header in map(dcmread, paths)}
    assert violations(report, sources, verified=True) == ()
    named = report.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert named.ReferencedSOPInstanceUID == ai_report.SOPInstanceUID
    assert report.SeriesDescription == "Spine: verified by Jane Doe"
