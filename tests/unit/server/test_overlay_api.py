"""``/overlay`` on a real socket: from the bytes of findings, SEG and images to what another viewer draws."""

from __future__ import annotations

import json
from dataclasses import replace

import httpx
import jsonschema
import numpy as np
import pydicom
import pytest
from scipy.spatial.transform import Rotation

from builders.dicom import SeriesPlan, small_voxels
from builders.dumps import dump_json
from builders.findings import reference, refused_findings, spine_findings, spine_segmentation
from builders.read_study import ReadStudy, headers_of, keep_read_study
from builders.reviews import reviewed
from inference.errors import ReasonCode
from inference.findings import Question, ReviewReason, StudyFindings
from inference.plane import ImagePlane
from inference.review import Action, Correction, Decision, Review
from server.compose import Node
from server.overlay_document import OverlayImage, encode_overlay, schema
from server.overlay_words import REJECTED

TURN = Rotation.from_euler("xyz", (12, -7, 21), degrees=True).as_matrix()
OBLIQUE = SeriesPlan(
    voxels=small_voxels(3),
    orientation=(*TURN[:, 1], *(-TURN[:, 2])),
    step_mm=4 * TURN[:, 0],
    pixel_spacing_mm=(1.5, 0.75),
)
OTHER = SeriesPlan(voxels=small_voxels(2), series="other", number=2)
STUDY = OBLIQUE.study_instance_uid
FRACTURE, SLIP = Question.COMPRESSION_FRACTURE, Question.SPONDYLOLISTHESIS
PATH = f"/api/v1/studies/{STUDY}/overlay"


def findings_of(headers) -> StudyFindings:
    (first, second, _) = headers[OBLIQUE.series_instance_uid]
    document = spine_findings(STUDY, reference(second), (1.5, 0.75))
    fracture, *others = document.findings
    moved = replace(fracture.evidence[0], source=reference(first))
    return replace(document, findings=(replace(fracture, evidence=(moved, *fracture.evidence[1:])), *others))


def keep(node: Node, *, headers=None, **options) -> ReadStudy:
    headers = headers or headers_of([OBLIQUE, OTHER])
    sources = [reference(header) for header in headers[OBLIQUE.series_instance_uid]]
    outlines = spine_segmentation(OBLIQUE.series_instance_uid, sources, (32, 24))
    return keep_read_study(node, headers, findings_of(headers), [outlines], **options)


def overlay(client: httpx.Client, query: str = "") -> dict:
    answer = client.get(f"{PATH}{query}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    jsonschema.validate(answer.json(), schema())
    return answer.json()


def test_a_person_can_read_it(client, node, golden):
    keep(node)
    golden("overlay.json", dump_json(overlay(client)) + "\n")


def rounded(points) -> tuple:
    return tuple((round(column, 2), round(row, 2)) for column, row in points)


def test_marks_are_the_evidence_of_findings_json(client, node):
    study = keep(node)
    found = overlay(client)
    marks = {
        (mark["finding"], image["sop_instance_uid"], mark["measurement"], tuple(map(tuple, mark["points"])))
        for image in found["images"]
        for mark in image["marks"]
    }
    assert marks == {
        (f.id, e.source.sop_instance_uid, e.measurement, rounded(e.geometry.points))
        for f in study.findings.findings
        for e in f.evidence
    }
    assert [f["id"] for f in found["findings"]] == [f.id for f in study.findings.findings]


def test_labels_give_the_answer(client, node):
    """An absent fracture used to be labelled like one that is there."""
    study = keep(node)
    labels = {f["id"]: f["label"] for f in overlay(client)["findings"]}
    assert [labels[f.id] for f in study.findings.findings[:5]] == [
        "L1: compression fracture, Genant 2, shape wedge (probability 0.93, not calibrated)",
        "L2: compression fracture absent, Genant 0 (probability 0.02, not calibrated)",
        "L3: compression fracture (not assessed)",
        "L1-L2: canal stenosis (measured, not judged)",
        "L2-L3: spondylolisthesis",
    ]


def test_points_are_where_the_header_puts_them_in_the_patient(client, node):
    study = keep(node)
    headers = {str(h.SOPInstanceUID): h for h in study.headers[OBLIQUE.series_instance_uid]}
    for image in overlay(client)["images"]:
        header = headers[image["sop_instance_uid"]]
        assert image["frame_of_reference_uid"] == header.FrameOfReferenceUID
        position, turn = np.array(header.ImagePositionPatient, float), np.array(header.ImageOrientationPatient, float)
        row_mm, column_mm = map(float, header.PixelSpacing)
        shapes = image["marks"] + [polygon for s in image["structures"] for polygon in s["polygons"]]
        for shape in shapes:
            columns, rows = np.array(shape["points"]).T - 0.5
            expected = position + np.outer(columns * column_mm, turn[:3]) + np.outer(rows * row_mm, turn[3:])
            assert np.allclose(shape["points_lps_mm"], expected, atol=6e-4)


def test_the_plane_leads_back_from_the_patient_to_the_pixel(client, node):
    keep(node)
    for image in overlay(client)["images"]:
        values = image["plane"]
        plane = ImagePlane(
            position_mm=tuple(values["position_lps_mm"]),
            row_direction=tuple(values["row_direction"]),
            column_direction=tuple(values["column_direction"]),
            spacing_mm=tuple(values["spacing_mm"]),
        )
        for mark in image["marks"]:
            assert np.allclose(plane.to_image_points(mark["points_lps_mm"]), mark["points"], atol=2e-3)


def test_outlines_are_the_segments_of_the_seg(client, node):
    study = keep(node)
    sources = [reference(header) for header in study.headers[OBLIQUE.series_instance_uid]]
    segmentation = spine_segmentation(OBLIQUE.series_instance_uid, sources, (32, 24))
    images = {image["sop_instance_uid"]: image for image in overlay(client)["images"]}
    assert set(images) == {source.sop_instance_uid for source in sources}
    for index, source in enumerate(sources):
        structures = images[source.sop_instance_uid]["structures"]
        assert [s["label"] for s in structures] == [s.label for s in segmentation.segments]
        for structure, segment in zip(structures, segmentation.segments, strict=True):
            assert (structure["structure"], structure["level"]) == (segment.structure, segment.level)
            assert structure["tracking_uid"] == segment.tracking_uid
            assert sum(map(enclosed, structure["polygons"])) == segment.mask[index].sum()


def enclosed(polygon) -> float:
    columns, rows = np.array(polygon["points"]).T
    return float(np.sum(columns * np.roll(rows, -1) - np.roll(columns, -1) * rows)) / 2


def test_one_series_or_one_instance(client, node):
    study = keep(node)
    first = str(study.headers[OBLIQUE.series_instance_uid][0].SOPInstanceUID)

    one = overlay(client, f"?instance={first}")
    assert [image["sop_instance_uid"] for image in one["images"]] == [first]
    fracture = study.findings.findings[0].id
    without_evidence = {f.id for f in study.findings.findings if not f.evidence}
    assert {finding["id"] for finding in one["findings"]} == {fracture, *without_evidence}

    assert overlay(client, f"?series={OTHER.series_instance_uid}")["images"] == []
    whole, series = overlay(client), overlay(client, f"?series={OBLIQUE.series_instance_uid}")
    assert series["images"] == whole["images"]
    assert one["not_assessed"] == series["not_assessed"] == whole["not_assessed"]
    assert len(whole["not_assessed"]) == 5
    assert all(not image["structures"] for image in overlay(client, "?structures=false")["images"])


def test_the_same_input_gives_the_same_bytes_and_tag(client, node):
    keep(node)
    first, second = client.get(PATH), client.get(PATH)
    assert first.content == second.content
    tag = first.headers["ETag"]
    assert second.headers["ETag"] == tag
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = client.get(PATH, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", tag)
    assert client.get(PATH, headers={"If-None-Match": '"other"'}).status_code == 200
    others = [
        client.get(f"{PATH}{query}").headers["ETag"]
        for query in ("?structures=false", f"?series={OTHER.series_instance_uid}")
    ]
    assert len({tag, *others}) == 3


def test_a_newer_revision_has_another_tag(client, node):
    study = keep(node)
    before = client.get(PATH)
    empty = refused_findings(STUDY)
    keep_read_study(node, study.headers, empty, revision=2)

    after = client.get(PATH)

    assert (before.headers["X-Spine-Revision"], after.headers["X-Spine-Revision"]) == ("1", "2")
    assert before.headers["ETag"] != after.headers["ETag"]
    assert after.json()["images"] == []
    assert len(after.json()["not_assessed"]) == 5
    assert client.get(f"{PATH}?revision=1").content == before.content


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ImagePositionPatient": None}, "E_GEOMETRY"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "E_GEOMETRY"),
        ({"PixelSpacing": None}, "E_SPACING"),
        ({"NumberOfFrames": 4}, "E_GEOMETRY"),
    ],
)
def test_an_image_that_does_not_say_where_it_lies_says_why(client, node, changes, code):
    headers = headers_of([OBLIQUE])
    study = keep_read_study(node, headers, findings_of(headers))
    changed = headers[OBLIQUE.series_instance_uid][1]
    path = node.spool.path(f"received/{changed.SOPInstanceUID}.dcm")
    dataset = pydicom.dcmread(path)
    for keyword, value in changes.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    dataset.save_as(path)

    images = {image["sop_instance_uid"]: image for image in overlay(client)["images"]}

    image = images[str(changed.SOPInstanceUID)]
    assert image["plane"] is None
    assert image["no_plane"]["code"] == code
    assert str(changed.SOPInstanceUID) in image["no_plane"]["sentence"]
    assert [mark["points_lps_mm"] for mark in image["marks"]] == [None] * len(image["marks"])
    evidence = [e for f in study.findings.findings for e in f.evidence if e.source == reference(changed)]
    assert [tuple(map(tuple, mark["points"])) for mark in image["marks"]] == [
        rounded(e.geometry.points) for e in evidence
    ]
    assert images[str(headers[OBLIQUE.series_instance_uid][0].SOPInstanceUID)]["no_plane"] is None


def test_a_file_that_is_gone_leaves_the_pixels(client, node):
    study = keep(node)
    gone = str(study.headers[OBLIQUE.series_instance_uid][0].SOPInstanceUID)
    node.spool.path(f"received/{gone}.dcm").unlink()

    (image,) = overlay(client, f"?instance={gone}")["images"]

    assert image["no_plane"]["code"] == "E_NOT_DICOM"
    assert image["marks"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?series=9.9", 404),
        ("?instance=9.9", 404),
        (f"?series={OTHER.series_instance_uid}&instance={OBLIQUE.sop_instance_uid(0)}", 404),
        ("?revision=7", 404),
        ("?series=../../etc/passwd", 422),
        ("?instance=1%27%20OR%201=1", 422),
    ],
)
def test_what_is_not_there_is_a_problem(client, node, query, status):
    keep(node)
    answer = client.get(f"{PATH}{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_no_identity_is_in_it(client, node):
    study = keep(node)
    header = study.headers[OBLIQUE.series_instance_uid][0]
    text = client.get(PATH).text
    assert not [k for k in ("PatientID", "PatientName", "AccessionNumber") if str(header[k].value) in text]
    assert (
        json.loads(text)["notice"]
        == "AI-generated. Not reviewed by a physician. For research use only; not for use in diagnostic procedures."
    )


def test_what_a_reviewer_made_of_a_finding_is_on_its_marks():
    """Rejected findings used to lose their marks, as though nothing had been drawn there."""
    headers = headers_of([OBLIQUE, OTHER])[OBLIQUE.series_instance_uid]
    document = findings_of({OBLIQUE.series_instance_uid: headers})
    fracture, slip = (next(f for f in document.findings if f.question is q) for q in (FRACTURE, SLIP))
    decisions = (
        Decision(finding_id=fracture.id, action=Action.REJECT, reason=ReviewReason.NOT_THERE),
        Decision(
            finding_id=slip.id, action=Action.CORRECT, reason=ReviewReason.LEVEL, correction=Correction(level="L3-L4")
        ),
    )
    after = reviewed(document, Review(decisions=decisions, accept_rest=True), headers)
    sources = {evidence.source for finding in document.findings for evidence in finding.evidence}
    images = [
        OverlayImage(
            source=source,
            series_instance_uid=OBLIQUE.series_instance_uid,
            frame_of_reference_uid=None,
            size=(32, 24),
            plane=None,
            no_plane=(ReasonCode.GEOMETRY, "Not needed here."),
        )
        for source in sorted(sources, key=lambda source: source.sop_instance_uid)
    ]

    values = json.loads(encode_overlay(after, 1, images))

    jsonschema.validate(values, schema())
    assert values["review"]["reviewer"]["name"] == "Doe^Jane"
    marks = [mark for image in values["images"] for mark in image["marks"]]
    assert len(marks) == sum(len(finding.evidence) for finding in document.findings)
    rejected = [mark for mark in marks if mark["finding"] == fracture.id]
    assert len(rejected) == len(fracture.evidence)
    assert {(m["review"], m["is_dashed"], tuple(m["colour"])) for m in rejected} == {("rejected", True, REJECTED)}
    moved = {(m["review"], m["is_dashed"]) for m in marks if m["finding"] == slip.id}
    assert moved == {("corrected", False)}
    assert any("rejected by Jane Doe" in mark["text"] for mark in rejected)
