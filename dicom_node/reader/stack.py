"""Parallel frames in the order of a stack, and the affine that places them; or the named reason why they are none.

Order: slice index grows along the normal, row direction x column direction of ImageOrientationPatient (right-hand
rule), whatever the order of files or instance numbers: for (1, 0, 0, 0, 1, 0) towards the head, for (0, 1, 0, 0, 0, -1)
towards the patient's right. Pixels are never mirrored or transposed. The slice vector is measured between the first
and the last position, so a tilted gantry (a stack whose slices shift in their own plane) gives a sheared affine,
which is exact, and the shear is reported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dicom_node.reader.frames import Frame
from dicom_node.reader.rawbytes import frame_bytes
from inference.errors import ReasonCode, SeriesRefusal
from inference.geometry import FloatArray, affine_from_orientation

EVEN_TOLERANCE = 0.1
"""A position may lie this fraction of the slice step off the even grid. Scanners round positions to 0.1 mm at slice
steps down to 0.5 mm, which moves them by up to a tenth; a missing slice moves them by a whole step. Our own choice."""
SAME_POSITION_MM = 0.01
"""Two slices closer than this along the normal claim one position: far below the thinnest slice step."""
SHEAR_TOLERANCE_DEG = 0.1
"""Below this a stack counts as straight: positions written with few digits tilt it this much. Our own choice."""
NOMINAL_STEP_MM = 1.0
"""Slice step in the affine of a one-slice stack, where positions give none: only there so that the affine can be
inverted."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stack:
    """Frames in slice order, with their place."""

    frames: tuple[Frame, ...]
    affine: FloatArray
    """(4, 4): (slice, row, column, 1) to LPS millimetres."""
    shear_deg: float
    """Angle between the slice vector and the normal; 0 for a straight stack."""
    repeated: tuple[Frame, ...]
    """Frames left out because another one has the same position and the same pixels."""


def stack_frames(frames: Sequence[Frame]) -> Stack:
    """Sort frames of one orientation, size and pixel spacing into a stack.

    Raises:
        SeriesRefusal: geometry is missing (E_GEOMETRY), pixel spacing is missing or slices are missing or uneven
        (E_SPACING), or two different slices claim one position (E_DUPLICATE).
    """
    _require_geometry(frames)
    orientation = np.mean([frame.orientation or () for frame in frames], axis=0)
    normal = np.cross(orientation[:3], orientation[3:])
    normal /= np.linalg.norm(normal)
    ordered = sorted(
        frames, key=lambda frame: (_along(frame, normal), frame.header.sop_instance_uid, frame.number or 0)
    )
    kept, repeated = _without_repeats(ordered, normal)
    positions = np.array([frame.position_mm for frame in kept], dtype=np.float64)
    step = normal * NOMINAL_STEP_MM if len(kept) == 1 else (positions[-1] - positions[0]) / (len(kept) - 1)
    _refuse_uneven(positions, normal)
    spacing = kept[0].pixel_spacing_mm or (0.0, 0.0)
    return Stack(
        frames=tuple(kept),
        affine=affine_from_orientation(positions[0], orientation, (spacing[0], spacing[1]), step),
        shear_deg=_shear_deg(step, normal),
        repeated=tuple(repeated),
    )


def _require_geometry(frames: Sequence[Frame]) -> None:
    for what, code, values in (
        ("ImageOrientationPatient", ReasonCode.GEOMETRY, [frame.orientation for frame in frames]),
        ("ImagePositionPatient", ReasonCode.GEOMETRY, [frame.position_mm for frame in frames]),
        ("PixelSpacing", ReasonCode.SPACING, [frame.pixel_spacing_mm for frame in frames]),
    ):
        missing = sum(value is None for value in values)
        if missing:
            raise SeriesRefusal(f"{missing} of {len(frames)} frames have no valid {what}", code=code)


def _along(frame: Frame, normal: FloatArray) -> float:
    """Position along the normal, rounded so that equal positions sort by UID and not by float noise."""
    return round(float(np.dot(frame.position_mm or (0.0, 0.0, 0.0), normal)), 6)


def _without_repeats(ordered: Sequence[Frame], normal: FloatArray) -> tuple[list[Frame], list[Frame]]:
    """Frames with one per position; refuse two at one position unless their pixels are the same bytes."""
    kept: list[Frame] = []
    repeated: list[Frame] = []
    for frame in ordered:
        if kept and abs(_along(frame, normal) - _along(kept[-1], normal)) < SAME_POSITION_MM:
            if not same_pixels(kept[-1], frame):
                raise SeriesRefusal(
                    f"instances {kept[-1].header.sop_instance_uid} and {frame.header.sop_instance_uid} claim the same "
                    f"position ({_place(frame)}) with different pixels",
                    code=ReasonCode.DUPLICATE,
                )
            repeated.append(frame)
        else:
            kept.append(frame)
    return kept, repeated


def same_pixels(one: Frame, other: Frame) -> bool:
    """Whether two frames hold the same stored pixel bytes with the same meaning at the same position."""
    distance = np.linalg.norm(np.subtract(one.position_mm or 0.0, other.position_mm or 0.0))
    if (one.slope, one.intercept) != (other.slope, other.intercept) or distance >= SAME_POSITION_MM:
        return False
    if one.header.transfer_syntax_uid != other.header.transfer_syntax_uid:
        return False
    digests = [hashlib.sha256(frame_bytes(frame)).digest() for frame in (one, other)]
    return digests[0] == digests[1]


def _place(frame: Frame) -> str:
    return ", ".join(f"{value:.2f}" for value in frame.position_mm or ()) + " mm LPS"


def _refuse_uneven(positions: FloatArray, normal: FloatArray) -> None:
    """Refuse a gap, uneven steps, and slices that drift out of line."""
    count = len(positions)
    if count <= 2:  # noqa: PLR2004 - one step is always even
        return
    steps = np.diff(positions @ normal)
    typical = float(np.median(steps))
    _refuse_gap(steps, typical, positions)
    grid = positions[0] + np.arange(count)[:, None] * (positions[-1] - positions[0]) / (count - 1)
    off = positions - grid
    along = np.abs(off @ normal)
    across = np.linalg.norm(off - np.outer(off @ normal, normal), axis=1)
    limit = EVEN_TOLERANCE * typical
    if float(along.max()) > limit:
        raise SeriesRefusal(
            f"the slices are unevenly spaced: steps from {steps.min():.3f} to {steps.max():.3f} mm, "
            f"slice {int(along.argmax()) + 1} of {count} lies {along.max():.3f} mm off the even grid; "
            f"at most {limit:.3f} mm ({EVEN_TOLERANCE:.0%} of the step) is read",
            code=ReasonCode.SPACING,
        )
    if float(across.max()) > limit:
        raise SeriesRefusal(
            f"the slices do not form a straight stack: slice {int(across.argmax()) + 1} of {count} is shifted "
            f"{across.max():.3f} mm in its own plane; at most {limit:.3f} mm is read",
            code=ReasonCode.GEOMETRY,
        )


def _refuse_gap(steps: FloatArray, typical: float, positions: FloatArray) -> None:
    """Name missing slices: a step that is a whole multiple, two or more, of the typical one."""
    multiples = np.rint(steps / typical)
    whole = np.abs(steps - multiples * typical) <= EVEN_TOLERANCE * typical * multiples
    gaps = np.flatnonzero((multiples >= 2) & whole)  # noqa: PLR2004 - two steps where one should be
    if gaps.size == 0:
        return
    first = int(gaps[0])
    missing = int((multiples[gaps] - 1).sum())
    place = ", ".join(f"{value:.2f}" for value in positions[first])
    raise SeriesRefusal(
        f"{missing} slice(s) are missing: slice {first + 1} of {len(positions)} at ({place}) mm LPS is followed by one "
        f"{steps[first]:.3f} mm further, the typical step is {typical:.3f} mm",
        code=ReasonCode.SPACING,
    )


def _shear_deg(step: FloatArray, normal: FloatArray) -> float:
    cosine = float(np.dot(step, normal) / np.linalg.norm(step))
    degrees = float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
    return degrees if degrees > SHEAR_TOLERANCE_DEG else 0.0
