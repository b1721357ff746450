"""The plane of a frame from its header, classic or enhanced, or the reason why it has none."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from dicom_node.frames import image_plane
from inference.errors import InstanceRefusal, ReasonCode

OBLIQUE = [0.6, 0.8, 0.0, 0.0, 0.0, -1.0]


def classic(**changes) -> Dataset:
    header = Dataset()
    values = {
        "SOPInstanceUID": "1.2.3",
        "ImagePositionPatient": [1, 2, 3],
        "ImageOrientationPatient": OBLIQUE,
        "PixelSpacing": [2.0, 0.5],
    }
    for keyword, value in (values | changes).items():
        setattr(header, keyword, value)
    return header


def enhanced(positions) -> Dataset:
    header = Dataset()
    header.SOPInstanceUID, header.NumberOfFrames = "1.2.3", len(positions)
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient, measures.PixelSpacing = OBLIQUE, [2.0, 0.5]
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    header.SharedFunctionalGroupsSequence = [shared]
    header.PerFrameFunctionalGroupsSequence = []
    for position in positions:
        group, item = Dataset(), Dataset()
        item.ImagePositionPatient = position
        group.PlanePositionSequence = [item]
        header.PerFrameFunctionalGroupsSequence.append(group)
    return header


def test_a_classic_image():
    plane = image_plane(classic(), None)
    assert plane.position_mm == (1, 2, 3)
    assert (plane.row_direction, plane.column_direction) == ((0.6, 0.8, 0), (0, 0, -1))
    assert plane.spacing_mm == (2.0, 0.5)
    assert image_plane(classic(), 1) == plane


def test_a_frame_of_an_enhanced_image_has_its_own_position():
    header = enhanced([[1, 2, 3], [4, 5, 6]])
    assert [image_plane(header, frame).position_mm for frame in (1, 2)] == [(1, 2, 3), (4, 5, 6)]
    assert image_plane(header, 2).spacing_mm == (2.0, 0.5)


@pytest.mark.parametrize(
    ("header", "frame", "code", "words"),
    [
        (classic(ImagePositionPatient=None), None, ReasonCode.GEOMETRY, "no position"),
        (classic(ImageOrientationPatient=None), None, ReasonCode.GEOMETRY, "no position and orientation"),
        (classic(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), None, ReasonCode.GEOMETRY, "right angle"),
        (classic(PixelSpacing=None), None, ReasonCode.SPACING, "no pixel spacing"),
        (classic(PixelSpacing=[0, 1]), None, ReasonCode.SPACING, "no pixel spacing"),
        (classic(), 2, ReasonCode.GEOMETRY, "has 1 frames, got frame 2"),
        (enhanced([[1, 2, 3], [4, 5, 6]]), None, ReasonCode.GEOMETRY, "no frame is named"),
        (enhanced([[1, 2, 3]]), 0, ReasonCode.GEOMETRY, "got frame 0"),
    ],
)
def test_what_is_missing_is_named(header, frame, code, words):
    with pytest.raises(InstanceRefusal, match=words) as refused:
        image_plane(header, frame)
    assert refused.value.code is code
    assert "1.2.3" in refused.value.sentence
