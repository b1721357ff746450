"""The packet of a claim, made of a generated study: whole, minimal, reproducible, and without planted identity."""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import replace
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from PIL import Image, ImageDraw, ImageFont
from pydicom import dcmread
from pydicom.dataset import Dataset

from builders import packets as b
from builders.packet_study import PACKET_FILES, centre, findings_of, middle, plan, write_study
from builders.peers import program
from claims.claim import Patient
from claims.evidence import Verdict
from claims.matching import PatientRefusal
from claims.packet import PacketRefusal, chain_breaks, changed_files
from claims.packet.manifest import schema
from dicom_node.sr.checklist import value_of, violations
from inference.findings import DocumentReview
from inference.findings.encode import encode
from server.packet import MadePacket, PacketRequest, make_packet
from server.packet_study import StudyFiles

PLANTED = "PLANTED NAME 1948"
REVIEW = DocumentReview(number=1, revision=1, reviewer=b.REVIEWER, reviewed_at=datetime(2026, 3, 15, 9, 5, tzinfo=UTC))


def request(*studies: StudyFiles, **changes: object) -> PacketRequest:
    values: dict[str, object] = {
        "claim": b.claim(),
        "evidence": b.evidence([("L1", Verdict.SUPPORTS, b.SUPPORTED)]),
        "reports": (b.read_report(*b.spoken("L1")),),
        "studies": studies,
        "created": b.CREATED,
    }
    return PacketRequest(**(values | changes))  # type: ignore[arg-type]


def make(asked: PacketRequest) -> tuple[MadePacket, dict[str, bytes]]:
    files: dict[str, bytes] = {}
    made = make_packet(asked, files.__setitem__)
    return made, files


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    return write_study(tmp_path_factory.mktemp("packet-study"))


@pytest.fixture(scope="module")
def packet(study: StudyFiles) -> dict[str, bytes]:
    return make(request(study))[1]


def read(data: bytes) -> Dataset:
    return dcmread(BytesIO(data))


def test_a_packet_has_everything_and_its_manifest_says_so(packet: dict[str, bytes]):
    assert set(packet) == PACKET_FILES
    manifest = json.loads(packet["manifest.json"])
    Draft202012Validator(schema()).validate(manifest)
    assert manifest["bodies"] == ["L1"]
    assert manifest["reports_sha256"] == ["cd" * 32]
    others = {name: data for name, data in packet.items() if name != "manifest.json"}
    assert changed_files(packet["manifest.json"], others) == ()


def test_the_same_request_gives_the_same_bytes(packet: dict[str, bytes], tmp_path: Path):
    assert make(request(write_study(tmp_path)))[1] == packet


def test_the_next_packet_of_a_claim_is_chained_to_the_one_before(packet: dict[str, bytes], study: StudyFiles):
    _, second = make(request(study, number=2, previous_manifest=packet["manifest.json"]))
    assert chain_breaks([packet["manifest.json"], second["manifest.json"]]) == ()
    numbers = [read(files[name]).SeriesNumber for files in (packet, second) for name in ("kos-1.dcm", "summary.dcm")]
    assert numbers == [9801, 9851, 9802, 9852]
    assert read(packet["kos-1.dcm"]).SOPInstanceUID != read(second["kos-1.dcm"]).SOPInstanceUID
    assert packet["sr-1.dcm"] == second["sr-1.dcm"]


@pytest.mark.peer("dicom3tools")
def test_dciodvfy_finds_no_error(packet: dict[str, bytes], tmp_path: Path):
    for name in ("kos-1.dcm", "sr-1.dcm", "summary.dcm"):
        path = tmp_path / name
        path.write_bytes(packet[name])
        command = [str(program("dciodvfy")), "-new", str(path)]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = (told.stdout + told.stderr).splitlines()
        assert lines, "dciodvfy said nothing"
        assert [line for line in lines if line.startswith("Error")] == []


def test_the_key_object_selection_names_image_excerpt_and_document(packet: dict[str, bytes]):
    note = read(packet["kos-1.dcm"])
    assert value_of(note, "ConceptNameCodeSequence") == "113020"
    assert note.ContentTemplateSequence[0].TemplateIdentifier == "2010"
    named = [
        str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        for item in note.ContentSequence
        if "ReferencedSOPSequence" in item
    ]
    objects = [str(read(packet[name]).SOPInstanceUID) for name in ("sr-1.dcm", "summary.dcm")]
    assert named == [plan().sop_instance_uid(middle()), *objects]


def test_the_encapsulated_document_is_the_summary(packet: dict[str, bytes]):
    document = read(packet["summary.dcm"])
    assert document.EncapsulatedDocument[: document.EncapsulatedDocumentLength] == packet["summary.pdf"]
    assert document.BurnedInAnnotation == "YES"
    assert str(document.PatientName) == "Example^Erna"
    assert document.StudyInstanceUID == plan().study_instance_uid


def test_the_excerpt_says_what_it_is_and_nothing_of_other_levels(packet: dict[str, bytes], study: StudyFiles):
    excerpt, whole = read(packet["sr-1.dcm"]), dcmread(study.report)
    assert violations(excerpt) == ()
    assert excerpt.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[
        0
    ].ReferencedSOPInstanceUID == str(whole.SOPInstanceUID)
    assert excerpt.SOPInstanceUID != whole.SOPInstanceUID
    assert excerpt.SeriesInstanceUID != whole.SeriesInstanceUID
    text = excerpt.to_json()
    assert "compression fracture of L1 alone" in text
    assert "66794005" in text  # L1
    for other in ("14293000", "36470004", "23215003"):  # L2, L3, T12
        assert other in whole.to_json()
        assert other not in text


def test_nothing_of_other_levels_is_in_the_packet(packet: dict[str, bytes]):
    others = [f.id.encode() for f in findings_of(plan()).findings if f.site.level != "L1"]
    for name, data in packet.items():
        assert not [uid for uid in others if uid in data], name


def test_a_reviewed_study_gives_a_verified_excerpt_and_says_who_reviewed(tmp_path: Path):
    _, files = make(request(write_study(tmp_path, review=REVIEW)))
    excerpt = read(files["sr-1.dcm"])
    assert violations(excerpt, verified=True) == ()
    assert excerpt.VerifyingObserverSequence[0].VerifyingOrganization == "Example Radiology"
    assert "reviewed by the person named here" in json.loads(files["manifest.json"])["notice"]


def with_overlay_plane(path: Path) -> None:
    """Plant an identity where images found in the wild carry it: overlay plane, its description, private data."""
    dataset = dcmread(path)
    bits = np.array(written((dataset.Rows, dataset.Columns), PLANTED, (4, 4), 1.0) > 0, dtype=np.uint8)
    dataset.add_new(0x60000010, "US", dataset.Rows)
    dataset.add_new(0x60000011, "US", dataset.Columns)
    dataset.add_new(0x60000022, "LO", PLANTED)
    dataset.add_new(0x60000040, "CS", "G")
    dataset.add_new(0x60000050, "SS", [1, 1])
    dataset.add_new(0x60000100, "US", 1)
    dataset.add_new(0x60000102, "US", 0)
    dataset.add_new(0x60003000, "OW", np.packbits(bits.ravel(), bitorder="little").tobytes())
    block = dataset.private_block(0x0099, "PLANTED CREATOR", create=True)
    block.add_new(1, "LO", PLANTED)
    dataset.OperatorsName, dataset.ImageComments, dataset.InstitutionName = PLANTED, PLANTED, PLANTED
    dataset.save_as(path)


def with_overlay_in_the_pixels(path: Path) -> None:
    """Plant it in the bits above the stored ones, where old overlays lie (PS3.5 8.1.1)."""
    dataset = dcmread(path)
    pixels = dataset.pixel_array.copy()
    mask = written(pixels.shape, PLANTED, (int(centre("L1")[0]) - 30, int(centre("L1")[1])), 1.0) > 0
    assert pixels.max() < 1 << 12
    pixels[mask] |= 1 << 15
    dataset.BitsStored, dataset.HighBit = 12, 11
    dataset.PixelData = pixels.tobytes()
    dataset.save_as(path)


def written(shape: tuple[int, ...], text: str, at: tuple[int, int], value: float) -> np.ndarray:
    """An image of text."""
    picture = Image.new("F", (shape[1], shape[0]))
    ImageDraw.Draw(picture).text(at, text, fill=value, font=ImageFont.load_default(14))
    return np.asarray(picture)


@pytest.mark.parametrize("plant", [with_overlay_plane, with_overlay_in_the_pixels])
def test_identity_planted_beside_the_pixels_never_reaches_the_packet(tmp_path: Path, packet: dict[str, bytes], plant):
    files = write_study(tmp_path)
    for path in files.sources:
        plant(path)
    _, made = make(request(files))
    assert made["key-image-1-L1-plain.png"] == packet["key-image-1-L1-plain.png"]
    assert made["key-image-1-L1-overlay.png"] == packet["key-image-1-L1-overlay.png"]
    for name, data in made.items():
        assert b"PLANTED" not in data, name
    assert made["summary.pdf"] == packet["summary.pdf"]


def burned(at: tuple[int, int], slices: slice = slice(None), size: int = 14) -> object:
    """The series with text burned into the pixels of some slices."""
    made = plan()
    voxels = made.voxels.copy()
    picture = Image.new("L", (voxels.shape[2], voxels.shape[1]))
    ImageDraw.Draw(picture).text(at, PLANTED, fill=255, font=ImageFont.load_default(size))
    voxels[slices, np.asarray(picture) > 127] = int(voxels.max())
    return replace(made, voxels=voxels)


@pytest.mark.parametrize("slices", [slice(None), slice(middle(), middle() + 1)], ids=["every-slice", "one-slice"])
def test_an_image_with_burned_in_text_is_withheld(tmp_path: Path, slices: slice):
    column, row = centre("L1")
    made, files = make(request(write_study(tmp_path, burned((int(column) - 50, int(row) - 50), slices))))
    assert [w.sentence for w in made.withheld] == [
        f"MR sagittal T2, slice {middle() + 1} of 5: letters seem to be written into its pixels."
    ]
    assert not [name for name in files if name.endswith(".png")]
    assert json.loads(files["manifest.json"])["withheld_images"] == [f"L1: {made.withheld[0].sentence}"]


def test_burned_in_text_in_a_corner_is_cut_away(tmp_path: Path, packet: dict[str, bytes]):
    made, files = make(request(write_study(tmp_path, burned((150, 300)))))
    assert made.withheld == ()
    picture, clean = (Image.open(BytesIO(f["key-image-1-L1-plain.png"])) for f in (files, packet))
    below_words = slice(110, 960)
    difference = np.asarray(picture, dtype=int)[below_words] - np.asarray(clean, dtype=int)[below_words]
    assert np.abs(difference).max() <= 12  # the window of the series moves a little, letters would be white on dark


def test_an_image_whose_header_says_burned_in_is_withheld(tmp_path: Path):
    made, files = make(request(write_study(tmp_path, plan(BurnedInAnnotation="YES"))))
    assert len(made.withheld) == 1
    assert made.withheld[0].sentence.endswith(": its header says that text is burned into the pixels.")
    assert not [name for name in files if name.endswith(".png")]


@pytest.mark.parametrize(
    ("patient", "what"),
    [
        (replace(b.PATIENT, medical_record_number="MRN-4712"), "medical record number"),
        (replace(b.PATIENT, birth_date=date(1950, 1, 1)), "birth date"),
    ],
)
def test_a_study_of_another_patient_is_refused_without_naming_them(study: StudyFiles, patient: Patient, what: str):
    with pytest.raises(PatientRefusal, match=f"The study is not of the claim's patient: the {what} differs") as caught:
        make(request(study, claim=b.claim(patient=patient)))
    assert "47" not in caught.value.sentence
    assert "19" not in caught.value.sentence


def test_findings_of_another_study_are_refused(study: StudyFiles, tmp_path: Path):
    path = tmp_path / "findings.json"
    path.write_bytes(encode(replace(findings_of(plan()), study_instance_uid="2.25.7")))
    with pytest.raises(PacketRefusal, match=r"findings are of study 2\.25\.7"):
        make(request(replace(study, findings=path)))


def test_a_claim_without_a_study_has_a_summary_and_a_manifest():
    evidence = b.evidence([("L1", Verdict.NO_EVIDENCE, "No study and no report.")])
    made, files = make(request(evidence=evidence, reports=()))
    assert set(files) == {"summary.pdf", "manifest.json"}
    assert made.files[0].sha256 == hashlib.sha256(files["summary.pdf"]).hexdigest()


def test_a_study_that_does_not_show_the_body_gives_no_objects(study: StudyFiles):
    claim = b.claim(("T8",))
    evidence = b.evidence([("T8", Verdict.NO_EVIDENCE, "x")])
    _, files = make(request(study, claim=claim, evidence=evidence, reports=()))
    assert set(files) == {"summary.pdf", "manifest.json"}
