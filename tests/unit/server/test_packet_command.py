"""``spine-node claims packet`` over a generated study: files, chain, refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from builders.packet_study import PACKET_FILES, plan, write_study
from claims.packet import chain_breaks
from server.cli import run

PATIENT = {"medical_record_number": "MRN-4711", "birth_date": "1948-05-17"}
CLAIM: dict[str, Any] = {
    "schema": "spine-claim/1",
    "id": "CLAIM-1",
    "patient": PATIENT,
    "payer_id": "MEDICARE",
    "jurisdiction": "TX",
    "service_date": "2026-03-30",
    "onset_date": "2026-02-20",
    "lines": [{"number": 1, "procedure": "22514", "units": 1, "diagnoses": ["M80.08XA"], "bodies": ["L1"]}],
    "studies": [
        {
            "study_instance_uid": plan().study_instance_uid,
            "date": "2026-03-14",
            "modality": "MR",
            "has_fat_suppressed": True,
            "patient": PATIENT,
        }
    ],
}
REPORT = """MRI LUMBAR SPINE
MRN: MRN-4711    DOB: 05/17/1948
Date of exam: 03/14/2026
FINDINGS: Acute compression fracture of L1 with marrow edema on STIR.
IMPRESSION: Acute L1 compression fracture.
Electronically signed by: Rita Roe, MD on 03/14/2026 14:05
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("packet-command")
    write_study(made / "results")
    shutil.move(made / "results" / "seg.dcm", made / "results" / "seg-1.dcm")
    shutil.move(made / "results" / "in", made / "images")
    (made / "claim.json").write_text(json.dumps(CLAIM))
    (made / "report.txt").write_text(REPORT)
    return made


def packet(folder: Path, out: str, *options: str) -> int:
    given = ["--images", "images", "--results", "results", "--report", "report.txt", "--out", out]
    paths = [str(folder / part) if not part.startswith("--") else part for part in given]
    return run(["claims", "packet", str(folder / "claim.json"), *paths, "--created", "2026-04-02T15:30:00", *options])


def test_two_packets_of_a_claim_with_real_evidence_are_a_chain(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert packet(folder, "one") == 0
    assert "SUPPORTS; in" in capsys.readouterr().out
    first = folder / "one" / "manifest.json"
    assert packet(folder, "two", "--previous", str(first)) == 0
    assert chain_breaks([first.read_bytes(), (folder / "two" / "manifest.json").read_bytes()]) == ()
    assert {path.name for path in (folder / "two").iterdir()} == PACKET_FILES
    assert packet(folder, "one") == 2
    assert "holds a packet already" in capsys.readouterr().err


def test_what_cannot_be_a_packet_before_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert packet(folder, "three", "--previous", str(folder / "report.txt")) == 2
    assert "must be the manifest.json of a packet" in capsys.readouterr().err
    assert packet(folder, "three", "--images", str(folder / "images")) == 2
    assert "One --results goes with each --images, got 1 for 2." in capsys.readouterr().err
    assert not (folder / "three").exists()
