"""The spinal column as a chain of bodies, discs and sacral segments in the mid-sagittal plane.

World is LPS mm (inference.geometry) with the origin at the middle of the superior endplate of S1. In the mid-sagittal
plane an angle ``phi`` leans forward: up is ``(y, z) = (-sin phi, cos phi)``, back is ``(cos phi, sin phi)``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from inference.measure.reading import FractureShape
from training.phantom import morphometry as sizes
from training.phantom.body import BodyShape
from training.phantom.morphometry import SACRUM, SIZES
from training.phantom.parameters import PhantomParameters, SacralShape

FloatArray = NDArray[np.float64]

DISC_SHARE_OF_KYPHOSIS = 0.2
"""Part of a fracture's wedge that each neighbouring disc opens to make good."""
MILD_DEGENERATION = 0.45
"""Highest degeneration of a disc that the parameters do not name."""
DEGENERATE_HEIGHT = 0.5
"""Height of a fully degenerate disc, relative."""
ARCH_MM = 250.0
MINIMUM_GAP_MM = 2.2
"""Least distance between two rims: some disc is always left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bone:
    """A vertebra in its place."""

    name: str
    centre: FloatArray
    """(x, y, z) of the body's centre."""
    phi: float
    """Forward lean, radians."""
    shape: BodyShape
    table: sizes.LevelSizes
    """Sizes of this person."""

    @property
    def up(self) -> FloatArray:
        """Unit vector to the head along the body."""
        return up_of(self.phi)

    @property
    def back(self) -> FloatArray:
        """Unit vector to the back along the body."""
        return back_of(self.phi)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A disc space in its place, named by its disc."""

    name: str
    centre: FloatArray
    phi: float
    half_width_mm: float
    depth_mm: float
    degeneration: float
    depth_share: float = 1.0
    """Of the depth, from the middle to either side, that is disc."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A sacral segment in its place."""

    centre: FloatArray
    phi: float
    shape: BodyShape
    canal_ap_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """The chain, from the lowest upward: `bones[i]` stands on `gaps[i]`."""

    bones: tuple[Bone, ...]
    gaps: tuple[Gap, ...]
    sacrum: tuple[Segment, ...]
    sacral_gap: Gap | None = None
    """The disc below a lumbarised S1."""


def up_of(phi: float) -> FloatArray:
    """Unit vector to the head of a frame that leans forward by phi (radians)."""
    return np.array([0.0, -np.sin(phi), np.cos(phi)])


def back_of(phi: float) -> FloatArray:
    """Unit vector to the back of a frame that leans forward by phi (radians)."""
    return np.array([0.0, np.cos(phi), np.sin(phi)])


def build_column(parameters: PhantomParameters) -> Column:
    """Stack L5 to the highest level on the sacrum."""
    rng = np.random.default_rng([parameters.seed, 0])
    upward = tuple(reversed(parameters.levels))
    tables = dict(zip(upward, (*reversed(tuple(SIZES.values())), next(iter(SIZES.values()))), strict=False))
    person = {level: _person_sizes(tables[level], parameters, rng) for level in upward}
    worn = {level: _degeneration(level, parameters, rng) for level in upward}
    curve = parameters.lordosis_deg / sizes.SUPINE_LORDOSIS_DEG
    slope_deg = sizes.SACRAL_SLOPE_DEG * (0.4 + 0.6 * curve) - parameters.tilt_deg
    slope = float(np.radians(slope_deg + rng.normal(0, 3.0) * parameters.variation))
    stack = _Stack(place=np.zeros(3), phi=slope)
    for level in upward:
        shape = _body_shape(level, person[level], parameters)
        angle = _disc_angle(level, person[level], curve, shape, stack.top)
        name, height = f"{level}-{stack.name}", person[level].disc_height_mm
        slip = parameters.slip_mm.get(name, 0.0)
        is_rudimentary = stack.top is None and parameters.sacral_shape == SacralShape.SACRALISED
        stack.add_gap(
            name,
            shape,
            angle=angle,
            height_mm=height * (sizes.RUDIMENTARY_HEIGHT if is_rudimentary else 1.0),
            worn=worn[level],
            slip_mm=slip,
            depth=sizes.RUDIMENTARY_DEPTH if is_rudimentary else 1.0,
        )
        stack.add_bone(level, shape, person[level])
        if level == parameters.highest:
            break
    squared = parameters.sacral_shape == SacralShape.LUMBARISED
    sacrum = _sacrum(slope, parameters.size, squared=squared)
    column = Column(
        bones=tuple(stack.bones),
        gaps=tuple(stack.gaps),
        sacrum=sacrum,
        sacral_gap=_sacral_gap(*sacrum[:2]) if squared else None,
    )
    return _bend_sideways(column, parameters)


@dataclass(slots=True, kw_only=True)
class _Stack:
    """The column while it grows: `place` and `phi` are the uppermost rim plane's middle and lean."""

    place: FloatArray
    phi: float
    bones: list[Bone] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.bones[-1].name if self.bones else "S1"

    @property
    def top(self) -> BodyShape | None:
        return self.bones[-1].shape if self.bones else None

    def add_gap(
        self, name: str, upper: BodyShape, *, angle: float, height_mm: float, worn: float, slip_mm: float, depth: float
    ) -> None:
        lean = self.phi - angle / 2
        rise = up_of(lean) * _rim_gap(height_mm * (1 - (1 - DEGENERATE_HEIGHT) * worn))
        slip = -back_of(self.phi) * slip_mm
        lower = self.top or upper
        gap = Gap(
            name=name,
            centre=self.place + (rise + slip) / 2,
            phi=lean,
            half_width_mm=(upper.half_width_mm + lower.half_width_mm) / 2 + 0.5,
            depth_mm=(upper.depth_mm + lower.depth_mm) / 2 + 1.2,
            degeneration=worn,
            depth_share=depth,
        )
        self.gaps.append(gap)
        self.place, self.phi = self.place + rise + slip, self.phi - angle

    def add_bone(self, level: str, shape: BodyShape, table: sizes.LevelSizes) -> None:
        lean = self.phi - shape.rim_angle_rad / 2
        rise = up_of(lean) * (shape.rim_height_mm(0) + shape.rim_height_mm(1)) / 2
        self.bones.append(Bone(name=level, centre=self.place + rise / 2, phi=lean, shape=shape, table=table))
        self.place, self.phi = self.place + rise, self.phi - shape.rim_angle_rad


def _person_sizes(table: sizes.LevelSizes, parameters: PhantomParameters, rng: np.random.Generator) -> sizes.LevelSizes:
    """Draw a table row: the person's factors, the same at every level, and a small own one."""
    person = np.random.default_rng([parameters.seed, 1]).normal(0, sizes.RELATIVE_SPREAD, 3)
    own = rng.normal(0, sizes.LEVEL_SPREAD, 3)
    wide, deep, high = parameters.size * (1 + parameters.variation * (person + own))
    canal = 1 + parameters.variation * float(np.clip(rng.normal(0, 0.03), -0.08, 0.08))
    return sizes.LevelSizes(
        width_mm=table.width_mm * wide,
        depth_mm=table.depth_mm * deep,
        posterior_height_mm=table.posterior_height_mm * sizes.IN_VIVO_HEIGHT * high,
        wedge_deg=table.wedge_deg,
        canal_ap_mm=table.canal_ap_mm * canal * parameters.size,
        canal_width_mm=table.canal_width_mm * wide,
        pedicle_width_mm=table.pedicle_width_mm * wide,
        pedicle_height_mm=table.pedicle_height_mm * high,
        disc_height_mm=table.disc_height_mm * high,
        segment_lordosis_deg=table.segment_lordosis_deg,
    )


def _degeneration(level: str, parameters: PhantomParameters, rng: np.random.Generator) -> float:
    names = (*parameters.levels, "S1")
    name = f"{level}-{names[names.index(level) + 1]}"
    mild = float(rng.uniform(0, MILD_DEGENERATION)) * min(parameters.variation, 1.0)
    return float(np.clip(parameters.degeneration.get(name, mild), 0.0, 1.0))


def _body_shape(level: str, table: sizes.LevelSizes, parameters: PhantomParameters) -> BodyShape:
    return BodyShape(
        half_width_mm=table.width_mm / 2,
        depth_mm=table.depth_mm,
        posterior_height_mm=table.posterior_height_mm,
        wedge_mm=float(2 * np.tan(np.radians(table.wedge_deg) / 2) * table.depth_mm),
        superior_concavity_mm=sizes.SUPERIOR_CONCAVITY_MM * parameters.size,
        inferior_concavity_mm=sizes.INFERIOR_CONCAVITY_MM * parameters.size,
        fracture=parameters.fracture(level),
        marrow=parameters.marrow_change(level),
    )


def _rim_gap(disc_height_mm: float) -> float:
    """Distance of two rims whose disc has that height in the middle, hollows included."""
    hollow = sizes.SUPERIOR_CONCAVITY_MM + sizes.INFERIOR_CONCAVITY_MM
    return max(disc_height_mm + 2 * sizes.ENDPLATE_MM - hollow, MINIMUM_GAP_MM + 2 * sizes.ENDPLATE_MM)


def _disc_angle(level: str, table: sizes.LevelSizes, curve: float, shape: BodyShape, lower: BodyShape | None) -> float:
    """Lordosis of the disc space: the segment's less the body's own, and its answer to fractures."""
    segment = table.segment_lordosis_deg * (curve if level.startswith("L") else 1.0)
    angle = np.radians(segment + table.wedge_deg)
    for body in (shape, lower):
        if body is not None and body.fracture is not None and body.fracture.shape is FractureShape.WEDGE:
            whole = 2 * np.arctan(-body.wedge_mm / 2 / body.depth_mm)
            angle += DISC_SHARE_OF_KYPHOSIS * (whole - body.rim_angle_rad)
    return float(angle)


def _sacral_gap(upper: Segment, lower: Segment) -> Gap:
    """The disc between S1 and S2, in the middle of what the two leave."""
    floor = upper.centre - upper.shape.posterior_height_mm / 2 * up_of(upper.phi)
    roof = lower.centre + lower.shape.posterior_height_mm / 2 * up_of(lower.phi)
    return Gap(
        name="S1-S2",
        centre=(floor + roof) / 2,
        phi=(upper.phi + lower.phi) / 2,
        half_width_mm=lower.shape.half_width_mm,
        depth_mm=lower.shape.depth_mm,
        degeneration=0.5,
    )


def _sacrum(slope: float, size: float, *, squared: bool) -> tuple[Segment, ...]:
    segments: list[Segment] = []
    place, phi = np.zeros(3), slope
    for number, table in enumerate(SACRUM):
        is_squared = squared and number == 0
        wedge = np.radians(table.kyphosis_deg)
        shape = BodyShape(
            half_width_mm=table.width_mm * size / 2,
            depth_mm=table.depth_mm * size,
            posterior_height_mm=table.height_mm * size,
            wedge_mm=float(2 * np.tan(wedge / 2) * table.depth_mm * size),
            superior_concavity_mm=0.5,
            inferior_concavity_mm=0.5,
            taper=sizes.SQUARED_TAPER if is_squared else sizes.SACRAL_TAPER,
        )
        lean = phi - wedge / 2
        height = table.height_mm * size
        segments.append(
            Segment(
                centre=place - up_of(lean) * height / 2, phi=lean, shape=shape, canal_ap_mm=table.canal_ap_mm * size
            )
        )
        place = place - up_of(lean) * (height + (sizes.SQUARED_DISC_MM if is_squared else sizes.SACRAL_GAP_MM))
        phi -= wedge
    return tuple(segments)


def _bend_sideways(column: Column, parameters: PhantomParameters) -> Column:
    """Move bodies and discs to the side along one arch between the sacrum and ARCH_MM above it."""
    if parameters.scoliosis_mm == 0:
        return column

    def aside(centre: FloatArray) -> FloatArray:
        offset = parameters.scoliosis_mm * np.sin(np.clip(centre[2] / ARCH_MM, 0, 1) * np.pi)
        return np.asarray(centre + np.array([offset, 0.0, 0.0]))

    return replace(
        column,
        bones=tuple(replace(bone, centre=aside(bone.centre)) for bone in column.bones),
        gaps=tuple(replace(gap, centre=aside(gap.centre)) for gap in column.gaps),
    )
