"""Reports that come in by themselves: by C-STORE from DCMTK, and by HL7 v2 over MLLP; both on real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select

from builders.claim_office import UID, Office, open_office
from builders.dicom import derived_uid
from builders.peers import store_with_storescu
from builders.received_reports import UNSIGNED_LINES, oru, pdf_object, text_object, written
from dicom_node.scp import Receiver
from dicom_node.tables import results
from server.claims.history import fault_of
from server.claims.retention import delete_old_reports
from server.compose import Node, receiver_settings
from server.database import reading
from server.hl7.intake import take
from server.tables import received_reports


@pytest.fixture
def office(node: Node, tmp_path: Path) -> Iterator[Office]:
    with open_office(node, tmp_path / "series") as opened:
        yield opened


@contextmanager
def receiving(node: Node) -> Iterator[int]:
    """The DICOM receiver of the node; its port."""
    receiver = Receiver(receiver_settings(node.settings), node.engine, node.spool)
    receiver.start()
    yield receiver.port
    receiver.stop(grace_s=5.0)


def route(office: Office, folder: Path, *objects: Dataset | Path) -> None:
    """What a routing rule of the PACS does, and then what the node does by itself."""
    paths = [one if isinstance(one, Path) else written(folder, one) for one in objects]
    with receiving(office.node) as port:
        sent = store_with_storescu(paths, port, options=("-R",))
        assert sent.returncode == 0, sent.stderr
    office.watch.look()


def reports(office: Office, claim: str) -> list[Any]:
    return list(office.get(claim)["reports"])


@pytest.mark.peer("dcmtk")
@pytest.mark.parametrize(
    ("made", "signed", "verdict"),
    [
        (text_object(), "signed", "SUPPORTS"),
        (text_object(verified=False), "unsigned", "REPORT_MISSING"),
        (pdf_object(), "signed", "SUPPORTS"),
        (pdf_object(UNSIGNED_LINES, flag="VERIFIED"), "signed", "SUPPORTS"),
        (pdf_object(flag="UNVERIFIED"), "unsigned", "REPORT_MISSING"),
        (pdf_object(UNSIGNED_LINES), "unknown", "REPORT_MISSING"),
    ],
    ids=["SR", "unverified SR", "signed PDF", "verified PDF", "unverified PDF", "PDF that says nothing"],
)
def test_a_report_of_the_pacs_is_taken_and_the_claim_is_judged_again(
    office: Office, tmp_path: Path, made: Dataset, signed: str, verdict: str
) -> None:
    claim = office.kept()
    assert office.evidence(claim)["verdict"] == "REPORT_MISSING"
    office.watch.look()
    for _ in range(2):
        route(office, tmp_path, made)
    (report,) = reports(office, claim)
    assert (report["signed"], report["source"], report["stands"]) == (signed, "dicom", True)
    evidence = office.evidence(claim)
    assert evidence["verdict"] == verdict, evidence
    if signed != "signed":
        sentences = " ".join(prompt["sentence"] for prompt in evidence["evidence"]["prompts"])
        assert "sign" in sentences, sentences
    actions = office.get(f"{claim}/history")["actions"]
    assert [(a["action"], a["subject"]) for a in actions] == [("received", "loopback"), ("report_added", "node")]
    with reading(office.node.engine) as connection:
        assert fault_of(connection, claim) is None


@pytest.mark.peer("dcmtk")
def test_a_report_that_came_before_its_claim_is_there_at_once(office: Office, tmp_path: Path) -> None:
    route(office, tmp_path, text_object())
    claim = office.kept()
    assert office.evidence(claim)["verdict"] == "SUPPORTS"
    assert [a["action"] for a in office.get(f"{claim}/history")["actions"]] == ["received", "report_added"]


@pytest.mark.peer("dcmtk")
def test_what_is_no_report_of_the_claims_patient_and_study_is_not_taken(office: Office, tmp_path: Path) -> None:
    claim = office.kept()
    with reading(office.node.engine) as connection:
        ours = connection.execute(select(results.c.path).where(results.c.role == "sr")).scalar_one()
    measurements = text_object(SOPInstanceUID=derived_uid("measurements"))
    measurements.ConceptNameCodeSequence[0].CodeValue = "126000"
    other_patient = text_object(PatientName="Somebody^Else", PatientBirthDate="19610101")
    other_study = text_object(StudyInstanceUID=derived_uid("another study"), AccessionNumber="A-OTHER")
    scanned = pdf_object(())
    route(office, tmp_path, office.node.spool.path(ours), measurements, other_patient, other_study, scanned)
    assert reports(office, claim) == []
    evidence = office.evidence(claim)
    assert evidence["verdict"] == "REPORT_MISSING"
    sentences = [sentence for uid, sentence in evidence["left_out"] if uid == UID]
    assert len(sentences) == 2, sentences
    assert any("the birth date and the name differs" in sentence for sentence in sentences), sentences
    assert any("no text" in sentence or "scanned" in sentence for sentence in sentences), sentences
    assert "1961" not in str(sentences)


def feed(office: Office, message: bytes) -> str:
    """One message of the feed, as the listener hands it on; MSA-1."""
    answer = take(office.node, message).decode()
    office.watch.look()
    return next(line.split("|")[1] for line in answer.split("\r") if line.startswith("MSA"))


def test_a_report_of_the_feed_is_corrected_and_withdrawn(office: Office) -> None:
    claim = office.kept()
    office.watch.look()
    told = []
    for control_id, words in (
        ("1", {"result": "P", "line": "P"}),
        ("2", {}),
        ("3", {"result": "P", "line": "P", "text": "Acute fracture of L2."}),
        ("4", {"result": "C", "line": "C", "text": "IMPRESSION: No acute fracture of L1. No marrow edema of L1."}),
        ("5", {"result": "X", "line": "X"}),
        ("6", {}),
    ):
        assert feed(office, oru(control_id, **words)) == "AA"
        told.append(office.evidence(claim)["verdict"])
    assert told == ["REPORT_MISSING", "SUPPORTS", "SUPPORTS", "CONTRADICTS", "REPORT_MISSING", "SUPPORTS"]
    assert [report["stands"] for report in reports(office, claim)] == [False] * 5 + [True]


def test_a_report_of_the_feed_waits_for_its_study_and_claim(node: Node, tmp_path: Path) -> None:
    take(node, oru("1"))
    with open_office(node, tmp_path / "series") as office:
        assert office.evidence(office.kept())["verdict"] == "SUPPORTS"
        assert delete_old_reports(node, 1) == 0
        with node.engine.begin() as connection:
            connection.execute(received_reports.update().values(received_at=0.0))
        (path,) = (node.settings.data_dir / "reports").rglob("?" * 64)
        assert delete_old_reports(node, 1) == 1
        assert not path.exists()
        assert office.evidence(office.kept(number="A-2"))["verdict"] == "REPORT_MISSING"


@pytest.mark.parametrize(
    "changes",
    [{"PID_3": "SOMEBODY"}, {"PID_7": "19610101"}, {"OBR_3": "A-OTHER"}, {"PID_5": "Else^Somebody"}],
    ids=["record number", "birth date", "accession number", "name"],
)
def test_a_report_of_somebody_or_something_else_is_put_to_no_claim(office: Office, changes: dict[str, str]) -> None:
    claim = office.kept()
    assert feed(office, oru("1", **changes)) == "AA"
    assert reports(office, claim) == []
    assert office.evidence(claim)["verdict"] == "REPORT_MISSING"


def test_a_report_from_before_the_onset_is_not_put_to_the_claim(office: Office) -> None:
    claim = office.kept(onset_date="2026-05-20")
    assert feed(office, oru("1")) == "AA"
    assert reports(office, claim) == []
