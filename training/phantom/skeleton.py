"""Painting of vertebrae, discs, sacrum and canal on the canvas, in this order of precedence."""

from __future__ import annotations

import numpy as np

from training.phantom.body import BodyShape, Field
from training.phantom.canal import SagittalField
from training.phantom.column import Bone, Column, Gap, Segment
from training.phantom.grid import Box, Canvas, Grid, box_around
from training.phantom.marrow import paint_marrow
from training.phantom.morphometry import ALL_LEVELS, ENDPLATE_MM
from training.phantom.posterior import Solid, posterior_solids, smooth_union
from training.phantom.tissue import Tissue

VERTEBRA_LABEL, DISC_LABEL, CANAL_LABEL = 1, 2, 3
"""SPIDER's classes; 0 is everything else, the sacrum too."""
CORTEX_MM = 0.9
"""Dark rim of bone, outside the marrow and outside the label, as SPIDER's readers draw it."""
SAC_END_RADIUS_MM = 1.5
"""The tapering sac ends where it is thinner."""
NUCLEUS_RADIUS = 0.62
NUCLEUS_GRADES = ((0.3, Tissue.NUCLEUS_HEALTHY), (0.6, Tissue.NUCLEUS_MILD), (1.01, Tissue.NUCLEUS_WORN))
"""Degeneration below which the nucleus looks like that."""
POSTERIOR_REACH_MM = 62.0
LATERAL_REACH_MM = 48.0


def instance_of(level: str) -> int:
    """Number of a vertebra in the instance map: T4 = 1 ... L5 = 14, L6 = 15, whatever is drawn."""
    return ALL_LEVELS.index(level) + 1


def paint_skeleton(canvas: Canvas, grid: Grid, column: Column, field: SagittalField, conus_along: float) -> None:
    """Paint everything that has a label, and the sacrum."""
    for segment in column.sacrum:
        _paint_segment(canvas, grid, segment)
    _paint_canal(canvas, grid, field, conus_along)
    if column.sacral_gap is not None:
        _paint_disc(canvas, grid, column.sacral_gap, *column.sacrum[:2])
    lower: Bone | Segment = column.sacrum[0]
    for bone, gap in zip(column.bones, column.gaps, strict=True):
        _paint_disc(canvas, grid, gap, bone, lower)
        lower = bone
    for bone in column.bones:
        _paint_bone(canvas, grid, bone)


def _paint_segment(canvas: Canvas, grid: Grid, segment: Segment) -> None:
    shape = segment.shape
    box = _body_box(grid, segment.centre, segment.phi, shape)
    if box is not None:
        outside = shape.outside_mm(box.u, box.v, box.w)
        tissue = canvas.tissue[box.block]
        tissue[outside < CORTEX_MM] = Tissue.CORTICAL
        tissue[outside < 0] = Tissue.MARROW


def _body_box(grid: Grid, centre: np.ndarray, phi: float, shape: BodyShape) -> Box | None:
    reach = shape.depth_mm / 2 + 4.0
    behind = reach + (shape.fracture.retropulsion_mm if shape.fracture else 0.0)
    high = max(shape.posterior_height_mm, shape.posterior_height_mm - shape.wedge_mm) / 2 + 4.0
    return box_around(grid, centre, phi, u_mm=shape.half_width_mm + 3, v_mm=(-reach, behind), w_mm=(-high, high))


def _paint_canal(canvas: Canvas, grid: Grid, field: SagittalField, conus_along: float) -> None:
    inside_plane = (np.abs(field.behind) < field.radius_ap) & (field.radius_ap > SAC_END_RADIUS_MM)
    rows, columns = np.flatnonzero(inside_plane.any(axis=1)), np.flatnonzero(inside_plane.any(axis=0))
    if not len(rows):
        return
    block = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    behind, radius_ap, radius_lr = field.behind[block], field.radius_ap[block], field.radius_lr[block]
    along, middle = field.along[block], field.middle_x[block]
    place = behind / np.maximum(radius_ap, 0.5)
    gathered = np.clip((along - conus_along) / 60.0, 0, 1)
    cord_half = np.float32(3.1) * np.clip((along - conus_along) / 25.0, 0, 1)
    for index in np.flatnonzero(np.abs(grid.x - float(np.mean(middle))) < 30.0):  # noqa: PLR2004 - wider than any canal
        side = (np.float32(grid.x[index]) - middle) / np.maximum(radius_lr, 0.5)
        inside = (side * side + place * place < 1) & inside_plane[block]
        roots = place > 0.5 * side * side - 0.1 + gathered
        cord = (behind - np.float32(2.2) * (1 - gathered)) ** 2 + ((grid.x[index] - middle) / 1.3) ** 2 < cord_half**2
        canvas.labels[(index, *block)][inside] = CANAL_LABEL
        tissue = canvas.tissue[(index, *block)]
        tissue[inside] = Tissue.FLUID
        tissue[inside & roots] = Tissue.ROOTS
        tissue[inside & cord] = Tissue.CORD


def _endplates(
    box: Box, centre: np.ndarray, phi: float, shape: BodyShape, at: Bone | Segment
) -> tuple[Field, Field, Field]:
    """(w, top, bottom) of one body's axes at the samples of a box that was made for a neighbouring disc."""
    turn = phi - at.phi
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    offset = centre - at.centre
    y0 = offset[1] * np.cos(at.phi) + offset[2] * np.sin(at.phi)
    z0 = -offset[1] * np.sin(at.phi) + offset[2] * np.cos(at.phi)
    v = box.v * c - box.w * s + np.float32(y0)
    w = box.v * s + box.w * c + np.float32(z0)
    radius = shape.radius(box.u + np.float32(offset[0]), v)
    depth = np.clip(v / np.float32(shape.depth_mm) + np.float32(0.5), 0, 1)
    return w, shape.top(depth, radius), shape.bottom(depth, radius)


def _paint_disc(canvas: Canvas, grid: Grid, gap: Gap, upper: Bone | Segment, lower: Bone | Segment) -> None:
    reach = gap.depth_mm / 2 + 2.0
    box = box_around(grid, gap.centre, gap.phi, u_mm=gap.half_width_mm + 2, v_mm=(-reach, reach), w_mm=(-18.0, 18.0))
    if box is None:
        return
    w_upper, _, bottom = _endplates(box, gap.centre, gap.phi, upper.shape, upper)
    w_lower, top, _ = _endplates(box, gap.centre, gap.phi, lower.shape, lower)
    a = np.abs(box.u) * np.float32(1 / gap.half_width_mm)
    b = np.abs(box.v) * np.float32(2 / (gap.depth_mm * gap.depth_share))
    radius = (a * a * np.sqrt(a) + b * b * np.sqrt(b)) ** np.float32(0.4)
    margin = np.minimum(bottom - w_upper, w_lower - top)
    middle = np.abs(box.w) < 16.0  # noqa: PLR2004 - the box without its edge, where the far endplates' formulas would also hold
    inside = (margin > np.float32(ENDPLATE_MM)) & (radius < 1) & middle
    labels, tissue = canvas.labels[box.block], canvas.tissue[box.block]
    labels[inside] = DISC_LABEL
    tissue[inside] = Tissue.ANNULUS
    nucleus = next(t for limit, t in NUCLEUS_GRADES if gap.degeneration < limit)
    tissue[inside & (radius < NUCLEUS_RADIUS) & (margin > np.float32(ENDPLATE_MM + 0.6))] = nucleus
    around = (radius < 1 + np.float32(2 / gap.depth_mm)) & ~inside & (margin > 0) & middle & (labels == 0)
    tissue[around] = Tissue.CORTICAL


def _paint_bone(canvas: Canvas, grid: Grid, bone: Bone) -> None:
    back = bone.shape.depth_mm / 2
    low = bone.shape.posterior_height_mm
    arch = box_around(
        grid,
        bone.centre,
        bone.phi,
        u_mm=LATERAL_REACH_MM,
        v_mm=(back - 14.0, back + POSTERIOR_REACH_MM),
        w_mm=(-low * 2.1, low * 1.1),
    )
    if arch is not None:
        outside = np.full([s.stop - s.start for s in arch.block], 9.0, dtype=np.float32)
        for solid in posterior_solids(bone):
            _join(outside, arch, solid)
        _fill(canvas, arch, outside, bone, body=False)
    box = _body_box(grid, bone.centre, bone.phi, bone.shape)
    if box is not None:
        _fill(canvas, box, bone.shape.outside_mm(box.u, box.v, box.w), bone, body=True)


def _join(outside: Field, box: Box, solid: Solid) -> None:
    """Unite a solid with what is there, only where it is near."""
    near = _near(box, solid)
    if near is None:
        return
    planes, rows, columns = near
    u, v, w = box.u[planes], box.v[:, rows, columns], box.w[:, rows, columns]
    part = outside[planes, rows, columns]
    part[...] = smooth_union(part, solid.outside_mm(u, v, w))


def _near(box: Box, solid: Solid) -> tuple[slice, slice, slice] | None:
    low, high = solid.bounds()
    margin = np.float32(4.0)
    planes = _run((box.u[:, 0, 0] > low[0] - margin) & (box.u[:, 0, 0] < high[0] + margin))
    close = (
        (box.v[0] > low[1] - margin)
        & (box.v[0] < high[1] + margin)
        & (box.w[0] > low[2] - margin)
        & (box.w[0] < high[2] + margin)
    )
    rows, columns = _run(close.any(axis=1)), _run(close.any(axis=0))
    if planes is None or rows is None or columns is None:
        return None
    return planes, rows, columns


def _run(inside: np.ndarray) -> slice | None:
    places = np.flatnonzero(inside)
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else None


def _fill(canvas: Canvas, box: Box, outside: Field, bone: Bone, *, body: bool) -> None:
    labels, tissue, instances = (part[box.block] for part in (canvas.labels, canvas.tissue, canvas.instances))
    inside = (outside < 0) & (labels != VERTEBRA_LABEL) & ((labels != CANAL_LABEL) | body)
    rim = (outside >= 0) & (outside < CORTEX_MM) & (labels == 0)
    tissue[rim] = Tissue.CORTICAL
    acute = body and bone.shape.fracture is not None and bone.shape.fracture.acute
    tissue[inside] = Tissue.OEDEMA if acute else Tissue.MARROW
    if body and bone.shape.marrow is not None:
        paint_marrow(tissue, box, bone.shape, inside)
    labels[inside] = VERTEBRA_LABEL
    instances[inside] = instance_of(bone.name)
    if body:
        cleft = ((box.v - (bone.shape.depth_mm / 2 - 4)) / 4.5) ** 2 + (box.w / 1.0) ** 2 + (box.u / 5.0) ** 2 < 1
        tissue[cleft & inside] = Tissue.VEIN
