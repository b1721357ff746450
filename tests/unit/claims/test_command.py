"""``spine-node claims``: text, JSON, exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from builders.claims import findings_of, study_of
from inference.findings.encode import encode
from server.cli import run

PATIENT = {"medical_record_number": "MRN1", "birth_date": "1950-01-31"}
CLAIM: dict[str, Any] = {
    "schema": "spine-claim/1",
    "id": "CLAIM-1",
    "patient": PATIENT,
    "payer_id": "MEDICARE",
    "jurisdiction": "TX",
    "service_date": "2026-03-01",
    "onset_date": "2026-02-01",
    "lines": [{"number": 1, "procedure": "22514", "units": 1, "diagnoses": ["M80.08XA"], "bodies": ["L1"]}],
    "studies": [{"study_instance_uid": "1.2.1", "date": "2026-02-10", "modality": "MR", "patient": PATIENT}],
}
REPORT = """MRI LUMBAR SPINE
MRN: MRN1    DOB: 01/31/1950
Date of exam: 02/10/2026
FINDINGS: Acute compression fracture of L1 with marrow edema on STIR.
IMPRESSION: Acute L1 compression fracture.
Electronically signed by: Rita Roe, MD on 02/10/2026 14:05
"""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "claim.json").write_text(json.dumps(CLAIM))
    (tmp_path / "report.txt").write_text(REPORT)
    (tmp_path / "draft.txt").write_text(REPORT.replace("Electronically signed by", "Dictated by"))
    (tmp_path / "findings.json").write_bytes(
        encode(findings_of(["L1 present genant=2 height_loss=31"], study_of("MR 2026-02-10")))
    )
    return {path.stem: str(path) for path in tmp_path.iterdir()}


def test_without_a_report_it_asks_for_it(files, capsys):
    assert run(["claims", "check", files["claim"], "--findings", files["findings"]]) == 0

    shown = capsys.readouterr().out
    assert "Claim CLAIM-1, service 2026-03-01: REPORT_MISSING" in shown
    assert "Attach the signed MRI report of L1." in shown
    assert "nothing here says approved, covered or denied" in shown


def test_with_the_signed_report_it_supports(files, capsys):
    assert run(["claims", "check", files["claim"], "--findings", files["findings"], "--report", files["report"]]) == 0

    shown = capsys.readouterr().out
    assert "L1: SUPPORTS. The MR report of 2026-02-10, signed, names fracture and marrow oedema at L1." in shown
    assert "Acute L1 compression fracture." in shown


def test_a_draft_is_no_signed_report(files, capsys):
    assert run(["claims", "check", files["claim"], "--report", files["draft"]]) == 0

    assert "REPORT_MISSING" in capsys.readouterr().out


def test_json_has_the_same_and_the_same_bytes_again(files, capsys):
    arguments = [
        "claims",
        "check",
        files["claim"],
        "--findings",
        files["findings"],
        "--report",
        files["report"],
        "--json",
    ]
    assert run(arguments) == 0
    first = capsys.readouterr().out
    assert run(arguments) == 0

    assert capsys.readouterr().out == first
    evidence = json.loads(first)
    assert (evidence["schema"], evidence["verdict"]) == ("spine-claim-evidence/1", "SUPPORTS")
    assert {"kind", "reference", "text"} == set(evidence["bodies"][0]["pointers"][0])
    (loss,) = [one for one in evidence["criteria"] if one["criterion"] == "height_loss"]
    assert loss["state"] == "not determinable"
    assert "31" in loss["pointers"][0]["text"]
    assert "MRN1" not in first


def test_a_claim_in_x12_takes_studies_from_a_file_beside_it(files, capsys):
    x12 = Path(__file__).parent / "data" / "claim-837p.txt"
    assert run(["claims", "check", str(x12), "--studies", files["claim"], "--report", files["report"]]) == 0

    assert "Claim CLAIM1, service 2026-03-01: SUPPORTS" in capsys.readouterr().out


def test_tables_are_listed_and_checked(tmp_path, capsys):
    assert run(["claims", "policies"]) == 0
    assert "medicare-pva" in capsys.readouterr().out
    (tmp_path / "mine.toml").write_text("schema = 1")

    assert run(["claims", "validate", str(tmp_path / "mine.toml")]) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert "schema: Input should be 'spine-criteria/1', got 1" in line


@pytest.mark.parametrize(
    ("changes", "more", "says"),
    [
        ({}, ["--report", "/does/not/exist"], "cannot be read"),
        ({}, ["--criteria", "/does/not/exist"], "There is no folder"),
        ({"patient": {"medical_record_number": "MRN2", "birth_date": "1950-01-31"}}, [], "record number differs"),
        ({"payer_id": "ACME"}, [], "No criteria table is for payer 'ACME'"),
        ({"studies": []}, ["--findings", "findings"], "Findings are given of a study that is not"),
        ({"lines": [{"number": 1, "procedure": "99213"}]}, [], "Procedure 99213 is not one"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_code_2(files, capsys, changes, more, says):
    Path(files["claim"]).write_text(json.dumps(CLAIM | changes))

    assert run(["claims", "check", files["claim"], *(files.get(word, word) for word in more)]) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert "MRN" not in line
