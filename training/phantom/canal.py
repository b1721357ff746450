"""The dural sac as a tube around a smooth curve behind the bodies, and the coordinates along that curve.

``along`` is the arc length (mm) from the lower end of the sac up to the head; ``behind`` the signed distance from the
curve, positive to
the back. Every soft tissue is placed in these two and in ``x``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline, PchipInterpolator
from scipy.ndimage import gaussian_filter1d, map_coordinates
from scipy.spatial import cKDTree

from training.phantom.column import Column, back_of
from training.phantom.parameters import PhantomParameters

FloatArray = NDArray[np.float64]
Field = NDArray[np.float32]

STEP_MM = 0.25
SEARCH_MM = 3.0
"""Grid of the first search for the nearest point of the curve."""
EXTEND_MM = 120.0
"""How far the curve runs on beyond the column, straight, to give coordinates to the soft tissue there."""
ANTERIOR_FAT_MM = 1.9
"""Between bone and sac; more at the sacrum (below)."""
SACRAL_FAT_MM = 4.0
STENOSIS_SIGMA_MM = 3.5
"""Half length of a narrowing along the sac: about the height of a disc."""
LEVEL_REACH_MM = 4.0
"""The canal at a disc level is looked at this far up and down from the disc's middle."""
WIDTH_OVER_CANAL = 0.42
"""Half width of the sac over the bony canal's width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sac:
    """The tube: points of its curve every STEP_MM from foot to head, with the radii there."""

    points: FloatArray
    """(n, 3) LPS mm."""
    backs: FloatArray
    """(n, 3) unit vectors to the back, at a right angle to the curve."""
    radius_ap_mm: FloatArray
    radius_lr_mm: FloatArray
    usual_radius_ap_mm: FloatArray
    """Without stenosis."""

    def nearest(self, point: FloatArray) -> int:
        """Index of the curve's point that is nearest to a mid-sagittal point (x is ignored)."""
        return int(np.argmin(((self.points[:, 1:] - point[1:]) ** 2).sum(axis=1)))

    def narrowest(self, disc_centre: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Front and back end of the smallest antero-posterior diameter within the level of a disc, LPS mm."""
        middle, reach = self.nearest(disc_centre), round(LEVEL_REACH_MM / STEP_MM)
        first = max(0, middle - reach)
        place = first + int(np.argmin(self.radius_ap_mm[first : middle + reach + 1]))
        arm = self.backs[place] * self.radius_ap_mm[place]
        return self.points[place] - arm, self.points[place] + arm


def build_sac(column: Column, parameters: PhantomParameters) -> Sac:
    """Lay the sac behind the column, from S2 upward."""
    centres, radii, widths = _nodes(column)
    order = np.argsort([c[2] for c in centres])
    nodes = np.array(centres)[order]
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(nodes, axis=0), axis=1))])
    fine = np.arange(0, length[-1], STEP_MM)
    points = gaussian_filter1d(CubicSpline(length, nodes)(fine), 8.0 / STEP_MM, axis=0, mode="nearest")
    points = _prolong(points[round(6 / STEP_MM) : -round(6 / STEP_MM)])
    radius = _on_curve(points, nodes, np.array(radii)[order])
    width = np.maximum(_on_curve(points, nodes, np.array(widths)[order]), radius * 0.9)
    tangents = np.gradient(points, axis=0)
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    backs = np.stack([np.zeros(len(points)), tangents[:, 2], -tangents[:, 1]], axis=1)
    usual = radius.copy()
    for name, target_mm in parameters.stenosis_mm.items():
        radius = _narrowed(points, radius, column, name, target_mm)
    return Sac(points=points, backs=backs, radius_ap_mm=radius, radius_lr_mm=width, usual_radius_ap_mm=usual)


def _nodes(column: Column) -> tuple[list[FloatArray], list[float], list[float]]:
    centres, radii, widths = [], [], []
    for segment in column.sacrum:
        radius = segment.canal_ap_mm / 2
        centres.append(
            segment.centre + back_of(segment.phi) * (segment.shape.depth_mm / 2 + SACRAL_FAT_MM + max(radius, 2.0))
        )
        radii.append(radius)
        widths.append(radius * 1.4)
    for bone, gap in zip(column.bones, column.gaps, strict=True):
        radius = bone.table.canal_ap_mm / 2
        for centre, phi, depth in ((gap.centre, gap.phi, gap.depth_mm), (bone.centre, bone.phi, bone.shape.depth_mm)):
            fat = ANTERIOR_FAT_MM + (1.0 if gap.name == "L5-S1" and depth == gap.depth_mm else 0.0)
            centres.append(centre + back_of(phi) * (depth / 2 + fat + radius))
            radii.append(radius)
            widths.append(bone.table.canal_width_mm * WIDTH_OVER_CANAL)
    return centres, radii, widths


def _prolong(points: FloatArray) -> FloatArray:
    """Add straight ends, so that tissue beyond the column has coordinates."""
    steps = np.arange(1, round(EXTEND_MM / STEP_MM) + 1)[:, None] * STEP_MM
    down = points[0] - points[round(2 / STEP_MM)]
    up = points[-1] - points[-1 - round(8 / STEP_MM)]
    down, up = down / np.linalg.norm(down), up / np.linalg.norm(up)
    return np.concatenate([(points[0] + steps * down)[::-1], points, points[-1] + steps * up])


def _on_curve(points: FloatArray, nodes: FloatArray, values: FloatArray) -> FloatArray:
    """Values given at nodes, carried along the curve by height (which grows along it)."""
    radius = PchipInterpolator(nodes[:, 2], values)(np.clip(points[:, 2], nodes[0, 2], nodes[-1, 2]))
    return np.asarray(gaussian_filter1d(np.maximum(radius, 0.0), 6.0 / STEP_MM, mode="nearest"))


def _narrowed(points: FloatArray, radius: FloatArray, column: Column, name: str, target_mm: float) -> FloatArray:
    gap = next((g for g in column.gaps if g.name == name), None)
    if gap is None:
        raise ValueError(f"the narrowed disc must be one that is drawn, got {name}")
    middle = int(np.argmin(((points[:, 1:] - gap.centre[1:]) ** 2).sum(axis=1)))
    distance = (np.arange(len(points)) - middle) * STEP_MM
    dip = np.exp(-(distance**2) / (2 * STENOSIS_SIGMA_MM**2))
    return np.asarray(radius - max(radius[middle] - target_mm / 2, 0.0) * dip)


@dataclass(frozen=True, slots=True, kw_only=True)
class SagittalField:
    """The sac's coordinates of every pixel of a sagittal plane; all arrays are (row, column)."""

    along: Field
    behind: Field
    radius_ap: Field
    radius_lr: Field
    usual_radius_ap: Field
    middle_x: Field
    """``x`` of the curve (scoliosis)."""


def sagittal_field(sac: Sac, y: FloatArray, z: FloatArray) -> SagittalField:
    """Coordinates of the pixels at columns `y` and rows `z` (mm)."""
    guess = _nearest_along(sac, y, z)
    place = np.clip(guess / STEP_MM, 0, len(sac.points) - 1).ravel()
    plane = np.stack(np.broadcast_arrays(y[None, :], z[:, None]), axis=-1).reshape(-1, 2)
    grid = np.arange(len(sac.points))
    offset = plane - _at(place, sac.points[:, 1:])
    back = _at(place, sac.backs[:, 1:])
    behind = (offset * back).sum(axis=1)
    along = place * STEP_MM + offset[:, 1] * back[:, 0] - offset[:, 0] * back[:, 1]
    shape = (len(z), len(y))
    place = np.clip(along / STEP_MM, 0, len(sac.points) - 1)

    def carried(values: FloatArray) -> Field:
        return np.asarray(np.interp(place, grid, values).reshape(shape), dtype=np.float32)

    return SagittalField(
        along=along.astype(np.float32).reshape(shape),
        behind=behind.astype(np.float32).reshape(shape),
        radius_ap=carried(sac.radius_ap_mm),
        radius_lr=carried(sac.radius_lr_mm),
        usual_radius_ap=carried(sac.usual_radius_ap_mm),
        middle_x=carried(sac.points[:, 0]),
    )


def _nearest_along(sac: Sac, y: FloatArray, z: FloatArray) -> FloatArray:
    """Arc length of the curve's point nearest to each pixel, (row, column), from a coarse search: it varies slowly."""
    coarse_y = np.linspace(y[0], y[-1], max(2, round(abs(y[-1] - y[0]) / SEARCH_MM)))
    coarse_z = np.linspace(z[0], z[-1], max(2, round(abs(z[-1] - z[0]) / SEARCH_MM)))
    plane = np.stack(np.broadcast_arrays(coarse_y[None, :], coarse_z[:, None]), axis=-1)
    along = cKDTree(sac.points[:, 1:]).query(plane)[1] * STEP_MM
    rows = np.linspace(0, len(coarse_z) - 1, len(z))
    columns = np.linspace(0, len(coarse_y) - 1, len(y))
    place = np.broadcast_arrays(rows[:, None], columns[None, :])
    return np.asarray(map_coordinates(along.astype(np.float64), place, order=1), dtype=np.float64)


def _at(place: FloatArray, values: FloatArray) -> FloatArray:
    """Rows of a table at fractional places."""
    grid = np.arange(len(values))
    return np.stack([np.interp(place, grid, values[:, axis]) for axis in range(values.shape[1])], axis=1)
