"""Which level each segment is: counted upwards from the sacrum.

The sacrum itself is not a class, so the lowest disc that has a body above it and none below it is taken for L5-S1. That
is an assumption, and it is said: a transitional vertebra cannot be seen in a lumbar field of view, because only
counting from C2 or from the ribs tells a sacralised L5 from an L4 (models.md 3.5).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inference.anatomy import REGULAR_VERTEBRAE, Disc, Numbering, Vertebra
from inference.errors import ReasonCode, SeriesRefusal
from inference.geometry import FloatArray
from inference.measure.bodies import Bodies
from inference.measure.canal_line import CanalLine
from inference.measure.grid import SagittalGrid
from inference.measure.separators import Separator

METHOD = "counted_from_sacrum"
CAVEAT = (
    "Levels are counted upwards from the last mobile disc, taken for L5-S1; "
    "a lumbosacral transitional vertebra cannot be excluded without a view of the whole spine."
)
NAMED_METHOD = "named_by_other_series"
NAMED_CAVEAT = (
    "Levels are named by another sagittal series with a larger field of view, where they are counted upwards from the "
    "last mobile disc, taken for L5-S1; a lumbosacral transitional vertebra cannot be excluded without a view of the "
    "whole spine."
)
MINIMUM_BODIES = 3
"""Fewer ordered bodies are no spine to number (models.md 4.3, E_BODYPART)."""
SACRUM_MARGIN_MM = 12.0
"""Image needed below the lowest disc to see that no body follows: half a vertebral body."""
WHOLE_SHARE = 0.4
"""Share of the median body below which something under the last disc is no vertebra but a piece of the sacrum."""
SMALLEST_BODY_MM3 = 150.0
"""A body cut by the upper edge of the field of view is kept down to this (about 4 x 30 mm on one 1.3 mm slice)."""
EMPTY_SHARE = 0.1
"""A level between two discs with less bone than this share of the median body has no body that could be outlined."""
REMNANT_DEPTH = (0.42, 2 / 3)
"""Depth of the rest of the disc between S1 and S2 over that of L5-S1; whoever lies within is said to be ambiguous.
Chosen by hand on the SPIDER mid-sagittal slices, like the four below."""
PARTIAL_BODY = 0.6
PARTIAL_DEPTH = 0.85
"""Or: the body above it has less than this share of the usual volume, and the disc less than this of the depth."""
PIECE_BODY, PIECE_AREA = 0.75, 0.4
"""So it is with a body that lacks less, if the disc has less than this share of the area: a worn one has little too,
but a whole body above it."""
TALLEST_S1 = 1.15
"""Distance between the two lowest discs over that between the two above, from which what lies between them is no S1: it
is lower than L5 with its disc (0.9, the pairs of rests on SPIDER mid-sagittal slices from 0.8 to 1.02). What is left of
L5-S1 under a body that has slipped far is as short as the rest of S1-S2, and this tells it from that."""
RUDIMENTARY_DEPTH, RUDIMENTARY_THICKNESS = 0.8, 0.7
"""A lowest disc that is both shallower and thinner than these shares of the one above it may be the rudimentary one of
a transitional vertebra (O'Driscoll, Skeletal Radiol 1996;25:225); a worn disc is thin but as deep. Chosen by hand on
SPIDER mid-sagittal T2 slices: 2 of 78 (patients 32 and 109) lie below both."""
COUNT_CAVEAT = "Four or six lumbar vertebrae cannot be told from five without C2 or the ribs in view."
FLATTEST_SACRUM_DEG = 5.0
STEEPEST_SACRUM_DEG = 75.0
"""Inclination of the L5-S1 disc against the image's horizontal: sacral slope is 39 +- 8 degrees standing (models.md
2.3), and four and a half standard deviations to either side leave room for lying and for the disc's own wedge."""
MOST_THORACOLUMBAR = 17
"""T1 to L5: more bodies than that above a sacrum are possible only with the neck in view."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """The level of each segment that is kept, and of each disc."""

    vertebrae: dict[int, Vertebra]
    """By segment number, head to foot; a level whose body was not outlined is not in it."""
    discs: dict[int, Disc]
    """By number of the disc in the label array."""
    numbering: Numbering
    transitional: tuple[str, ...] = ()
    """Signs of a lumbosacral transitional vertebra, a sentence each; empty without any."""


def number_levels(
    bodies: Bodies,
    disc_labels: NDArray[np.int16],
    line: CanalLine,
    grid: SagittalGrid,
    lowest: Vertebra | None = None,
) -> Levels:
    """Name the segments and discs.

    Args:
        bodies: the segments.
        disc_labels: the discs on the crop, by their separators' number.
        line: the canal's course.
        grid: the canonical crop.
        lowest: the level of the lowest vertebra where another series tells it (`inference.measure.naming`); else it is
            taken for L5.

    Raises:
        SeriesRefusal: fewer than three bodies, or more than a spine has.
    """
    kept = kept_segments(bodies, grid)
    if len(kept) < MINIMUM_BODIES:
        raise SeriesRefusal(
            f"no plausible spine was found: {len(kept)} vertebral bodies in order along a spinal canal, "
            f"at least {MINIMUM_BODIES} are needed",
            code=ReasonCode.BODY_PART,
        )
    sideways = _sideways_doubt(bodies.separators[min(kept[-1], len(bodies.separators)) - 1], line, grid)
    kept, remnant = (kept, []) if sideways else _without_sacrum(kept, bodies, disc_labels, grid)
    last = kept[-1]
    names = _names(last, kept[0], lowest or Vertebra.L5)
    vertebrae = {number: names[number] for number in kept}
    discs = {}
    for place, separator in enumerate(bodies.separators, start=1):
        if separator.disc is not None and place <= last:
            below = names.get(place + 1)
            above = names.get(place) or (below.above if below is not None else None)
            if above is not None and above is not Vertebra.C1:
                discs[separator.disc] = Disc.under(above)
    transitional = [
        *remnant,
        *_further_discs(bodies, last + len(remnant)),
        *_rudimentary_disc(bodies, disc_labels, grid, last),
    ]
    doubts = _chain_doubts(bodies, kept)
    if lowest is None:
        doubts = [*transitional, *_lower_end_doubts(bodies, disc_labels, grid, last), *doubts, *sideways]
    method, caveat = (METHOD, CAVEAT) if lowest is None else (NAMED_METHOD, NAMED_CAVEAT)
    note = " ".join([caveat, *doubts])
    return Levels(
        vertebrae=vertebrae,
        discs=discs,
        numbering=Numbering(method=method, ambiguous=bool(doubts), note=note),
        transitional=tuple(transitional) if lowest in (None, Vertebra.L5) else (),
    )


def with_doubts(levels: Levels, doubts: tuple[str, ...]) -> Levels:
    """The same levels, their numbering ambiguous for these further reasons; unchanged without any."""
    if not doubts:
        return levels
    numbering = replace(levels.numbering, ambiguous=True, note=" ".join([levels.numbering.note, *doubts]))
    return replace(levels, numbering=numbering)


def kept_segments(bodies: Bodies, grid: SagittalGrid) -> tuple[int, ...]:
    """Numbers of the segments that are vertebrae: not empty, and below the last disc only if nearly whole."""
    volumes = bodies.volumes_mm3
    usual = _usual_volume(volumes)
    kept = []
    for number, volume in enumerate(volumes, start=1):
        has_disc_below = number <= len(bodies.separators)
        at_top = number == 1
        least = max(SMALLEST_BODY_MM3, (EMPTY_SHARE if has_disc_below and not at_top else 0.0) * usual)
        if not has_disc_below and bodies.separators:
            least = (EMPTY_SHARE if _ends_at_bottom(bodies, grid, number) else WHOLE_SHARE) * usual
        if volume >= least:
            kept.append(number)
    return tuple(kept)


def _without_sacrum(
    kept: tuple[int, ...], bodies: Bodies, disc_labels: NDArray[np.int16], grid: SagittalGrid
) -> tuple[tuple[int, ...], list[str]]:
    """The segments without S1, where the lowest disc is the rest of the one between S1 and S2; and what is in doubt.

    That rest is about half as deep as the disc above it; a much shallower one is a piece of a disc. S1 is background to
    the segmentation, so that it often comes out in pieces, which tells it from L5 too.
    """
    last = kept[-1]
    if len(kept) <= MINIMUM_BODIES:
        return kept, []
    body = bodies.volumes_mm3[last - 1] / _usual_volume(bodies.volumes_mm3)
    if last > len(bodies.separators):
        if body >= PIECE_BODY or _ends_at_bottom(bodies, grid, last):
            return kept, []
        return kept[:-1], [
            f"The lowest body has no disc under it and {body:.0%} of the usual volume, and was taken for a piece of S1."
        ]
    share, area = _lowest_disc(bodies, disc_labels, grid, last)
    is_piece = body < PARTIAL_BODY or (body < PIECE_BODY and area < PIECE_AREA)
    is_rest = REMNANT_DEPTH[0] <= share < REMNANT_DEPTH[1] or (is_piece and share < PARTIAL_DEPTH)
    if not is_rest or _distance_share(bodies, last) > TALLEST_S1:
        return kept, []
    return kept[:-1], [
        f"The lowest disc is only {share:.0%} as deep as the one above it, and was taken for the rest of S1-S2."
    ]


def _lowest_disc(bodies: Bodies, disc_labels: NDArray[np.int16], grid: SagittalGrid, last: int) -> tuple[float, float]:
    """Depth and area of the lowest disc over those of the one above; infinite where either was not found."""
    pair = bodies.separators[max(last - 2, 0) : last]
    if len(pair) < 2 or any(s.disc is None for s in pair):  # noqa: PLR2004 - two discs
        return np.inf, np.inf
    depths = [_depth_mm(disc_labels, separator, grid) for separator in pair]
    if min(depths) <= 0.0:  # one voxel wide
        return np.inf, np.inf
    areas = [int((disc_labels == separator.disc).sum()) for separator in pair]
    return depths[1] / depths[0], areas[1] / areas[0]


def _distance_share(bodies: Bodies, last: int) -> float:
    """Distance of the lowest disc from the one above over that of this one from the next."""
    low, middle, high = (separator.centre_mm for separator in bodies.separators[last - 3 : last][::-1])
    return float(np.linalg.norm(low - middle) / max(float(np.linalg.norm(middle - high)), 1.0))


def _further_discs(bodies: Bodies, last: int) -> list[str]:
    further = len(bodies.separators) - last
    if further <= 0:
        return []
    return [f"{further} more disc(s) without a body above were found below it, as in a lumbarised sacrum."]


def _rudimentary_disc(bodies: Bodies, disc_labels: NDArray[np.int16], grid: SagittalGrid, last: int) -> list[str]:
    """A sentence where the lowest disc is short and thin beside the one above it."""
    depth, area = _lowest_disc(bodies, disc_labels, grid, last) if last <= len(bodies.separators) else (np.inf, np.inf)
    thickness = area / depth
    if not (depth < RUDIMENTARY_DEPTH and thickness < RUDIMENTARY_THICKNESS):
        return []
    sizes = f"{depth:.0%} as deep and {thickness:.0%} as thick"
    return [f"The lowest disc is only {sizes} as the one above it, as over a vertebra partly fused with the sacrum."]


def _depth_mm(disc_labels: NDArray[np.int16], separator: Separator, grid: SagittalGrid) -> float:
    """Front to back along a disc, without its outermost voxels."""
    voxels_mm = np.argwhere(disc_labels == separator.disc)[:, 1:] * np.asarray(grid.spacing_mm[1:])
    along = voxels_mm @ np.array([-separator.normal[2], separator.normal[1]])
    low, high = np.percentile(along, (2.0, 98.0))
    return float(high - low)


def _usual_volume(volumes: FloatArray) -> float:
    inner = volumes[volumes >= 0.2 * volumes.max(initial=0.0)]
    return float(np.median(inner)) if inner.size else 0.0


def _ends_at_bottom(bodies: Bodies, grid: SagittalGrid, number: int) -> bool:
    """True where a segment reaches the image's last rows: it may go on below."""
    rows = np.flatnonzero((bodies.body == number).any(axis=(0, 2)))
    return bool(rows.size) and _below_mm(grid, int(rows[-1])) < 2.0  # noqa: PLR2004 - two to four pixels


def _below_mm(grid: SagittalGrid, row: int) -> float:
    """Image below a row of the crop."""
    return (grid.full_shape[1] - 1 - grid.offset[1] - row) * grid.spacing_mm[1]


def _names(last: int, first: int, lowest: Vertebra) -> dict[int, Vertebra]:
    """Level of every segment from the first to the last, which is the lowest."""
    lumbar_to_head = REGULAR_VERTEBRAE[: REGULAR_VERTEBRAE.index(lowest) + 1][::-1]
    if last - first + 1 > len(lumbar_to_head):
        raise SeriesRefusal(
            f"no plausible spine was found: {last - first + 1} vertebral bodies, "
            f"a spine has at most {len(lumbar_to_head)}",
            code=ReasonCode.BODY_PART,
        )
    return {last - place: lumbar_to_head[place] for place in range(last - first + 1)}


def _lower_end_doubts(bodies: Bodies, disc_labels: NDArray[np.int16], grid: SagittalGrid, last: int) -> list[str]:
    """Sentences that each make it uncertain that the lowest vertebra is L5."""
    doubts = []
    beneath = bodies.separators[last - 1] if last <= len(bodies.separators) else None
    if beneath is None or beneath.disc is None:
        doubts.append("No disc was found under the lowest vertebral body, so that the lowest one may not be L5.")
    else:
        doubts.extend(_disc_doubts(beneath, disc_labels, grid))
    return doubts


def _chain_doubts(bodies: Bodies, kept: tuple[int, ...]) -> list[str]:
    """Sentences that each make it uncertain how many levels lie between two others."""
    last, doubts = kept[-1], []
    missing = sorted(set(range(kept[0], last)) - set(kept))
    if missing:
        doubts.append(f"{len(missing)} level(s) between two discs have no outlined body and were counted as one each.")
    undivided = sum(1 for s in bodies.separators[: last - 1] if s.disc is None)
    if undivided:
        doubts.append(f"{undivided} pair(s) of bodies were told apart without a disc between them.")
    if last - kept[0] + 1 > MOST_THORACOLUMBAR:
        doubts.append(f"{last - kept[0] + 1} bodies were counted, more than the {MOST_THORACOLUMBAR} from T1 to L5.")
    return doubts


def _disc_doubts(beneath: Separator, disc_labels: NDArray[np.int16], grid: SagittalGrid) -> list[str]:
    doubts = []
    rows = np.flatnonzero((disc_labels == beneath.disc).any(axis=(0, 2)))
    room = _below_mm(grid, int(rows[-1]))
    if room < SACRUM_MARGIN_MM:
        doubts.append(
            f"The image ends {room:.0f} mm below the lowest disc, less than the {SACRUM_MARGIN_MM:.0f} mm "
            "that would show whether a vertebra follows."
        )
    slope = sacral_slope_deg(beneath)
    if not FLATTEST_SACRUM_DEG <= slope <= STEEPEST_SACRUM_DEG:
        doubts.append(f"The lowest disc is inclined by {slope:.0f} degrees, unusual for L5-S1.")
    return doubts


def _sideways_doubt(lowest: Separator, line: CanalLine, grid: SagittalGrid) -> list[str]:
    """A column that leaves the stack to the side may go on below where no slice shows it."""
    row = int(np.clip(round(float(lowest.centre_mm[1] / grid.spacing_mm[1])), 0, grid.shape[1] - 1))
    place = float(line.slice_index[row])
    if 0.0 <= place <= grid.shape[0] - 1:
        return []
    return [
        "The spine leaves the stack of slices to the side at the lowest disc, so that a vertebra may follow unseen."
    ]


def sacral_slope_deg(separator: Separator) -> float:
    """Inclination of a disc in the slice plane, positive where its front lies lower than its back."""
    return float(np.degrees(np.arctan2(separator.normal[2], separator.normal[1])))
