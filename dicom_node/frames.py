"""Geometry attributes of one frame of a source header, classic or enhanced multi-frame (PS3.3 C.7.6.16)."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset

from inference.errors import InstanceRefusal, ReasonCode
from inference.plane import ImagePlane


def functional_group(header: Dataset, frame: int | None, macro: str) -> Dataset | None:
    """The item of a functional group macro for a frame (from 1): its own, else the shared one, else None."""
    for groups in _groups(header, frame):
        sequence = groups.get(macro)
        if sequence:
            item = sequence[0]
            assert isinstance(item, Dataset)  # noqa: S101 - pydicom's sequences hold datasets
            return item
    return None


def _groups(header: Dataset, frame: int | None) -> Iterator[Dataset]:
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    index = (frame or 1) - 1
    if index < len(per_frame):
        yield per_frame[index]
    yield from (header.get("SharedFunctionalGroupsSequence") or [])[:1]


def frame_values(header: Dataset, frame: int | None, macro: str, keyword: str) -> tuple[float, ...] | None:
    """A numeric attribute of a frame: from the header itself, else from the macro; None where it is not there."""
    value = header.get(keyword)
    if value is None:
        item = functional_group(header, frame, macro)
        value = None if item is None else item.get(keyword)
    if value is None or value == "":
        return None
    values = [value] if isinstance(value, int | float | str) else list(value)
    return tuple(float(v) for v in values)


def pixel_spacing(header: Dataset, frame: int | None) -> tuple[float, float] | None:
    """(between rows, between columns) in mm, in the patient; None for projections and where it is not stated."""
    values = frame_values(header, frame, "PixelMeasuresSequence", "PixelSpacing")
    if values is None or len(values) != 2 or min(values) <= 0:  # noqa: PLR2004 - rows and columns
        return None
    return values[0], values[1]


def image_plane(header: Dataset, frame: int | None) -> ImagePlane:
    """The plane of one frame (from 1; None for a single-frame instance) in the patient.

    Raises:
        InstanceRefusal: with E_GEOMETRY or E_SPACING: the frame is not in the instance, or its position, orientation
            or pixel spacing is missing or impossible.
    """
    uid = str(header.get("SOPInstanceUID", ""))
    _check_frame(header, frame, uid)
    position = frame_values(header, frame, "PlanePositionSequence", "ImagePositionPatient")
    orientation = frame_values(header, frame, "PlaneOrientationSequence", "ImageOrientationPatient")
    spacing = pixel_spacing(header, frame)
    if position is None or len(position) != 3 or orientation is None or len(orientation) != 6:  # noqa: PLR2004 - LPS
        raise InstanceRefusal(
            f"Instance {uid} has no position and orientation in the patient.", code=ReasonCode.GEOMETRY
        )
    if spacing is None:
        raise InstanceRefusal(f"Instance {uid} has no pixel spacing in the patient.", code=ReasonCode.SPACING)
    try:
        return ImagePlane(
            position_mm=(position[0], position[1], position[2]),
            row_direction=(orientation[0], orientation[1], orientation[2]),
            column_direction=(orientation[3], orientation[4], orientation[5]),
            spacing_mm=spacing,
        )
    except ValueError as error:
        raise InstanceRefusal(
            f"The geometry of instance {uid} is impossible: {error}.", code=ReasonCode.GEOMETRY
        ) from error


def _check_frame(header: Dataset, frame: int | None, uid: str) -> None:
    count = int(header.get("NumberOfFrames", None) or 1)
    if frame is None and count > 1:
        raise InstanceRefusal(f"Instance {uid} has {count} frames, and no frame is named.", code=ReasonCode.GEOMETRY)
    if frame is not None and not 1 <= frame <= count:
        raise InstanceRefusal(f"Instance {uid} has {count} frames, got frame {frame}.", code=ReasonCode.GEOMETRY)
