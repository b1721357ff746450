"""Reading a BINARY segmentation that this node made: which structure lies where on which source frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset

from dicom_node.seg.pixels import unpack_frame
from inference.geometry import MaskArray
from inference.segmentation import Structure


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SegmentFrame:
    """One segment on one frame of its source."""

    sop_instance_uid: str
    """Of the source."""
    frame: int | None
    """Of the source, from 1; None for a single-frame source."""
    label: str
    structure: Structure
    level: str | None
    tracking_uid: str
    mask: MaskArray
    """(row, column) on the source's grid."""


def source_series(segmentation: Dataset) -> str:
    """Series Instance UID of the images that were segmented."""
    return str(segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID)


def segment_frames(segmentation: Dataset, is_wanted: Callable[[str], bool]) -> Iterator[SegmentFrame]:
    """The frames whose source's SOP Instance UID is wanted, in the order in which they are stored.

    Raises:
        ValueError: the pixel data ends early, or a label is not one that this node writes.
    """
    segments = {int(item.SegmentNumber): item for item in segmentation.SegmentSequence}
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    shape, pixels = (int(segmentation.Rows), int(segmentation.Columns)), segmentation.PixelData
    for index, group in enumerate(segmentation.PerFrameFunctionalGroupsSequence):
        source = group.DerivationImageSequence[0].SourceImageSequence[0]
        if not is_wanted(str(source.ReferencedSOPInstanceUID)):
            continue
        owner = group if "SegmentIdentificationSequence" in group else shared
        segment = segments[int(owner.SegmentIdentificationSequence[0].ReferencedSegmentNumber)]
        structure, level = _named(str(segment.SegmentLabel))
        number = source.get("ReferencedFrameNumber", None)
        yield SegmentFrame(
            sop_instance_uid=str(source.ReferencedSOPInstanceUID),
            frame=None if number is None else int(number),
            label=str(segment.SegmentLabel),
            structure=structure,
            level=level,
            tracking_uid=str(segment.TrackingUID),
            mask=unpack_frame(pixels, index, shape),
        )


def _named(label: str) -> tuple[Structure, str | None]:
    """Structure and level of a segment label, like ``L4 vertebral body`` or ``spinal canal``."""
    if label == Structure.SPINAL_CANAL:
        return Structure.SPINAL_CANAL, None
    level, _, structure = label.partition(" ")
    return Structure(structure), level
