"""Everything around the spine, one slice at a time, in the coordinates along the dural sac (training.phantom.canal)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from training.phantom.canal import STEP_MM, Sac, SagittalField
from training.phantom.grid import Grid
from training.phantom.tissue import Tissue

Field = NDArray[np.float32]
TissueMap = NDArray[np.uint8]

FASCIA = ((-80, 9), (-40, 15), (0, 30), (30, 43), (90, 51), (200, 49), (280, 44))
"""(mm along the sac above S1, mm behind the sac's curve) of the fascia behind the muscles [estimates from SPIDER]."""
FRONT = ((-80, -14), (-50, -20), (-25, -30), (0, -44), (60, -46), (250, -42))
"""The same for the front of the bodies and of the sacrum."""
MIDLINE_MM = 3.5
"""Half thickness of the tissue between the spinous processes."""
EPIDURAL_MM = 6.0
"""Fat behind the sac, between the laminae."""
AORTA = (7.0, -13.0, 9.0)
CAVA = (-15.0, -12.0, 9.5)
"""(x, mm in front of the bodies, radius) of the two great vessels; the aorta left of the middle."""
FORK_MM = 25.0
"""Above S1 (at L4) the vessels begin."""
BOWEL_FROM_MM = 26.0
"""Bowel lies this far in front of the bodies and further."""
BELLY_MM = 105.0
"""Depth of the abdomen in front of the bodies, before its wall."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """One person's soft tissue; fields are (row, column)."""

    field: SagittalField
    above_s1: Field
    """mm along the sac above the S1 endplate."""
    fascia: Field
    front: Field
    skin: Field
    """mm behind the sac's curve."""
    blobs: NDArray[np.float32]
    """(slice, row, column) at one eighth of the matrix: smooth noise that becomes bowel."""


def build_surroundings(grid: Grid, sac: Sac, field: SagittalField, seed: int) -> Surroundings:
    """Draw one person's fat, fascia and bowel."""
    rng = np.random.default_rng([seed, 2])
    above = field.along - np.float32(sac.nearest(np.zeros(3)) * STEP_MM)
    fascia = _profile(above, FASCIA) * np.float32(rng.uniform(0.92, 1.06))
    fat = float(rng.uniform(7, 22))
    hip = np.exp(-(((above - 25) / 60) ** 2))
    skin = fascia + np.float32(fat) * (1 + np.float32(0.5) * hip)
    spread = (len(grid.slice_x), len(grid.z) // 8 + 2, len(grid.y) // 8 + 2)
    step = abs(grid.slice_x[1] - grid.slice_x[0]) if len(grid.slice_x) > 1 else 4.0
    pixel = abs(grid.z[1] - grid.z[0]) * 8 if len(grid.z) > 1 else 4.0
    blobs = gaussian_filter(rng.normal(size=spread).astype(np.float32), (9 / step, 9 / pixel, 9 / pixel))
    blobs /= max(float(blobs.std()), 1e-6)
    return Surroundings(
        field=field, above_s1=above, fascia=fascia, front=_profile(above, FRONT), skin=skin, blobs=blobs
    )


def _profile(above: Field, table: tuple[tuple[int, int], ...]) -> Field:
    places, values = zip(*table, strict=True)
    return np.asarray(np.interp(above, places, values), dtype=np.float32)


def paint_background(surroundings: Surroundings, index: int, x: float) -> TissueMap:
    """Tissues of one slice without the skeleton, (row, column)."""
    behind = surroundings.field.behind
    tissue = np.full(behind.shape, Tissue.VISCERAL_FAT, dtype=np.uint8)
    _paint_back(tissue, surroundings, x)
    _paint_front(tissue, surroundings, index, x)
    _paint_canal_fat(tissue, surroundings, x)
    return tissue


def _paint_back(tissue: TissueMap, s: Surroundings, x: float) -> None:
    behind = s.field.behind
    back = behind > -2  # noqa: PLR2004 - behind the bodies
    muscle = Tissue.INTERSPINOUS if abs(x) <= MIDLINE_MM else Tissue.MUSCLE
    tissue[back & (behind < s.fascia)] = muscle
    tissue[back & (behind >= s.fascia)] = Tissue.SUBCUTANEOUS_FAT
    tissue[back & (np.abs(behind - s.fascia) < 0.9)] = Tissue.LIGAMENT  # noqa: PLR2004 - half of the fascia
    tissue[back & (behind > s.skin - 1.8)] = Tissue.SKIN
    tissue[back & (behind > s.skin)] = Tissue.AIR
    crest = (s.above_s1 < -4) & (behind > 7) & (behind < s.fascia - 5) & (abs(x) < 14)  # noqa: PLR2004 - median sacral crest
    tissue[crest] = Tissue.CORTICAL
    tissue[crest & (behind > 8.2) & (behind < s.fascia - 6.2)] = Tissue.MARROW  # noqa: PLR2004


def _paint_front(tissue: TissueMap, s: Surroundings, index: int, x: float) -> None:
    behind = s.field.behind
    ahead = s.front - behind
    beside = (behind <= -2) & (ahead < -2)  # noqa: PLR2004 - the depth of the bodies
    if abs(x) > 20:  # noqa: PLR2004 - beside the bodies
        tissue[beside & (s.above_s1 > -10)] = Tissue.MUSCLE  # noqa: PLR2004 - psoas
        ala = (s.above_s1 < -3) & (s.above_s1 > -62) & (behind > -28) & (behind < 10)  # noqa: PLR2004 - wing of the sacrum
        tissue[ala] = Tissue.MARROW
    tissue[(ahead > -1) & (ahead < 1.2)] = Tissue.LIGAMENT  # noqa: PLR2004 - anterior longitudinal ligament
    blobs = zoom(s.blobs[index], 8, order=1)[: behind.shape[0], : behind.shape[1]]
    far = ahead > BOWEL_FROM_MM
    tissue[far & (blobs > 0.35)] = Tissue.BOWEL  # noqa: PLR2004 - about a third of the abdomen
    tissue[far & (blobs > 1.9)] = Tissue.GAS  # noqa: PLR2004 - the cores of a few loops
    for vessel_x, depth, radius in (AORTA, CAVA):
        half = radius * radius - (x - vessel_x) ** 2
        if half > 0:
            thin = np.clip((s.above_s1 - FORK_MM) / 20.0, 0, 1) * (1 + 0.08 * np.sin(s.above_s1 / 9.0))
            tissue[np.abs(ahead + depth) < np.sqrt(half) * thin] = Tissue.VESSEL
    tissue[ahead > BELLY_MM] = Tissue.MUSCLE
    tissue[ahead > BELLY_MM + 9] = Tissue.SUBCUTANEOUS_FAT
    tissue[ahead > BELLY_MM + 28] = Tissue.AIR


def _paint_canal_fat(tissue: TissueMap, s: Surroundings, x: float) -> None:
    field = s.field
    side = abs(x - field.middle_x)
    behind, usual = field.behind, field.usual_radius_ap
    fat = (side < 24) & (behind > -usual - 3) & (behind < usual + EPIDURAL_MM)  # noqa: PLR2004 - canal and foramina
    tissue[fat] = Tissue.EPIDURAL_FAT
    tissue[fat & (behind < -usual - 1) & (side < 9)] = Tissue.LIGAMENT  # noqa: PLR2004 - posterior longitudinal ligament
    narrowed = fat & (usual - field.radius_ap > 0.6) & (side < 14)  # noqa: PLR2004 - thick ligament and bulging annulus
    tissue[narrowed] = Tissue.LIGAMENT
