"""Pedicles, laminae, articular, transverse and spinous processes as a smooth union of simple solids.

Local axes as in training.phantom.body; ``wall`` is the depth of the body's posterior wall (half the body's depth) and
``arch`` that of
the front of the lamina: everything scales with the level's table row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.anatomy import Vertebra
from training.phantom.body import smooth_maximum
from training.phantom.column import Bone

Field = NDArray[np.float32]

UNION_MM = 3.0
"""Radius of the smooth union."""
SPINOUS_HALF_THICKNESS_MM = 3.6
SPINOUS_ROUNDING_MM = 4.0
SPINOUS_CORNER_MM = 5.0
LUMBAR_SPINOUS = np.array([(-1.0, 3.0), (5.0, 5.0), (29.0, -3.0), (31.0, -20.0), (17.0, -22.0), (1.0, -9.0)])
THORACIC_SPINOUS = np.array([(-1.0, 2.0), (6.0, 1.0), (27.0, -20.0), (29.0, -27.0), (22.0, -28.0), (1.0, -12.0)])
"""Corners of the process in (v - arch, w), millimetres, as seen on mid-sagittal MR of SPIDER; clockwise seen with v
to the right."""
L5_SPINOUS_SCALE = 0.72


@dataclass(frozen=True, slots=True, kw_only=True)
class Capsule:
    """All points near a segment; distances along w count `1 / stretch`."""

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radius_mm: float
    stretch: float = 1.0

    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Lowest and highest (u, v, w) of the solid."""
        reach = np.array([self.radius_mm, self.radius_mm, self.radius_mm * self.stretch])
        ends = np.array([self.start, self.end])
        return tuple(ends.min(axis=0) - reach), tuple(ends.max(axis=0) + reach)

    def outside_mm(self, u: Field, v: Field, w: Field) -> Field:
        """Signed distance (scaled along w), negative inside."""
        scale = np.float32(1 / self.stretch)
        squeeze = np.array([1, 1, scale], dtype=np.float32)
        a = np.array(self.start, dtype=np.float32) * squeeze
        b = np.array(self.end, dtype=np.float32) * squeeze
        axis = b - a
        pu, pv, pw = u - np.float32(a[0]), v - np.float32(a[1]), w * scale - np.float32(a[2])
        length = float(axis @ axis)
        t = np.clip(
            (pu * np.float32(axis[0]) + pv * np.float32(axis[1]) + pw * np.float32(axis[2])) / np.float32(length), 0, 1
        )
        du, dv, dw = pu - t * np.float32(axis[0]), pv - t * np.float32(axis[1]), pw - t * np.float32(axis[2])
        return np.asarray(np.sqrt(du * du + dv * dv + dw * dw) - np.float32(self.radius_mm), dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpinousProcess:
    """A rounded convex plate in the mid-sagittal plane."""

    corners: NDArray[np.float64]
    """(n, 2) of (v, w), clockwise."""

    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Lowest and highest (u, v, w) of the solid."""
        low, high = self.corners.min(axis=0), self.corners.max(axis=0)
        thick = SPINOUS_HALF_THICKNESS_MM
        return (-thick, *low), (thick, *high)

    def outside_mm(self, u: Field, v: Field, w: Field) -> Field:
        """Approximate signed distance, negative inside."""
        flat = np.full(np.broadcast_shapes(v.shape, w.shape), -1e3, dtype=np.float32)
        centre = self.corners.mean(axis=0)
        for start, end in zip(self.corners, np.roll(self.corners, -1, axis=0), strict=True):
            edge = (end - start) / np.linalg.norm(end - start)
            normal = np.array([-edge[1], edge[0]])
            normal = normal if normal @ (start - centre) > 0 else -normal
            edge_mm = v * np.float32(normal[0]) + w * np.float32(normal[1]) - np.float32(normal @ start)
            flat = smooth_maximum(flat, edge_mm, SPINOUS_CORNER_MM)
        inner = np.maximum(flat + np.float32(SPINOUS_ROUNDING_MM), 0)
        side = np.maximum(np.abs(u) - np.float32(SPINOUS_HALF_THICKNESS_MM - SPINOUS_ROUNDING_MM), 0)
        return np.asarray(np.sqrt(inner * inner + side * side) - np.float32(SPINOUS_ROUNDING_MM), dtype=np.float32)


Solid = Capsule | SpinousProcess


def posterior_solids(bone: Bone) -> tuple[Solid, ...]:
    """The parts of one vertebral arch."""
    table = bone.table
    height = table.posterior_height_mm
    wall = table.depth_mm / 2
    arch = wall + 2.0 + table.canal_ap_mm + 3.0
    side = table.canal_width_mm / 2 + table.pedicle_width_mm / 2
    pedicle_w = 0.18 * height
    parts: list[Solid] = [SpinousProcess(corners=_spinous_corners(bone.name, arch, height))]
    for sign in (-1.0, 1.0):
        parts += [
            Capsule(
                start=(sign * side, wall - 6.0, pedicle_w),
                end=(sign * side, wall + 9.0, pedicle_w - 1.0),
                radius_mm=table.pedicle_width_mm / 2,
                stretch=max(table.pedicle_height_mm / table.pedicle_width_mm, 0.75),
            ),
            Capsule(
                start=(0, arch + 3.0, -0.22 * height), end=(sign * side, wall + 13.0, 0.0), radius_mm=3.6, stretch=2.0
            ),
            Capsule(
                start=(sign * (side + 1.5), wall + 12.0, 0.1 * height),
                end=(sign * (side + 2.0), wall + 11.0, 0.62 * height),
                radius_mm=4.2,
            ),
            Capsule(
                start=(sign * side, wall + 14.5, -0.1 * height),
                end=(sign * side, wall + 17.5, -0.88 * height),
                radius_mm=4.4,
            ),
            Capsule(
                start=(sign * (side + 2.0), wall + 9.0, 0.05 * height),
                end=(sign * (side + 20.0), wall + 14.0, 0.1 * height),
                radius_mm=3.8,
            ),
        ]
    return tuple(parts)


def _spinous_corners(level: str, arch: float, height: float) -> NDArray[np.float64]:
    """Between the thoracic and the lumbar outline from T10 to L1, in proportion to the body."""
    lumbar = float(
        np.clip((Vertebra[level].value - Vertebra.T10.value) / (Vertebra.L1.value - Vertebra.T10.value), 0, 1)
    )
    outline = (1 - lumbar) * THORACIC_SPINOUS + lumbar * LUMBAR_SPINOUS
    scale = height / 24.0 * (L5_SPINOUS_SCALE if level == "L5" else 1.0)
    return np.asarray(outline * scale + (arch, -0.12 * height))


def smooth_union(a: Field, b: Field) -> Field:
    """Polynomial smooth minimum with radius UNION_MM."""
    blend = np.maximum(np.float32(UNION_MM) - np.abs(a - b), 0)
    return np.asarray(np.minimum(a, b) - blend * blend * np.float32(0.25 / UNION_MM), dtype=np.float32)
