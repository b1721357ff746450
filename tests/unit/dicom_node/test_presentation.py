"""The presentation state through bytes: what is present on the images, where it is, as they are shown."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedMRImageStorage

from builders.dicom import SeriesPlan, small_voxels
from builders.dumps import dump
from builders.findings import CREATED, context_of, reference, refused_findings, spine_findings
from builders.peers import program
from dicom_node.derived import from_bytes, to_bytes
from dicom_node.file_meta import decode_file_meta
from dicom_node.header import read_header
from dicom_node.inbox import is_marked_ours
from dicom_node.pr import encode_presentation_state
from inference.errors import ReasonCode, SeriesRefusal
from inference.findings import Evidence, Geometry, GeometryType, Present
from inference.provenance import RESEARCH_USE

WINDOWED = {"WindowCenter": 500, "WindowWidth": 900}


def findings_of(series, index=2):
    return spine_findings(series.plan.study_instance_uid, reference(series.headers[index]), (1.5, 0.75))


def encode(series, findings=None, headers=None, *, grey_range=None, **options) -> Dataset:
    context = context_of(series.plan.study_instance_uid, **options)
    shown = encode_presentation_state(
        findings or findings_of(series), sources=headers or series.headers, context=context, grey_range=grey_range
    )
    assert shown is not None
    return from_bytes(to_bytes(shown))


def shapes_of(state: Dataset) -> set:
    """(image, tracking UID, points) of every graphic object."""
    return {
        (
            str(annotation.ReferencedImageSequence[0].ReferencedSOPInstanceUID),
            str(graphic.TrackingUID),
            tuple(round(float(v), 2) for v in graphic.GraphicData),
        )
        for annotation in state.GraphicAnnotationSequence
        for graphic in annotation.get("GraphicObjectSequence") or []
    }


def texts_of(state: Dataset) -> list[str]:
    return [str(t.UnformattedTextValue) for a in state.GraphicAnnotationSequence for t in a.TextObjectSequence]


@pytest.fixture(scope="module")
def state(series) -> Dataset:
    return encode(series)


@pytest.mark.peer("dicom3tools")
def test_validators_find_nothing(tmp_path, series, state, dciodvfy, dcentvfy):
    path = tmp_path / "pr.dcm"
    path.write_bytes(to_bytes(state))
    assert dciodvfy(path) == []
    assert dcentvfy(path, *series.paths) == []


@pytest.mark.peer("dcmtk")
def test_the_presentation_state_checker_of_dcmtk_passes_it(tmp_path, state):
    path = tmp_path / "pr.dcm"
    path.write_bytes(to_bytes(state))
    outcome = subprocess.run([program("dcmpschk"), path], capture_output=True, text=True, check=False, timeout=60)
    said = outcome.stdout + outcome.stderr
    assert "Test passed" in said, said
    assert not [line for line in said.splitlines() if line.startswith(("E:", "F:", "error", "Error"))], said


def test_a_person_can_read_it(state, golden):
    golden("presentation_state", dump(state))


def test_what_is_present_is_drawn_where_it_is(series, state):
    """Marks and measured lines of present findings alone; an angle is two lines."""
    source = str(series.headers[2].SOPInstanceUID)
    expected = []
    for finding in findings_of(series).findings:
        for evidence in finding.evidence if isinstance(finding.assessment, Present) else ():
            points = evidence.geometry.points
            expected += [points[:2], points[2:]] if evidence.measurement == "local_kyphosis" else [points]
    flat = {tuple(round(v, 2) for point in points for v in point) for points in expected}
    assert {points for _, _, points in shapes_of(state)} == flat
    assert {image for image, _, _ in shapes_of(state)} == {source}
    assert {str(a.GraphicLayer) for a in state.GraphicAnnotationSequence} == {"FINDINGS", "MEASUREMENTS", "NOTICES"}


def test_words_are_the_reports_and_the_notice_is_on_every_image(series, state):
    texts = texts_of(state)
    assert texts[:2] == [
        "L1: compression fracture, Genant 2, wedge, height loss 31 %",
        "L2-L3: spondylolisthesis, slip -15.4 %",
    ]
    assert texts[-1] == f"{RESEARCH_USE} Level numbering uncertain: A transitional vertebra cannot be excluded."
    assert {"12.95 mm", "24 deg", "-5.3 mm"} <= set(texts)


def test_tracking_uids_are_the_findings(series, state):
    ids = {f.id for f in findings_of(series).findings if isinstance(f.assessment, Present)}
    assert ids < {uid for _, uid, _ in shapes_of(state)}


def test_the_same_input_gives_the_same_bytes(series, state):
    assert to_bytes(encode(series)) == to_bytes(state)
    assert encode(series, revision=2).SOPInstanceUID != state.SOPInstanceUID
    assert state.PresentationCreationDate == CREATED.strftime("%Y%m%d")


def test_identity_and_labels(series, state):
    header = series.headers[0]
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "AccessionNumber"):
        assert state[keyword].value == header[keyword].value
    assert (state.ContentQualification, state.Modality) == ("RESEARCH", "PR")
    assert state.SeriesDescription == "AI findings: unverified, research use only"


def test_oblong_pixels_keep_their_proportions(state):
    (area,) = state.DisplayedAreaSelectionSequence
    assert list(area.PresentationPixelSpacing) == [1.5, 0.75]
    assert "PresentationPixelAspectRatio" not in area
    assert list(area.DisplayedAreaTopLeftHandCorner) == [1, 1]
    assert list(area.DisplayedAreaBottomRightHandCorner) == [24, 32]


def test_one_that_comes_back_is_known_as_ours(tmp_path, state):
    """Only SR and SEG used to be: a presentation state of ours would have counted as new data of the study."""
    path = tmp_path / "pr.dcm"
    path.write_bytes(to_bytes(state))
    meta, offset = decode_file_meta(path)
    assert is_marked_ours(read_header(path.read_bytes(), meta.transfer_syntax_uid, offset=offset))


def test_nothing_present_makes_none(series):
    context = context_of(series.plan.study_instance_uid)
    findings = refused_findings(series.plan.study_instance_uid)
    assert encode_presentation_state(findings, sources=series.headers, context=context) is None


def changed(series, **values) -> list[Dataset]:
    headers = [from_bytes(to_bytes(header)) for header in series.headers]
    for keyword, value in values.items():
        for header in headers:
            setattr(header, keyword, value)
    return headers


@pytest.mark.peer("dicom3tools")
@pytest.mark.parametrize(
    ("values", "shape"),
    [
        (WINDOWED | {"RescaleSlope": 2, "RescaleIntercept": -10, "RescaleType": "US"}, "IDENTITY"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "INVERSE"),
    ],
)
def test_images_are_shown_with_their_own_rescale_and_window(tmp_path, series, dciodvfy, values, shape):
    state = encode(series, headers=changed(series, **values))
    path = tmp_path / "pr.dcm"
    path.write_bytes(to_bytes(state))
    assert dciodvfy(path) == []
    assert state.PresentationLUTShape == shape
    if "RescaleSlope" in values:
        assert (state.RescaleSlope, state.RescaleIntercept) == (2, -10)
        assert (state.SoftcopyVOILUTSequence[0].WindowCenter, state.SoftcopyVOILUTSequence[0].WindowWidth) == (500, 900)


def test_images_without_a_window_get_one(series):
    """They were shown almost black: without a window, 12-bit values are spread over 16 bits."""
    (window,) = encode(series, grey_range=(20.0, 820.0)).SoftcopyVOILUTSequence
    assert (window.WindowCenter, window.WindowWidth) == (420, 800)
    (own,) = encode(series, headers=changed(series, **WINDOWED), grey_range=(20.0, 820.0)).SoftcopyVOILUTSequence
    assert (own.WindowCenter, own.WindowWidth) == (500, 900)


def test_marks_at_one_place_share_a_text(series):
    document = findings_of(series)
    first, second, *others = document.findings
    there = replace(second, assessment=Present(), evidence=first.evidence[:1])
    texts = texts_of(encode(series, replace(document, findings=(first, there, *others))))
    words = "L1: compression fracture, Genant 2, wedge, height loss 31 %"
    assert texts[0] == f"{words}\r\nL2: compression fracture, Genant 0, height loss 3 %"


def test_images_with_different_rescales_are_refused_by_name(series):
    headers = changed(series, RescaleSlope=1, RescaleIntercept=0)
    headers[1].RescaleSlope = 3
    document = findings_of(series)
    first = document.findings[0]
    elsewhere = replace(first.evidence[0], source=reference(headers[1]))
    both = replace(document, findings=(replace(first, evidence=(*first.evidence, elsewhere)), *document.findings[1:]))
    with pytest.raises(SeriesRefusal, match="2 different rescales") as refused:
        encode(series, both, headers=headers)
    assert refused.value.code is ReasonCode.MIXED


def test_what_reaches_beyond_the_image_is_drawn_to_its_edge(series):
    document = findings_of(series)
    geometry = Geometry(type=GeometryType.POLYLINE, points=((-3.0, 10.0), (40.0, 50.0)))
    first = document.findings[0]
    beyond = Evidence(source=reference(series.headers[2]), geometry=geometry)
    state = encode(series, replace(document, findings=(replace(first, evidence=(beyond,)), *document.findings[1:])))
    assert (0.0, 10.0, 24.0, 32.0) in {points for _, _, points in shapes_of(state)}


@pytest.mark.peer("dicom3tools")
def test_a_frame_of_a_multi_frame_image_is_named(tmp_path, series, dciodvfy):
    (header,) = changed(series)[:1]
    header.NumberOfFrames, header.SOPClassUID = 3, EnhancedMRImageStorage
    document = spine_findings(series.plan.study_instance_uid, reference(header, frame=2), (1.5, 0.75))
    state = encode(series, document, headers=[header])
    path = tmp_path / "pr.dcm"
    path.write_bytes(to_bytes(state))
    assert dciodvfy(path) == []
    frames = {a.ReferencedImageSequence[0].ReferencedFrameNumber for a in state.GraphicAnnotationSequence}
    assert frames == {2}


def test_several_multi_frame_images_are_refused_by_name(write):
    series = write(SeriesPlan(voxels=small_voxels(2), series="frames", attributes={"NumberOfFrames": 3}))
    document = spine_findings(series.plan.study_instance_uid, reference(series.headers[0], frame=1), (1.0, 1.0))
    first = document.findings[0]
    other = replace(first.evidence[0], source=reference(series.headers[1], frame=1))
    both = replace(document, findings=(replace(first, evidence=(*first.evidence, other)), *document.findings[1:]))
    with pytest.raises(SeriesRefusal, match="2 multi-frame"):
        encode(series, both)
