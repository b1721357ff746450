"""Overlay pictures: which slices, what is on them, in which proportions, and that they repeat byte for byte."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from builders.reviews import reviewed
from inference.anatomy import EndplateSide, Laterality, Numbering, Region, Site
from inference.errors import ReasonCode
from inference.findings import (
    Absent,
    Evidence,
    Finding,
    Geometry,
    GeometryType,
    Grade,
    Measurement,
    NotAssessed,
    Present,
    Question,
    ReviewReason,
    StudyFindings,
)
from inference.findings.summary import summarise
from inference.geometry import FrameReference, Volume
from inference.provenance import ModelIdentity
from inference.review import Action, Decision, Review
from inference.segmentation import Segment, Segmentation, Structure
from server.overlay import (
    OverlayError,
    midsagittal_slice,
    render_overlays,
)
from server.overlay_canvas import FOOTER_HEIGHT_PX, IMAGE_HEIGHT_PX, PANEL_WIDTH_PX, SliceCanvas
from server.overlay_words import ABNORMAL, REJECTED, WARNING, describe, describe_site
from training.phantom import LabelMap, PhantomParameters, generate_spine

MODEL = ModelIdentity(name="phantom", version="1", sha256="0" * 64, training_data="none")
SERIES = "2.25.11"
STUDY = "2.25.10"


@pytest.fixture(scope="module")
def phantom() -> LabelMap:
    return generate_spine(
        PhantomParameters(rows=320, columns=256, spacing_mm=0.9375, slices=5, fractures={"L1": ("crush", 0.45)})
    )


@pytest.fixture(scope="module")
def volume(phantom) -> Volume:
    sources = tuple(
        FrameReference(sop_class_uid="1.2.840.10008.5.1.4.1.1.4", sop_instance_uid=f"2.25.2{i}") for i in range(5)
    )
    return Volume(voxels=phantom.voxels, affine=phantom.affine, sources=sources, series_instance_uid=SERIES)


@pytest.fixture(scope="module")
def segmentation(phantom, volume) -> Segmentation:
    segments = [
        Segment(
            label=f"{v.level} vertebra",
            structure=Structure.VERTEBRA,
            level=v.level,
            tracking_uid="2.25.1",
            mask=phantom.instances == v.instance,
        )
        for v in phantom.truth.vertebrae
    ]
    canal = Segment(
        label="spinal canal",
        structure=Structure.SPINAL_CANAL,
        level=None,
        tracking_uid="2.25.2",
        mask=phantom.labels == 3,
    )
    return Segmentation(series_instance_uid=SERIES, sources=volume.sources, segments=(*segments, canal), model=MODEL)


def _fracture(volume: Volume, phantom: LabelMap, slice_index: int) -> Finding:
    truth = phantom.truth.vertebra("L1")
    index = volume.to_index(np.array(truth.centre_lps_mm))
    half = truth.middle_mm / 2 / volume.spacing_mm[1]
    ends = ((index[2] + 0.5, index[1] + 0.5 - half), (index[2] + 0.5, index[1] + 0.5 + half))
    line = Geometry(type=GeometryType.POLYLINE, points=ends)
    height = Measurement(name="middle_height", value=truth.middle_mm, unit="mm", uncertainty=0.4, method="test")
    return Finding(
        id="2.25.3",
        question=Question.COMPRESSION_FRACTURE,
        site=Site(level="L1"),
        assessment=Present(),
        grades=(Grade(scale="genant", value="3"), Grade(scale="genant_shape", value="crush")),
        probability=0.97,
        measurements=(height,),
        evidence=(Evidence(source=volume.sources[slice_index], geometry=line, measurement="middle_height"),),
    )


def _document(*findings: Finding) -> StudyFindings:
    return StudyFindings(
        study_instance_uid=STUDY,
        series=(),
        numbering=Numbering(method="counted_from_sacrum", ambiguous=False, note=""),
        findings=findings,
        models=(MODEL,),
        software_version="0",
    )


def test_one_picture_of_the_middle_and_one_of_each_slice_with_an_abnormal_finding(
    volume, phantom, segmentation, tmp_path: Path
) -> None:
    paths = render_overlays(volume, segmentation, _document(_fracture(volume, phantom, 3)), tmp_path / "new")
    assert [p.name for p in paths] == [f"overlay-{SERIES}-{n:03d}.png" for n in (3, 4)]
    assert all(p.is_file() for p in paths)


def test_absent_findings_get_no_picture_of_their_own(volume, phantom, segmentation, tmp_path: Path) -> None:
    absent = replace(_fracture(volume, phantom, 1), assessment=Absent())
    assert len(render_overlays(volume, segmentation, _document(absent), tmp_path)) == 1


def _foramen(volume: Volume, slice_index: int, *, is_measured: bool = True) -> Finding:
    ring = ((20.0, 20.0), (28.0, 20.0), (28.0, 30.0), (20.0, 30.0), (20.0, 20.0))
    outline = Geometry(type=GeometryType.POLYLINE, points=ring)
    area = Measurement(name="foraminal_area", value=80.0, unit="mm2", uncertainty=28.0, method="test")
    return Finding(
        id="2.25.4",
        question=Question.STENOSIS,
        site=Site(level="L4-L5", side=Laterality.LEFT, region=Region.FORAMEN),
        assessment=NotAssessed(reason=ReasonCode.NO_MODEL, sentence="Measured, not judged."),
        measurements=(area,) if is_measured else (),
        evidence=(Evidence(source=volume.sources[slice_index], geometry=outline),) if is_measured else (),
    )


def test_a_measured_foramen_has_its_slice_drawn_and_is_not_called_abnormal(
    volume, phantom, segmentation, tmp_path: Path
) -> None:
    measured, missing = _foramen(volume, 4), _foramen(volume, 4, is_measured=False)
    document = _document(measured)
    paths = render_overlays(volume, segmentation, document, tmp_path / "one")
    assert [p.name for p in paths] == [f"overlay-{SERIES}-{n:03d}.png" for n in (3, 5)]
    assert len(render_overlays(volume, segmentation, _document(missing), tmp_path / "two")) == 1
    assert describe(measured) == "L4-L5 left: foraminal narrowing (measured, not judged)"
    assert summarise(Question.STENOSIS, document) == "Canal stenosis: no answer"


def test_evidence_on_another_series_is_left_out(volume, phantom, tmp_path: Path) -> None:
    finding = _fracture(volume, phantom, 1)
    elsewhere = replace(finding.evidence[0], source=FrameReference(sop_class_uid="1.2", sop_instance_uid="2.25.999"))
    paths = render_overlays(volume, None, _document(replace(finding, evidence=(elsewhere,))), tmp_path)
    assert [p.name[-7:] for p in paths] == ["003.png"]


def test_the_same_input_gives_the_same_bytes(volume, phantom, segmentation, tmp_path: Path) -> None:
    document = _document(_fracture(volume, phantom, 2))
    first, second = (render_overlays(volume, segmentation, document, tmp_path / name)[0] for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_pictures_carry_no_text_chunks(volume, tmp_path: Path) -> None:
    with Image.open(render_overlays(volume, None, _document(), tmp_path)[0]) as picture:
        assert picture.info == {}


def _plain(tmp_path: Path, voxels: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
    affine = np.array([[4.0, 0, 0, 0], [0, 0, spacing[1], 0], [0, -spacing[0], 0, 0], [0, 0, 0, 1]])
    affine[1:3, 1:3] = ((0, spacing[1]), (-spacing[0], 0))
    source = FrameReference(sop_class_uid="1.2", sop_instance_uid="2.25.5")
    plain = Volume(voxels=voxels, affine=affine, sources=(source,), series_instance_uid=SERIES)
    return np.asarray(Image.open(render_overlays(plain, None, _document(), tmp_path)[0]))


def test_non_square_pixels_are_drawn_in_true_proportions(tmp_path: Path) -> None:
    picture = _plain(tmp_path, np.ones((1, 100, 100), dtype=np.float32), (2.0, 1.0))
    assert picture.shape[0] == IMAGE_HEIGHT_PX + FOOTER_HEIGHT_PX
    assert picture.shape[1] - PANEL_WIDTH_PX == pytest.approx(IMAGE_HEIGHT_PX / 2, abs=1)


def test_is_not_mirrored_or_turned(tmp_path: Path) -> None:
    voxels = np.zeros((1, 64, 64), dtype=np.float32)
    voxels[0, :16, :16] = 1.0
    picture = _plain(tmp_path, voxels, (1.0, 1.0))[:, :, 0]
    corner = IMAGE_HEIGHT_PX // 8
    assert picture[corner, corner] == 255
    assert picture[corner, IMAGE_HEIGHT_PX - corner] == 0
    assert picture[IMAGE_HEIGHT_PX // 2, corner] == 0


def test_the_height_line_lies_on_its_body(volume, phantom, segmentation, tmp_path: Path) -> None:
    finding = _fracture(volume, phantom, 2)
    with_line, without = (
        np.asarray(Image.open(render_overlays(volume, segmentation, _document(f), tmp_path)[0])).astype(int)
        for f in (
            finding,
            replace(finding, measurements=(), evidence=(replace(finding.evidence[0], measurement=None),)),
        )
    )
    (column, top), (_, bottom) = finding.evidence[0].geometry.points
    scale = IMAGE_HEIGHT_PX / 320
    x, y = round(column * scale), round((top + bottom) / 2 * scale)
    assert with_line[y, x].tolist() == [255, 205, 90]
    assert without[y, x].tolist() == list(ABNORMAL)


def test_an_angle_is_drawn_as_two_lines(volume, phantom, tmp_path: Path) -> None:
    """Its four points are no polygon: nothing joins the end of the first line to the start of the second."""
    points = ((100.0, 100.0), (140.0, 100.0), (100.0, 140.0), (140.0, 140.0))
    angle = Measurement(name="local_kyphosis", value=1.0, unit="deg", uncertainty=1.0, method="test")
    line = Geometry(type=GeometryType.POLYLINE, points=points)
    evidence = Evidence(source=volume.sources[2], geometry=line, measurement="local_kyphosis")
    finding = replace(_fracture(volume, phantom, 2), measurements=(angle,), evidence=(evidence,))
    picture = np.asarray(Image.open(render_overlays(volume, None, _document(finding), tmp_path)[0])).astype(int)
    scale = IMAGE_HEIGHT_PX / 320
    for place, is_line in (((120, 100), True), ((120, 140), True), ((120, 120), False), ((100, 120), False)):
        x, y = (round(p * scale) for p in place)
        assert (picture[y, x].tolist() == [255, 205, 90]) == is_line


def test_constant_images_do_not_fail(tmp_path: Path) -> None:
    assert _plain(tmp_path, np.full((1, 32, 32), 7.0, dtype=np.float32), (1.0, 1.0)).size > 0


def test_middle_is_where_the_canal_is_widest(volume, segmentation) -> None:
    mask = np.zeros(volume.shape, dtype=bool)
    mask[1, 10:20, 10:20] = True
    canal = replace(segmentation.segments[-1], mask=mask)
    assert midsagittal_slice(volume, replace(segmentation, segments=(canal,))) == 1
    assert midsagittal_slice(volume, None) == 2


def test_refuses_a_segmentation_of_another_series_or_grid(volume, segmentation, tmp_path: Path) -> None:
    with pytest.raises(OverlayError, match=r"must be of series 2\.25\.11, got 2\.25\.12"):
        render_overlays(volume, replace(segmentation, series_instance_uid="2.25.12"), _document(), tmp_path)
    small = replace(segmentation.segments[0], mask=np.zeros((1, 2, 3), dtype=bool))
    with pytest.raises(OverlayError, match=r"must have the grid \(5, 320, 256\), got \(1, 2, 3\)"):
        render_overlays(volume, replace(segmentation, segments=(small,)), _document(), tmp_path)


def test_describes_a_fracture_with_grade_shape_and_what_its_probability_is(volume, phantom) -> None:
    words = describe(_fracture(volume, phantom, 2))
    assert words == "L1: compression fracture, Genant 3, shape crush (probability 0.97, not calibrated)"


def test_summaries_give_all_three_answers(volume, phantom) -> None:
    present = _fracture(volume, phantom, 2)
    absent = replace(present, site=Site(level="L2"), assessment=Absent())
    refused = Finding(
        id="2.25.4",
        question=Question.MODIC,
        site=Site(),
        assessment=NotAssessed(reason=ReasonCode.MISSING_SERIES, sentence="No T1 series is in the study."),
    )
    document = _document(present, absent, refused)
    assert summarise(Question.COMPRESSION_FRACTURE, document) == (
        "Compression fracture: present at L1; absent at 1 level"
    )
    assert summarise(Question.MODIC, document) == "Modic change: not assessed: No T1 series is in the study."
    assert summarise(Question.STENOSIS, document) == "Canal stenosis: no answer"


def test_findings_of_one_site_share_a_line_and_an_endplate_is_named(volume, phantom) -> None:
    fracture = _fracture(volume, phantom, 2)
    endplate = Site(level="L1", endplate=EndplateSide.INFERIOR)
    listhesis = replace(fracture, question=Question.SPONDYLOLISTHESIS, grades=(), probability=None)
    words = describe_site([fracture, listhesis])
    assert words == "L1: compression fracture, Genant 3, shape crush (0.97); spondylolisthesis"
    assert describe_site([replace(listhesis, site=endplate)]) == "L1 inferior: spondylolisthesis"


def test_many_findings_push_neither_the_study_nor_its_warning_out_of_the_picture(
    volume, phantom, segmentation, tmp_path, monkeypatch
) -> None:
    """Used to be drawn below the lower edge, where nobody sees them."""
    written: list[tuple[str, int]] = []
    write = SliceCanvas.write

    def recorded(canvas, text, *args, **kwargs):
        write(canvas, text, *args, **kwargs)
        written.append((text, canvas._cursor))

    monkeypatch.setattr(SliceCanvas, "write", recorded)
    one = _fracture(volume, phantom, 2)
    levels = ["T9", "T10", "T11", "T12", "L1", "L2", "L3", "L4", "L5"]
    many = [
        replace(one, id=f"2.25.{n}", site=Site(level=level, endplate=side))
        for n, (level, side) in enumerate(product(levels, [None, *EndplateSide]), start=100)
    ]
    doubt = Numbering(method="counted_from_sacrum", ambiguous=True, note="L6?")
    render_overlays(volume, segmentation, replace(_document(*many), numbering=doubt), tmp_path)
    assert all(bottom <= IMAGE_HEIGHT_PX + FOOTER_HEIGHT_PX for _, bottom in written)
    texts = [text for text, _ in written]
    assert "Level numbering uncertain: L6?" in texts
    shown = sum(text.startswith(tuple(levels)) for text in texts)
    assert 0 < shown < len(many)
    assert texts[-1] == f"... and {len(many) - shown} more in findings.json"


def test_what_was_rejected_is_drawn_dashed_and_grey_and_says_by_whom(volume, phantom, tmp_path: Path) -> None:
    document = _document(_fracture(volume, phantom, 3))
    rejected = Decision(finding_id="2.25.3", action=Action.REJECT, reason=ReviewReason.NOT_THERE)
    after = reviewed(document, Review(decisions=(rejected,)))

    (before,) = (p for p in render_overlays(volume, None, document, tmp_path / "a") if p.name.endswith("004.png"))
    (now,) = (p for p in render_overlays(volume, None, after, tmp_path / "b") if p.name.endswith("004.png"))

    assert describe(after.findings[0]).endswith("shape crush (probability 0.97, not calibrated) (rejected by Jane Doe)")
    drawn, dashed = (np.asarray(Image.open(path))[:IMAGE_HEIGHT_PX, :-PANEL_WIDTH_PX] for path in (before, now))
    assert (drawn == WARNING).all(axis=2).sum() > 0
    assert (dashed == WARNING).all(axis=2).sum() == 0
    line = (dashed == REJECTED).all(axis=2).any(axis=1)
    changes = np.flatnonzero(np.diff(line.astype(int)))
    assert len(changes) > 6, "a broken line"
