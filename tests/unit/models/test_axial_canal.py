"""The sac's area on axial slices of an analytic tube: geometry, matching to levels, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from inference.anatomy import Disc, Numbering, Vertebra
from inference.errors import BundleRefusal, ReasonCode, SeriesRefusal
from inference.findings import Absent, Calibration, GeometryType, NotAssessed, Present
from inference.geometry import FrameReference, Volume
from inference.measure.axial import COURSE_ANGLE_DEG, DISC_ANGLE_DEG, LEVEL_MM
from inference.measure.reading import CanalReading, DiscReading, SpineReading, Unmeasured
from inference.provenance import ModelIdentity
from inference.sac_findings import SacAreaPolicy
from inference.series.role import SeriesRole
from models.bundle import Bundle
from models.mr_axial_canal import LABELS, MrAxialCanalDetector
from models.mr_sagittal import MrSagittalDetector

AXIAL, SAGITTAL = SeriesRole.MR_AXIAL_T2, SeriesRole.MR_SAGITTAL_T2
LEVELS = tuple(Disc.under(level) for level in (Vertebra.L2, Vertebra.L3, Vertebra.L4, Vertebra.L5))
PITCH_MM = 36.0
HALF_WIDTH, HALF_DEPTH = 9.0, 6.0
AREA = np.pi * HALF_WIDTH * HALF_DEPTH
NARROW = 0.55
"""Both sizes of a narrow place over the usual ones."""
BRIGHT_FROM_MM = 24.0
"""Fat beside the spine, as bright as the sac."""
GONE = Unmeasured(reason=ReasonCode.UNCERTAIN, sentence="not measured here")
ERRORS = {"area_fraction": 0.02, "smallest_area_mm2": 2.0, "length_mm": 0.3}


def course(lean_deg):
    """Unit vector towards the feet of a straight canal that leans in the sagittal plane."""
    angle = np.radians(lean_deg)
    return np.array([0.0, np.sin(angle), -np.cos(angle)])


def inside(points, lean_deg, narrow=()):
    """How far LPS points lie inside the tube, in mm along its steepest direction, negative outside."""
    down = course(lean_deg)
    back = np.array([0.0, -down[2], down[1]])
    along = points @ down
    size = np.ones(points.shape[:-1])
    for place in narrow:
        size = np.where(np.abs(along - place) < 6, NARROW, size)
    wide, deep = HALF_WIDTH * size, HALF_DEPTH * size
    x, y = points[..., 0] / wide, (points @ back) / deep
    radius = np.hypot(x, y)
    slope = np.hypot(x / wide, y / deep) / np.maximum(radius, 1e-6)
    return (1 - radius) / np.maximum(slope, 1e-6)


def stack(
    *, tilt_deg=0.0, lean_deg=0.0, pixel=(0.5, 0.5), reverse=False, roll=False, slices=36, step=4.0, narrow=(),
    centre=(0.0, 0.0, 0.0), uid="2.25.71", frame="2.25.70", side=84.0,
):  # fmt: skip
    """An axial stack of the tube: signal is 1 inside and 0 outside, partial at the edge."""
    angle = np.radians(tilt_deg)
    normal, back, left = (
        np.array([0, np.sin(angle), np.cos(angle)]),
        np.array([0, np.cos(angle), -np.sin(angle)]),
        np.array([1.0, 0, 0]),
    )
    affine = np.eye(4)
    rows, columns = round(side / pixel[0]), round(side / pixel[1])
    row_axis, column_axis = (left, back) if roll else (back, left)
    affine[:3, 0] = normal * step * (-1 if reverse else 1)
    affine[:3, 1], affine[:3, 2] = row_axis * pixel[0], column_axis * pixel[1]
    affine[:3, 3] = np.asarray(centre) - affine[:3, :3] @ [(slices - 1) / 2, (rows - 1) / 2, (columns - 1) / 2]
    index = np.moveaxis(np.indices((slices, rows, columns)), 0, -1)
    points = index @ affine[:3, :3].T + affine[:3, 3]
    signal = np.clip(inside(points, lean_deg, narrow) / np.mean(pixel) + 0.5, 0, 1)
    signal[np.abs(points[..., 0]) > BRIGHT_FROM_MM] = 1.0
    sources = tuple(FrameReference(sop_class_uid="1.2", sop_instance_uid=f"{uid}.{n + 1}") for n in range(slices))
    return Volume(
        voxels=signal.astype(np.float32), affine=affine, sources=sources, series_instance_uid=uid,
        frame_of_reference_uid=frame,
    )  # fmt: skip


@cache
def sagittal(lean_deg=0.0, frame="2.25.70"):
    affine = np.array([[4.0, 0, 0, -20.0], [0, 0, 1.0, -80.0], [0, -1.0, 0, 100.0], [0, 0, 0, 1]])
    shape = (11, 200, 160)
    sources = tuple(FrameReference(sop_class_uid="1.2", sop_instance_uid=f"2.25.72.{n}") for n in range(1, 12))
    volume = Volume(
        voxels=np.zeros(shape, np.float32), affine=affine, sources=sources, series_instance_uid="2.25.72",
        frame_of_reference_uid=frame,
    )  # fmt: skip
    points = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    return volume, inside(points, lean_deg) > 0


def reading(lean_deg=0.0, disc_lean_deg=None, canal_diameter=GONE):
    """Discs 25 mm in front of the canal at even distances, their planes at right angles to it unless said."""
    volume, canal = sagittal(lean_deg)
    down = course(lean_deg if disc_lean_deg is None else disc_lean_deg)
    back = np.array([0.0, -down[2], down[1]])
    mask = np.zeros(canal.shape, bool)
    discs, levels = [], []
    for number, level in enumerate(LEVELS):
        at = course(lean_deg) * (number - 1.5) * PITCH_MM - back * 25
        step = np.linalg.inv(volume.affine[:3, :3])
        discs.append(
            DiscReading(
                level=level, mask=mask, centre_index=tuple(volume.to_index(at)), down_index=tuple(step @ down),
                back_index=tuple(step @ back), height=GONE, anterior_height=GONE, posterior_height=GONE,
            )
        )  # fmt: skip
        levels.append(CanalReading(level=level, ap_diameter=canal_diameter))
    return SpineReading(
        numbering=Numbering(method="counted_from_sacrum", ambiguous=False, note=""), vertebrae=(), discs=tuple(discs),
        canal=canal, canal_levels=tuple(levels), midsagittal_slice=5, size=None,
    )  # fmt: skip


class Known(MrSagittalDetector):
    """A segmenter whose reading is known."""

    def __init__(self, answer):
        self.answer = answer

    def read_spine(self, _volume, _progress):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Bright:
    """An engine that calls the brightest of a crop the sac, in parts where it is partly bright."""

    def run(self, image):
        low, high = image.min(axis=(2, 3), keepdims=True), image.max(axis=(2, 3), keepdims=True)
        share = np.clip((image - low) / np.maximum(high - low, 1e-6), 1e-6, 1 - 1e-6)
        logit = np.where(high - low > 1e-6, np.log(share / (1 - share)), -9.0)
        return np.concatenate([np.zeros_like(logit), logit], axis=1).astype(np.float32)


def bundle(errors=ERRORS, labels=LABELS):
    return Bundle(
        folder=None, identity=ModelIdentity(name="mr_axial_canal", version="1", sha256="0" * 64, training_data="x"),
        detector="mr_axial_canal", spacing_mm=(0.55, 0.55), context_slices=1, multiple_of=16, labels=dict(labels),
        metadata={"spine": {"errors": errors}},
    )  # fmt: skip


def measure(axial, known=None, lean_deg=0.0, policy=None, sagittal_volume=None):
    detector = MrAxialCanalDetector(bundle(), Bright(), Known(known or reading(lean_deg)), policy or SacAreaPolicy())
    by_role = {AXIAL: axial, SAGITTAL: sagittal_volume or sagittal(lean_deg)[0]}
    result = detector.read(axial, "1.2.3", lambda _doing, _share: None, by_role)
    return {f.site.level: f for f in result.findings}


def value(finding, name):
    return finding.measurement(name).value


LYING = {
    "straight": {},
    "tilted forwards": {"tilt_deg": 25.0},
    "tilted backwards": {"tilt_deg": -25.0},
    "slices from the head down": {"reverse": True, "tilt_deg": 10.0},
    "rows to the left": {"roll": True},
    "long pixels": {"pixel": (0.4, 0.8), "tilt_deg": -15.0},
    "coarse": {"pixel": (0.9, 0.9)},
    "leaning canal": {"lean_deg": 15.0},
    "leaning canal, slices along the discs": {"lean_deg": 20.0, "tilt_deg": -20.0},
    "leaning canal, slices the other way": {"lean_deg": -12.0, "tilt_deg": -12.0},
}


@pytest.mark.parametrize("lying", LYING.values(), ids=LYING.keys())
def test_the_area_and_both_diameters_of_a_tube_are_right_however_the_slices_lie(lying):
    found = measure(stack(**lying), lean_deg=lying.get("lean_deg", 0.0))
    assert list(found) == [level.name for level in LEVELS]
    for finding in found.values():
        area = finding.measurement("dural_sac_area")
        assert area.unit == "mm2"
        assert area.value == pytest.approx(AREA, abs=2 * area.uncertainty)
        assert area.value == pytest.approx(AREA, rel=0.06)
        assert value(finding, "dural_sac_ap_diameter") == pytest.approx(2 * HALF_DEPTH, abs=0.8)
        assert value(finding, "dural_sac_width") == pytest.approx(2 * HALF_WIDTH, abs=0.8)
        assert isinstance(finding.assessment, Absent)
        assert [(g.scale, g.value) for g in finding.grades] == [("sac_narrowing", "none")]
        assert finding.calibration is Calibration.SYNTHETIC


@pytest.mark.parametrize("narrowed", range(3))
def test_a_narrow_place_is_found_at_its_own_level_and_no_other(narrowed):
    axial = stack(narrow=[(narrowed - 1.5) * PITCH_MM], step=3.0, slices=46, side=60.0)
    found = measure(axial)
    for number, level in enumerate(LEVELS):
        finding = found[level.name]
        wanted = AREA * NARROW**2 if number == narrowed else AREA
        assert value(finding, "dural_sac_area") == pytest.approx(wanted, rel=0.08)
        assert isinstance(finding.assessment, Present if number == narrowed else Absent)
    worst = found[LEVELS[narrowed].name]
    assert worst.grades[0].value == "absolute"
    assert worst.probability > 0.99


def test_the_outline_lies_on_the_slice_that_was_measured_closed_and_around_the_sac():
    axial = stack(pixel=(0.4, 0.8), tilt_deg=10.0)
    finding = measure(axial)["L3-L4"]
    mark, outline = finding.evidence
    assert outline.source == mark.source
    assert outline.geometry.type is GeometryType.POLYLINE
    assert outline.geometry.points[0] == outline.geometry.points[-1]
    index = [s.sop_instance_uid for s in axial.sources].index(outline.source.sop_instance_uid)
    columns, rows = np.array(outline.geometry.points).T - 0.5
    at = axial.to_lps_mm(np.stack([np.full(len(rows), index), rows, columns], axis=1))
    assert np.abs(inside(at, 0.0)).max() < 0.8  # all on the tube's surface
    height = (at @ course(0.0)).mean() - (1 - 1.5) * PITCH_MM
    assert abs(height) <= LEVEL_MM


def test_at_l5_s1_a_small_sac_alone_is_no_stenosis():
    finding = measure(stack(narrow=[1.5 * PITCH_MM]))["L5-S1"]
    assert isinstance(finding.assessment, NotAssessed)
    assert finding.assessment.reason is ReasonCode.UNCERTAIN
    assert value(finding, "dural_sac_area") < 75


def test_an_area_that_cannot_be_told_from_the_cut_off_is_not_assessed_and_is_given():
    finding = measure(stack(), policy=SacAreaPolicy(absolute_mm2=AREA + 1, relative_mm2=AREA + 50))["L3-L4"]
    assert isinstance(finding.assessment, NotAssessed)
    assert finding.assessment.reason is ReasonCode.UNCERTAIN
    assert finding.grades == ()
    assert value(finding, "dural_sac_area") == pytest.approx(AREA, rel=0.05)


def joined(first, *others):
    return replace(first, other_stacks=others)


def test_of_several_stacks_the_one_that_lies_along_the_disc_is_measured():
    lean = 20.0
    blocks = [
        stack(lean_deg=lean, tilt_deg=-lean, slices=4, centre=course(lean) * (number - 1.5) * PITCH_MM, uid=f"2.25.{n}")
        for n, number in enumerate((0, 3), start=81)
    ]
    found = measure(joined(stack(lean_deg=lean), *blocks), lean_deg=lean)
    assert [f.evidence[0].source.sop_instance_uid.rpartition(".")[0] for f in found.values()] == [
        "2.25.81", "2.25.71", "2.25.71", "2.25.82",
    ]  # fmt: skip
    for finding in found.values():
        assert value(finding, "dural_sac_area") == pytest.approx(AREA, rel=0.06)
    turns = [f.measurement("dural_sac_area").method for f in found.values()]
    assert ["turned by 0 degrees" in t for t in turns] == [True, False, False, True]


def test_of_several_stacks_that_miss_a_disc_the_nearest_says_why():
    far, near = (stack(slices=4, centre=course(0.0) * at, uid=f"2.25.{n}") for n, at in ((81, -80.0), (82, 30.0)))
    missed = measure(joined(far, near))["L5-S1"].assessment
    assert missed.reason is ReasonCode.TRUNCATION
    assert "the nearest is 18 mm away" in missed.sentence


def test_slices_that_miss_a_disc_say_how_far_away_they_are():
    found = measure(stack(slices=9, centre=(0.0, 0.0, 18.0)))  # 16 mm to both sides of L3-L4
    assert found["L3-L4"].measurement("dural_sac_area") is not None
    missed = found["L5-S1"].assessment
    assert missed.reason is ReasonCode.TRUNCATION
    assert "the nearest is 56 mm away" in missed.sentence


@pytest.mark.parametrize(
    ("lying", "disc_lean"),
    [({"tilt_deg": COURSE_ANGLE_DEG + 3}, None), ({}, DISC_ANGLE_DEG + 4)],
    ids=["against the canal", "against the disc"],
)
def test_slices_that_are_turned_too_far_are_not_measured(lying, disc_lean):
    known = reading(0.0, disc_lean)
    reasons = {
        f.assessment.reason for f in measure(stack(**lying), known).values() if isinstance(f.assessment, NotAssessed)
    }
    assert ReasonCode.ORIENTATION in reasons


def test_slices_that_cut_the_canal_off_are_not_measured():
    found = measure(stack(side=30.0, centre=(12.0, 0.0, 0.0)))
    assert {f.assessment.reason for f in found.values()} == {ReasonCode.TRUNCATION}


def test_where_no_sac_is_seen_nothing_is_said():
    axial = stack()
    found = measure(replace(axial, voxels=np.zeros_like(axial.voxels)))
    assert {f.assessment.reason for f in found.values()} == {ReasonCode.UNCERTAIN}
    assert "No dural sac was found on axial slice" in found["L3-L4"].assessment.sentence


def test_a_sagittal_canal_that_ends_within_a_disc_is_not_followed():
    known = reading()
    known.canal[:, 150:] = False
    try:
        found = measure(stack(), known)
    finally:
        sagittal.cache_clear()
    assert found["L5-S1"].assessment.reason is ReasonCode.TRUNCATION


def test_a_sagittal_pixel_spacing_that_cannot_be_right_places_nothing():
    wrong = Unmeasured(reason=ReasonCode.SPACING, sentence="the pixel spacing cannot be right")
    found = measure(stack(), reading(canal_diameter=wrong))
    assert {f.assessment.reason for f in found.values()} == {ReasonCode.SPACING}


def test_axial_alone_cannot_name_its_levels():
    detector = MrAxialCanalDetector(bundle(), Bright(), Known(reading()), SacAreaPolicy())
    with pytest.raises(SeriesRefusal, match="named on a sagittal T2 series") as refused:
        detector.read(stack(), "1.2.3", lambda *_: None, {AXIAL: stack()})
    assert refused.value.code is ReasonCode.MISSING_SERIES


@pytest.mark.parametrize("frame", ["2.25.99", None])
def test_another_frame_of_reference_is_refused(frame):
    with pytest.raises(SeriesRefusal, match="do not share one Frame of Reference") as refused:
        measure(stack(frame=frame))
    assert refused.value.code is ReasonCode.GEOMETRY


def test_a_sagittal_series_without_a_spine_is_named_as_the_reason():
    detector = MrAxialCanalDetector(
        bundle(),
        Bright(),
        Known(SeriesRefusal("no plausible spine was found", code=ReasonCode.BODY_PART)),
        SacAreaPolicy(),
    )
    with pytest.raises(SeriesRefusal, match="could not be named on the sagittal T2 series: no plausible spine"):
        detector.read(stack(), "1.2.3", lambda *_: None, {AXIAL: stack(), SAGITTAL: sagittal()[0]})


@pytest.mark.parametrize("wrong", [{"labels": {"0": "sac"}}, {"errors": None}, {"errors": {"area_fraction": 0.1}}])
def test_a_bundle_that_is_no_axial_canal_network_is_refused(wrong):
    with pytest.raises(BundleRefusal, match="mr_axial_canal"):
        MrAxialCanalDetector(bundle(**wrong), Bright(), Known(reading()), SacAreaPolicy())
