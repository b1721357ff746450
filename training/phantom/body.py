"""The shape of one vertebral body, as formulas: the labels and the truth both come from here.

Local axes of a body, millimetres from its centre: ``u`` to the patient's left, ``v`` to the back, ``w`` to the head,
where
``w`` bisects the planes of the two endplate rims. ``depth`` is 0 at the front, 1 at the back of the body. ``radius`` is
the superellipse radius over the cross-section: 0 in the middle, 1 at the wall.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.measure.reading import FractureShape
from training.phantom.parameters import Fracture, MarrowChange

Field = NDArray[np.float32]

HEIGHT_DEPTHS = (0.15, 0.5, 0.85)
"""Where anterior, middle and posterior height are read (inference.measure.reading.Heights)."""
CONCAVE_RADIUS = 0.8
"""The endplate is flat outside it: a rim of 3 to 4 mm (PMC3481085: 3 to 7 mm)."""
WAIST = 0.11
"""How much narrower a body is at half its height, relative to its half depth."""
CANAL_NOTCH_MM = 1.5
"""How far the sides of the posterior wall stand behind its middle (kidney shape)."""
ROUNDING_MM = 2.5
"""Radius of the edge between wall and endplate."""
FRAGMENT_PLACE = 0.2
"""Where a retropulsed fragment stands out: share of half the body's height, from its middle to the head."""
FRAGMENT_SIGMA = 0.4
"""How high the fragment is: sigma over half the body's height."""
FRAGMENT_WIDTH_MM = 7.0
"""Sigma of the fragment from side to side."""
SUPERIOR_SHARE = {FractureShape.WEDGE: 0.5, FractureShape.BICONCAVE: 0.6, FractureShape.CRUSH: 0.5}
"""Part of the loss that the superior endplate takes; a wedge's is even, so that ``w`` still bisects the rims."""


def smooth_maximum(a: Field, b: Field, radius: float) -> Field:
    """Polynomial smooth maximum: exact where the two differ by more than `radius`."""
    blend = np.maximum(radius - np.abs(a - b), 0.0)
    return np.asarray(np.maximum(a, b) + blend * blend * (0.25 / radius), dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyShape:
    """One vertebral body; `depth_mm` and `half_width_mm` are at the endplates."""

    half_width_mm: float
    depth_mm: float
    posterior_height_mm: float
    """Between the rims at the back, before any fracture."""
    wedge_mm: float
    """How much lower the front rim is than the back rim, before any fracture."""
    superior_concavity_mm: float
    inferior_concavity_mm: float
    fracture: Fracture | None = None
    marrow: MarrowChange | None = None
    taper: float = 0.0
    """Part of the depth that is gone at the lower end (sacral segments)."""

    def top(self, depth: Field | float, radius: Field | float) -> Field:
        """``w`` of the superior endplate."""
        share = SUPERIOR_SHARE[self.fracture.shape] if self.fracture else 0.0
        half = self._rim(depth) / 2 - self.superior_concavity_mm * _concavity(radius)
        return np.asarray(half * self._crush - share * self._drop(depth, radius), dtype=np.float32)

    def bottom(self, depth: Field | float, radius: Field | float) -> Field:
        """``w`` of the inferior endplate."""
        share = 1 - SUPERIOR_SHARE[self.fracture.shape] if self.fracture else 0.0
        half = -self._rim(depth) / 2 + self.inferior_concavity_mm * _concavity(radius)
        return np.asarray(half * self._crush + share * self._drop(depth, radius), dtype=np.float32)

    def height_mm(self, depth: float) -> float:
        """Height in the mid-sagittal plane at a depth."""
        radius = abs(2 * depth - 1)
        return float(self.top(depth, radius)) - float(self.bottom(depth, radius))

    def whole_height_mm(self, depth: float) -> float:
        """Height that the same body has without its fracture."""
        concavity = self.superior_concavity_mm + self.inferior_concavity_mm
        return float(self._rim(depth) - concavity * _concavity(abs(2 * depth - 1)))

    def rim_height_mm(self, depth: float) -> float:
        """Height between the rims' planes: what carries the neighbouring discs."""
        return float(self.top(depth, 1.0)) - float(self.bottom(depth, 1.0))

    @property
    def rim_angle_rad(self) -> float:
        """Angle between the rims' planes, positive where the front is higher."""
        return float(2 * np.arctan((self.rim_height_mm(0) - self.rim_height_mm(1)) / 2 / self.depth_mm))

    def radius(self, u: Field, v: Field) -> Field:
        """Superellipse radius (exponent 2.5) over the cross-section at the endplates."""
        a = np.abs(u) * np.float32(1 / self.half_width_mm)
        b = np.abs(v) * np.float32(2 / self.depth_mm)
        return np.asarray((a * a * np.sqrt(a) + b * b * np.sqrt(b)) ** np.float32(0.4), dtype=np.float32)

    def outside_mm(self, u: Field, v: Field, w: Field) -> Field:
        """Approximate signed distance to the surface, negative inside; exact at zero, but for rounded edges."""
        notch = np.float32(CANAL_NOTCH_MM) * (1 - np.exp(-(u * u) / np.float32(80.0)))
        back = v - (notch + self._fragment(u, w)) * (v > 0)
        if self.taper:
            low = np.clip(np.float32(0.5) - w / np.float32(self.posterior_height_mm), 0, 1)
            back = back / (1 - np.float32(self.taper) * low)
        radius = self.radius(u, back)
        depth = np.clip(back / np.float32(self.depth_mm) + np.float32(0.5), 0, 1)
        top, bottom = self.top(depth, radius), self.bottom(depth, radius)
        height = np.maximum(top - bottom, np.float32(1.0))
        place = (w - (top + bottom) / 2) * 2 / height
        wall = radius - 1 + np.float32(WAIST) * np.maximum(1 - place * place, 0)
        wall_mm = wall * np.float32(min(self.half_width_mm, self.depth_mm / 2))
        return smooth_maximum(wall_mm, np.maximum(w - top, bottom - w), ROUNDING_MM)

    def back_mm(self, w: Field) -> Field:
        """``v`` of the posterior wall in the middle plane, at heights between the rims."""
        top, bottom = float(self.top(1.0, 1.0)), float(self.bottom(1.0, 1.0))
        place = (w - (top + bottom) / 2) * 2 / (top - bottom)
        waist = 1 - WAIST * np.maximum(1 - place * place, 0)
        middle = np.zeros_like(w)
        return np.asarray(self.depth_mm / 2 * waist + self._fragment(middle, w), dtype=np.float32)

    def _fragment(self, u: Field, w: Field) -> Field:
        """How far a retropulsed fragment moves the posterior wall."""
        if self.fracture is None or self.fracture.retropulsion_mm == 0:
            return np.float32(0) * np.asarray(w, dtype=np.float32)
        half = self.rim_height_mm(1.0) / 2
        along = (w / half - FRAGMENT_PLACE) / FRAGMENT_SIGMA
        aside = u / FRAGMENT_WIDTH_MM
        shape = np.exp(-(along * along + aside * aside) / 2)
        return np.asarray(self.fracture.retropulsion_mm * shape, dtype=np.float32)

    @property
    def _crush(self) -> float:
        crushed = self.fracture is not None and self.fracture.shape is FractureShape.CRUSH
        return 1 - self.fracture.loss if crushed and self.fracture else 1.0

    def _rim(self, depth: Field | float) -> Field:
        return np.asarray(self.posterior_height_mm - (1 - np.asarray(depth)) * self.wedge_mm, dtype=np.float32)

    def _drop(self, depth: Field | float, radius: Field | float) -> Field:
        """Height lost to a wedge or biconcave fracture; its largest place loses exactly the stated fraction."""
        if self.fracture is None or self.fracture.shape is FractureShape.CRUSH:
            return np.float32(0) * np.asarray(radius, dtype=np.float32)
        if self.fracture.shape is FractureShape.WEDGE:
            lost = self.fracture.loss * self.whole_height_mm(HEIGHT_DEPTHS[0])
            return np.asarray(lost * (1 - np.asarray(depth)) / (1 - HEIGHT_DEPTHS[0]), dtype=np.float32)
        lost = self.fracture.loss * self.whole_height_mm(HEIGHT_DEPTHS[1])
        return np.asarray(lost * np.maximum(1 - np.asarray(radius) ** 2, 0) ** 2, dtype=np.float32)


def _concavity(radius: Field | float) -> Field:
    """Shape of the endplate's hollow: 1 in the middle, 0 on the rim."""
    hollow = np.maximum(1 - (np.asarray(radius, dtype=np.float32) / CONCAVE_RADIUS) ** 2, 0)
    return np.asarray(hollow * np.sqrt(hollow), dtype=np.float32)
