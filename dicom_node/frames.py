"""Geometry attributes of one frame of a source header, classic or enhanced multi-frame (PS3.3 C.7.6.16)."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset


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
