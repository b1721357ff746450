"""One BINARY Segmentation per source series, on the grid of the source: nothing is resampled or reoriented.

Explicit VR Little Endian, frames without a voxel left out. Vertebrae and their bodies overlap, which rules out a
label map.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node import codes
from dicom_node.derived import ReportContext, finish
from dicom_node.equipment import contributing_equipment, fix_times, general_equipment
from dicom_node.seg.pixels import overlap, pack_frames
from dicom_node.seg.source import STAND_IN_SIZE, frame_keys, stand_ins
from dicom_node.seg.style import describe
from dicom_node.sr.procedure import REGION_BODY_PART, region_of
from dicom_node.uids import ObjectRole
from inference.errors import ReasonCode, SeriesRefusal
from inference.geometry import FrameReference, MaskArray
from inference.segmentation import Segment, Segmentation

SERIES_NUMBER = 9002
"""Of the first revision; later ones follow in steps of derived.REVISION_STEP."""
CONTENT_LABEL = "SPINE"


def encode_segmentation(segmentation: Segmentation, *, sources: Sequence[Dataset], context: ReportContext) -> Dataset:
    """Encode the segments of one series; segments without a voxel are left out.

    Args:
        segmentation: Masks (slice, row, column) on the source grid.
        sources: Headers (no pixels needed) of the instances of the series; only those of ``segmentation.sources`` are
            referenced.
        context: Who, when, and which revision.

    Raises:
        SeriesRefusal: the series has several frames of reference, no geometry, frames of different orientation, or
            nothing is outlined.
        ValueError: a source of the segmentation is not among ``sources``, or masks and headers differ in size.
    """
    segments = tuple(s for s in segmentation.segments if s.mask.any())
    if not segments:
        raise SeriesRefusal(
            f"Nothing was outlined in series {segmentation.series_instance_uid}.", code=ReasonCode.BODY_PART
        )
    headers = _used_headers(segmentation, sources)
    grid = _Grid(segmentation, segments, headers)
    result = _encode_frames(segmentation, grid, headers, context)
    finish(result, headers[0], context)
    fix_times(result)
    if not result.get("BodyPartExamined"):
        result.BodyPartExamined = REGION_BODY_PART[region_of((s.level for s in segments), headers)]
    return result


class _Grid:
    """Which slice of the masks lies on which source frame."""

    def __init__(self, segmentation: Segmentation, segments: tuple[Segment, ...], headers: Sequence[Dataset]) -> None:
        self.segments = segments
        self.frames = frame_keys(headers)
        self.slice_of = {(s.sop_instance_uid, s.frame or 1): i for i, s in enumerate(segmentation.sources)}
        rows, columns = int(headers[0].Rows), int(headers[0].Columns)
        self.shape = (len(segmentation.sources), rows, columns)
        for segment in segments:
            if segment.mask.shape != self.shape:
                raise ValueError(f"mask of {segment.label} must be {self.shape}, got {segment.mask.shape}")

    def occupied(self) -> NDArray[np.uint8]:
        """Stand-in masks, (frame, STAND_IN_SIZE, STAND_IN_SIZE, segment): a pixel where the segment is on the frame."""
        marks = np.zeros((len(self.frames), STAND_IN_SIZE, STAND_IN_SIZE, len(self.segments)), dtype=np.uint8)
        for number, segment in enumerate(self.segments):
            on_slice = np.asarray(segment.mask.any(axis=(1, 2)))
            for index, frame in enumerate(self.frames):
                place = self._slice(frame)
                marks[index, 0, 0, number] = place is not None and on_slice[place]
        return marks

    def _slice(self, frame: FrameReference) -> int | None:
        return self.slice_of.get((frame.sop_instance_uid, frame.frame or 1))

    def planes(self, result: Dataset) -> Iterator[MaskArray]:
        """The mask of every frame of the encoded object, found by its segment number and source reference."""
        shared = result.SharedFunctionalGroupsSequence[0]
        for group in result.PerFrameFunctionalGroupsSequence:
            identification = (
                group if "SegmentIdentificationSequence" in group else shared
            ).SegmentIdentificationSequence
            segment = self.segments[int(identification[0].ReferencedSegmentNumber) - 1]
            source = group.DerivationImageSequence[0].SourceImageSequence[0]
            frame = int(source.get("ReferencedFrameNumber", None) or 1)
            yield segment.mask[self.slice_of[(str(source.ReferencedSOPInstanceUID), frame)]]


def _used_headers(segmentation: Segmentation, sources: Sequence[Dataset]) -> list[Dataset]:
    """The headers that the segmentation refers to, once each, in its order."""
    by_uid = {str(header.SOPInstanceUID): header for header in sources}
    wanted = list(dict.fromkeys(s.sop_instance_uid for s in segmentation.sources))
    missing = [uid for uid in wanted if uid not in by_uid]
    if missing:
        raise ValueError(f"{len(missing)} instances of the segmentation are not among the sources, like {missing[0]}")
    return [by_uid[uid] for uid in wanted]


def _encode_frames(
    segmentation: Segmentation, grid: _Grid, headers: Sequence[Dataset], context: ReportContext
) -> hd.seg.Segmentation:
    """Metadata by highdicom from the stand-ins, then the real size and bits."""
    origin = context.origin((str(h.SOPInstanceUID) for h in headers), (segmentation.model,))
    role = (ObjectRole.SEGMENTATION, segmentation.series_instance_uid)
    result = hd.seg.Segmentation(
        source_images=stand_ins(headers, segmentation.series_instance_uid),
        pixel_array=grid.occupied(),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[describe(n, s, segmentation.model) for n, s in enumerate(grid.segments, start=1)],
        series_instance_uid=origin.uid(*role, "series"),
        series_number=context.series_number(SERIES_NUMBER),
        sop_instance_uid=origin.uid(*role),
        instance_number=1,
        **general_equipment(context),
        content_label=CONTENT_LABEL,
        content_description="Vertebrae, vertebral bodies, discs and spinal canal",
        contributing_equipment=contributing_equipment((segmentation.model,), context),
        coding_schemes=[codes.coding_scheme()],
        omit_empty_frames=True,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    _, result.Rows, result.Columns = grid.shape
    result.PixelData = pack_frames(grid.planes(result))
    result.SegmentsOverlap = "YES" if overlap(s.mask for s in grid.segments) else "NO"
    _fix_dimension_uid(result, origin.uid(*role, "dimensions"))
    return result


def _fix_dimension_uid(result: Dataset, uid: str) -> None:
    """Derive the Dimension Organization UID, which highdicom draws at random."""
    for item in (*result.DimensionIndexSequence, *result.DimensionOrganizationSequence):
        item.DimensionOrganizationUID = uid
