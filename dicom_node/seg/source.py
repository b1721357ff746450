"""The source series as the segmentation sees it: its frames in source order, and stand-ins for its headers.

highdicom takes the geometry from the headers and builds every reference from them. It would also take the full masks
of all segments as one array (2.4 GB for 300 slices of 512 x 512 and 30 segments), so it is given small stand-in frames,
and ``pixels`` writes the bits. The geometry that it copies does not depend on the number of rows and columns.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset

from dicom_node.derived import stand_in
from dicom_node.frames import frame_values, functional_group
from inference.errors import ReasonCode, SeriesRefusal
from inference.geometry import FrameReference
from inference.provenance import deterministic_uid

STAND_IN_SIZE = 8
"""Rows and columns of the stand-in frames; 64 pixels pack into whole bytes."""
_IMAGE_KEYWORDS = ("Modality", "ImageType", "LossyImageCompression", "LossyImageCompressionRatio")
_PLANE_KEYWORDS = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness")


def stand_ins(headers: Sequence[Dataset], series_instance_uid: str) -> list[Dataset]:
    """Headers of STAND_IN_SIZE rows and columns, in the order given; one for an enhanced multi-frame instance."""
    frame_of_reference = _frame_of_reference(headers, series_instance_uid)
    copies = []
    for header in headers:
        copy = stand_in(header, _IMAGE_KEYWORDS)
        if "PerFrameFunctionalGroupsSequence" in header:
            _copy_frames(header, copy, series_instance_uid)
        else:
            _copy_plane(header, copy, series_instance_uid)
        copy.FrameOfReferenceUID = frame_of_reference
        copy.PositionReferenceIndicator = ""
        copy.Rows = copy.Columns = STAND_IN_SIZE
        copies.append(copy)
    return copies


def frame_keys(headers: Sequence[Dataset]) -> list[FrameReference]:
    """Every frame of the headers in source order; single-frame instances have frame None."""
    keys: list[FrameReference] = []
    for header in headers:
        numbers: list[int | None] = [None]
        if "PerFrameFunctionalGroupsSequence" in header:
            numbers = list(range(1, len(header.PerFrameFunctionalGroupsSequence) + 1))
        sop_class, sop_instance = str(header.SOPClassUID), str(header.SOPInstanceUID)
        keys += [FrameReference(sop_class_uid=sop_class, sop_instance_uid=sop_instance, frame=n) for n in numbers]
    return keys


def _frame_of_reference(headers: Sequence[Dataset], series: str) -> str:
    """The one Frame of Reference UID of the series; a derived one where no header has any.

    A source without one says nothing about where its frame is, so the segmentation gets a frame of its own: it lies on
    its source by its references. Slices that each claim another frame cannot be one segmentation.
    """
    uids = {str(header.get("FrameOfReferenceUID", "") or "") for header in headers}
    if uids == {""}:
        return deterministic_uid("frame of reference", series)
    if len(uids) > 1:
        raise SeriesRefusal(
            f"The {len(headers)} instances of series {series} have {len(uids)} different Frame of Reference UIDs; "
            "a segmentation needs one for all.",
            code=ReasonCode.GEOMETRY,
        )
    return uids.pop()


def _copy_plane(header: Dataset, copy: Dataset, series: str) -> None:
    missing = [k for k in _PLANE_KEYWORDS[:3] if not header.get(k)]
    if missing:
        raise _no_geometry(series, missing)
    for keyword in _PLANE_KEYWORDS:
        if header.get(keyword):
            copy[keyword] = header[keyword]
    if "SliceThickness" not in copy:
        copy.SliceThickness = None


def _copy_frames(header: Dataset, copy: Dataset, series: str) -> None:
    """Positions per frame, orientation and pixel measures shared, however the source encodes them."""
    count = len(header.PerFrameFunctionalGroupsSequence)
    shared = Dataset()
    for macro, keyword in (
        ("PlaneOrientationSequence", "ImageOrientationPatient"),
        ("PixelMeasuresSequence", "PixelSpacing"),
    ):
        values = {frame_values(header, number, macro, keyword) for number in range(1, count + 1)}
        item = functional_group(header, 1, macro)
        if item is None or None in values:
            raise _no_geometry(series, [keyword])
        if len(values) > 1:
            raise SeriesRefusal(
                f"The frames of series {series} have {len(values)} different values of {keyword}; "
                "a segmentation needs one for all.",
                code=ReasonCode.MIXED,
            )
        setattr(shared, macro, [item])
    copy.SharedFunctionalGroupsSequence = [shared]
    copy.PerFrameFunctionalGroupsSequence = [_position_group(header, n, series) for n in range(1, count + 1)]
    copy.NumberOfFrames = count


def _position_group(header: Dataset, number: int, series: str) -> Dataset:
    item = functional_group(header, number, "PlanePositionSequence")
    if item is None or not item.get("ImagePositionPatient"):
        raise _no_geometry(series, ["ImagePositionPatient"])
    group = Dataset()
    group.PlanePositionSequence = [item]
    return group


def _no_geometry(series: str, keywords: Sequence[str]) -> SeriesRefusal:
    return SeriesRefusal(
        f"Series {series} has no {', '.join(keywords)}; a segmentation needs position, orientation and spacing.",
        code=ReasonCode.GEOMETRY,
    )
