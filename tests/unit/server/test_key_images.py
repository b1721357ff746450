"""Which slices become key images, and that a picture says how it was made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference.anatomy import Numbering, Site
from inference.errors import ReasonCode
from inference.findings import (
    Absent,
    Evidence,
    Finding,
    Geometry,
    GeometryType,
    NotAssessed,
    Present,
    Question,
    StudyFindings,
)
from inference.geometry import FrameReference, Volume, affine_from_orientation
from server.key_images import MOST_PICTURES, choose_slices, key_images
from server.overlay_canvas import FOOTER_HEIGHT_PX, IMAGE_HEIGHT_PX

SAGITTAL = (0, 1, 0, 0, 0, -1)
AXIAL = (1, 0, 0, 0, 1, 0)
POINT = Geometry(type=GeometryType.POINT, points=((5.0, 5.0),))


def volume_of(uid: str, orientation=SAGITTAL, slices=12) -> Volume:
    step = np.cross(orientation[:3], orientation[3:]) * 4.0
    return Volume(
        voxels=np.linspace(0, 100, slices * 20 * 10, dtype=np.float32).reshape(slices, 20, 10),
        affine=affine_from_orientation((0.0, 0.0, 0.0), orientation, (1.0, 1.0), step),
        sources=tuple(
            FrameReference(sop_class_uid="1.2.840.10008.5.1.4.1.1.4", sop_instance_uid=f"{uid}.{i}")
            for i in range(slices)
        ),
        series_instance_uid=uid,
    )


def finding(number: int, volume: Volume | None, *slices: int, assessment=None) -> Finding:
    marks = (Evidence(source=volume.sources[i], geometry=POINT) for i in slices) if volume is not None else ()
    return Finding(
        id=f"2.25.{number}",
        question=Question.COMPRESSION_FRACTURE,
        site=Site(level="L1"),
        assessment=assessment or Present(),
        evidence=tuple(marks),
    )


def document(*findings: Finding) -> StudyFindings:
    return StudyFindings(
        study_instance_uid="1.2",
        series=(),
        numbering=Numbering(method="counted_from_sacrum", ambiguous=False, note=""),
        findings=findings,
        models=(),
        software_version="0",
    )


def chosen(volumes: list[Volume], *findings: Finding) -> list[tuple[str, int]]:
    by_uid = {volume.series_instance_uid: volume for volume in volumes}
    return [(s.volume.series_instance_uid, s.index) for s in choose_slices(by_uid, {}, document(*findings))]


def test_as_few_slices_as_show_everything_that_is_present():
    volume = volume_of("1.1")
    findings = (finding(1, volume, 2), finding(2, volume, 3, 7), finding(3, volume, 7), finding(4, volume, 7))
    assert chosen([volume], *findings) == [("1.1", 7), ("1.1", 2)]


@pytest.mark.parametrize(
    "assessment", [Absent(), NotAssessed(reason=ReasonCode.NO_MODEL, sentence="No model.")], ids=["absent", "open"]
)
def test_a_study_with_nothing_present_gets_one_overview(assessment):
    axial, sagittal = volume_of("1.1", AXIAL), volume_of("1.2")
    assert chosen([axial, sagittal], finding(1, axial, 3, assessment=assessment)) == [("1.2", 6)]


def test_a_finding_without_a_mark_is_told_on_the_overview():
    sagittal, axial = volume_of("1.2"), volume_of("1.1", AXIAL)
    assert chosen([axial, sagittal], finding(1, None)) == [("1.2", 6)]


def test_what_is_present_on_an_axial_series_is_shown_there():
    sagittal, axial = volume_of("1.2"), volume_of("1.1", AXIAL)
    assert chosen([axial, sagittal], finding(1, sagittal, 4), finding(2, axial, 9)) == [("1.2", 4), ("1.1", 9)]


def test_other_stacks_of_a_series_are_looked_at_too():
    first, second = volume_of("1.1", AXIAL), volume_of("1.1.9", AXIAL)
    both = replace(first, other_stacks=(second,))
    (only,) = choose_slices({"1.1": both}, {}, document(finding(1, second, 3)))
    assert (only.volume, only.index) == (second, 3)


def test_the_number_of_pictures_is_bounded():
    volume = volume_of("1.1", slices=20)
    assert len(chosen([volume], *(finding(i, volume, i) for i in range(20)))) == MOST_PICTURES


def test_where_nothing_was_read_there_is_no_picture():
    assert chosen([], finding(1, None)) == []


def test_a_picture_repeats_itself_and_says_its_slice_and_window():
    volume = volume_of("1.1")
    findings = document(finding(1, volume, 2))
    (one,) = key_images({"1.1": volume}, {}, findings)
    (again,) = key_images({"1.1": volume}, {}, findings)
    assert np.array_equal(one.pixels, again.pixels)
    assert one.pixels.shape[0] == IMAGE_HEIGHT_PX + FOOTER_HEIGHT_PX
    assert one.source == volume.sources[2]
    assert one.text == "L1: compression fracture. Drawn on slice 3 of 12, enlarged, window 0.5 to 98.5."
