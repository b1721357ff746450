"""How segments are described and coloured: the same structure has the same colour in every study."""

from __future__ import annotations

import highdicom as hd
from highdicom.color import CIELabColor
from highdicom.seg import SegmentDescription

from dicom_node import code_table as table
from dicom_node import codes
from dicom_node.derived import plain
from inference.anatomy import Vertebra, parse_level
from inference.provenance import MANUFACTURER, ModelIdentity
from inference.segmentation import Segment, Structure

_WHEEL: tuple[tuple[int, int, int], ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""Okabe and Ito 2008, without black: distinguishable with the common colour vision deficiencies."""
_CANAL_RGB = (160, 160, 255)
_BODY_SHADE, _DISC_SHADE = 0.75, 0.5
"""A body is a darker and a disc a much darker tone of its vertebra's colour."""


def display_color(structure: Structure, level: str | None) -> CIELabColor:
    """Recommended display colour, as DICOM writes it."""
    return CIELabColor.from_rgb(*display_rgb(structure, level))


def display_rgb(structure: Structure, level: str | None) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255: by the level's place in the spine, and the structure's shade."""
    if structure is Structure.SPINAL_CANAL or level is None:
        return _CANAL_RGB
    place = parse_level(level)
    vertebra = place if isinstance(place, Vertebra) else place.above
    red, green, blue = _WHEEL[list(Vertebra).index(vertebra) % len(_WHEEL)]
    shade = {Structure.VERTEBRAL_BODY: _BODY_SHADE, Structure.DISC: _DISC_SHADE}.get(structure, 1.0)
    return round(red * shade), round(green * shade), round(blue * shade)


def describe(number: int, segment: Segment, model: ModelIdentity) -> SegmentDescription:
    """The Segment Sequence item of a segment (PS3.3 C.8.20.4), number from 1."""
    algorithm = hd.AlgorithmIdentificationSequence(
        name=plain(model.name),
        family=table.DCM["123110"].code,
        version=plain(model.version),
        source=MANUFACTURER,
        parameters={"weights_sha256": model.sha256},
    )
    return SegmentDescription(
        segment_number=number,
        segment_label=segment.label,
        segmented_property_category=table.SCT["91723000"].code,
        segmented_property_type=codes.structure_code(segment.structure, segment.level),
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm,
        tracking_uid=segment.tracking_uid,
        tracking_id=segment.label,
        display_color=display_color(segment.structure, segment.level),
    )
