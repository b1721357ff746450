"""Drawn axial T2 scenes around a dural sac: disc or body, fat, ligament, facets, arch, muscles, roots, all random.

Words: a *scene* is one square crop `[row, column]` of 0.55 mm pixels; rows run to the back, columns to the left, the
sac lies near its middle. Its *sac* is the share of each pixel that the sac fills, 0 to 1, so that its sum is an area.
Signal is relative to fluid (1). Nothing here was measured on patients: sizes and brightness are the priors of models.md
2.3 and 2.4 with wide spreads, so that a network cannot rely on any of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from models.axial_crops import SIDE, STEP_MM

Field = NDArray[np.float32]
AREA_MM2 = (25.0, 300.0)
"""Severe stenosis to a wide normal sac (models.md 2.4: 30 to 250), drawn evenly in the logarithm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the sac of a scene is, in mm from the crop's middle, and how large."""

    back: float
    left: float
    half_depth: float
    half_width: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """A drawn crop."""

    signal: Field
    sac: Field

    @property
    def area_mm2(self) -> float:
        """Area of the sac."""
        return float(self.sac.sum()) * STEP_MM**2


def _axes() -> tuple[Field, Field]:
    line = (np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2) * np.float32(STEP_MM)
    return line[:, None], line[None, :]


BACK, LEFT = _axes()
"""Millimetres from the crop's middle, (row, 1) and (1, column)."""


def draw_scene(rng: np.random.Generator) -> Scene:
    """Draw a scene with a sac of random area and shape."""
    sac, place = draw_sac(rng)
    return Scene(signal=paint(sac, place, rng), sac=sac)


def draw_sac(rng: np.random.Generator) -> tuple[Field, Place]:
    """Draw an oval, triangular or trefoil sac; its area is drawn first and the outline is scaled to it."""
    area = float(np.exp(rng.uniform(*np.log(AREA_MM2))))
    flat = float(rng.uniform(0.5, 1.15))  # depth over width
    lobes = {n: float(rng.normal(0, s)) for n, s in ((2, 0.05), (4, 0.05), (5, 0.03))}
    lobes[3] = float(rng.uniform(-0.05, 0.3))
    exponent = float(rng.uniform(1.7, 3.0))
    back, left = (float(v) for v in rng.normal(0, 2.0, 2))
    y, x = BACK - back, (LEFT - left) * np.float32(flat)
    angle = np.arctan2(x, y)  # 0 to the back
    round_off = (np.abs(np.cos(angle)) ** exponent + np.abs(np.sin(angle)) ** exponent) ** (-1 / exponent)
    outline = round_off * (1 + sum(size * np.cos(n * angle) for n, size in lobes.items()))
    distance = np.hypot(y, x) / np.maximum(outline, 0.3)
    level = float(np.sqrt(area * flat / np.pi))
    for _ in range(4):
        sac = fill_level(distance, level)
        level *= float(np.sqrt(area / max(float(sac.sum()) * STEP_MM**2, 1.0)))
    sac = fill_level(distance, level)
    return sac, place_of(sac)


def fill_level(distance: Field, level: float) -> Field:
    """Share of each pixel where a smooth function stays under a level."""
    slope = np.hypot(*np.gradient(distance))
    return np.asarray(np.clip(0.5 - (distance - level) / np.maximum(slope, 1e-3), 0, 1), dtype=np.float32)


def place_of(sac: Field) -> Place:
    """Centre and half sizes of a sac."""
    rows, columns = sac.sum(axis=1) > 0.5, sac.sum(axis=0) > 0.5  # noqa: PLR2004 - half a pixel
    y, x = BACK[rows, 0], LEFT[0, columns]
    if not len(y) or not len(x):
        return Place(back=0.0, left=0.0, half_depth=1.0, half_width=1.0)
    return Place(
        back=float(y.mean()),
        left=float(x.mean()),
        half_depth=float(y.max() - y.min() + STEP_MM) / 2,
        half_width=float(x.max() - x.min() + STEP_MM) / 2,
    )


def paint(sac: Field, place: Place, rng: np.random.Generator) -> Field:
    """Signal of a scene with a given sac."""
    level = _brightness(rng)
    signal = _muscles(place, level, rng)
    _paint_front(signal, place, level, rng)
    _paint_arch(signal, place, level, rng)
    _paint_around(signal, sac, place, level, rng)
    inside = _sac_content(sac, place, level, rng)
    signal = signal * (1 - sac) + inside * sac
    return np.asarray(gaussian_filter(signal, float(rng.uniform(0.3, 1.0))), dtype=np.float32)


def _brightness(rng: np.random.Generator) -> dict[str, float]:
    """How bright each tissue is: T2 priors with a wide spread."""
    priors = {"muscle": 0.12, "fat": 0.75, "disc": 0.15, "bone": 0.4, "dark": 0.04, "fluid": 1.0, "root": 0.35}
    spread = float(rng.choice([0.2, 0.5]))
    return {name: value * float(np.exp(rng.normal(0, spread))) for name, value in priors.items()}


def smooth_noise(rng: np.random.Generator, scale_mm: float) -> Field:
    """Noise of deviation 1 with structures of a size."""
    count = max(3, round(SIDE * STEP_MM / scale_mm))
    field = zoom(rng.standard_normal((count, count)), SIDE / count, order=1, grid_mode=True, mode="nearest")
    return np.asarray(field / max(float(field.std()), 1e-6), dtype=np.float32)


def _ellipse(back: float, left: float, half: tuple[float, float], turn_deg: float = 0.0) -> Field:
    """Soft inside of an ellipse, 0 to 1; half sizes to the back and to the left."""
    c, s = np.float32(np.cos(np.radians(turn_deg))), np.float32(np.sin(np.radians(turn_deg)))
    y, x = BACK - np.float32(back), LEFT - np.float32(left)
    radius = np.hypot((c * y + s * x) / half[0], (c * x - s * y) / half[1])
    return np.asarray(np.clip((1 - radius) * min(half) / STEP_MM + 0.5, 0, 1), dtype=np.float32)


def _put(signal: Field, where: Field, value: Field | float) -> None:
    signal += where * (value - signal)


def _muscles(place: Place, level: dict[str, float], rng: np.random.Generator) -> Field:
    """Muscle with streaks of fat behind, psoas and fat beside."""
    signal = np.full((SIDE, SIDE), level["muscle"], np.float32)
    signal *= 1 + float(rng.uniform(0.05, 0.3)) * smooth_noise(rng, 2.0)
    streaks = np.clip(smooth_noise(rng, float(rng.uniform(2, 6))) - float(rng.uniform(0.3, 2.0)), 0, 1)
    _put(signal, np.asarray(streaks, np.float32), level["fat"])
    for side in (-1, 1):
        if rng.random() < 0.7:  # noqa: PLR2004
            left = place.left + side * 30
            fat = _ellipse(place.back - 8, left, tuple(rng.uniform(5, 14, 2)), rng.uniform(-40, 40))
            _put(signal, fat, level["fat"])
            psoas = _ellipse(place.back - 15, left + side * 3, tuple(rng.uniform(8, 15, 2)), rng.uniform(-40, 40))
            _put(signal, psoas, level["muscle"] * float(rng.uniform(0.7, 1.5)))
    return signal


def _paint_front(signal: Field, place: Place, level: dict[str, float], rng: np.random.Generator) -> None:
    """Disc or vertebral body in front of the sac, its back flat, hollow or bulging."""
    wide, deep = float(rng.uniform(19, 28)), float(rng.uniform(15, 20))
    gap = float(rng.uniform(-0.5, 3.0))
    hollow = float(rng.normal(0, 1.5))
    back = place.back - place.half_depth - gap + hollow * (1 - ((LEFT - place.left) / 12) ** 2).clip(-1, 1)
    side = ((LEFT - place.left - float(rng.normal(0, 2))) / wide) ** 2
    depth = (BACK - back) / (2 * deep)  # 0 at the back, -1 at the front
    inside = np.where(depth < 0, np.sqrt(side) ** 3 + np.abs(2 * depth + 1) ** 6, 2.0)
    body = np.asarray(np.clip((1 - inside) * 6 + 0.5, 0, 1), np.float32)
    is_disc = rng.random() < 0.7  # noqa: PLR2004
    if is_disc:
        nucleus = np.exp(-(side / 0.35 + (depth + 0.5) ** 2 / 0.06)) * float(rng.uniform(0, 0.5))
        _put(signal, body, np.asarray(level["disc"] + nucleus, np.float32))
    else:
        _put(signal, body, np.asarray(level["bone"] * (1 + 0.1 * smooth_noise(rng, 2.0)), np.float32))
    rim = np.exp(-((BACK - back) ** 2) / (2 * float(rng.uniform(0.4, 1.2)) ** 2)) * (side < 1)
    _put(signal, np.asarray(rim, np.float32) * float(rng.uniform(0.4, 1)), level["dark"])


def _paint_arch(signal: Field, place: Place, level: dict[str, float], rng: np.random.Generator) -> None:
    """Facets with their joint space, laminae and spinous process behind the sac."""
    wide = place.half_width + float(rng.uniform(3, 9))
    for side in (-1, 1):
        size = (float(rng.uniform(5, 10)), float(rng.uniform(4, 9)))
        at = (place.back + float(rng.uniform(2, 9)), place.left + side * (wide + size[1]))
        turn = side * float(rng.uniform(-60, 20))
        _put(signal, _ellipse(*at, (size[0] + 1.2, size[1] + 1.2), turn), level["dark"])
        _put(signal, _ellipse(*at, size, turn), level["bone"] * float(rng.uniform(0.3, 1)))
        joint = _ellipse(*at, (size[0] * 0.9, float(rng.uniform(0.5, 1.3))), turn)
        _put(signal, joint, level[str(rng.choice(["dark", "fluid", "fat"]))])
    start = place.back + place.half_depth + float(rng.uniform(3, 9))
    if rng.random() < 0.6:  # noqa: PLR2004
        size = (float(rng.uniform(8, 16)), float(rng.uniform(2, 4)))
        _put(signal, _ellipse(start + size[0], place.left, (size[0] + 1, size[1] + 1)), level["dark"])
        _put(signal, _ellipse(start + size[0], place.left, size), level["bone"])


def _paint_around(signal: Field, sac: Field, place: Place, level: dict[str, float], rng: np.random.Generator) -> None:
    """Epidural fat, the ligament behind and beside, and a dark line of dura, each there or not."""
    near = gaussian_filter(sac, float(rng.uniform(1.0, 3.0)) / STEP_MM)
    behind = np.clip((BACK - place.back) / max(place.half_depth, 1.0) + 0.5, 0, 1)
    ligament = np.asarray(np.clip(near * float(rng.uniform(3, 10)), 0, 1), np.float32)
    _put(signal, ligament * np.asarray(behind, np.float32), level["dark"])
    if rng.random() < 0.7:  # noqa: PLR2004
        height = float(rng.uniform(2, 9))
        from_sac = BACK - (place.back + place.half_depth - 1)
        triangle = np.clip((height - from_sac) * 0.6 - np.abs(LEFT - place.left), 0, 1) * (from_sac > -2)  # noqa: PLR2004
        _put(signal, np.asarray(triangle, np.float32), level["fat"])
    for side in (-1, 1):
        if rng.random() < 0.7:  # noqa: PLR2004
            ahead = place.half_depth * float(rng.uniform(0, 1))
            at = (place.back - ahead, place.left + side * (place.half_width + 1))
            _put(signal, _ellipse(*at, tuple(rng.uniform(1, 4, 2))), level["fat"])
            nerve = (at[0] + float(rng.uniform(-2, 2)), at[1] + side * float(rng.uniform(0, 4)))
            _put(signal, _ellipse(*nerve, tuple(rng.uniform(1, 2.5, 2))), level["root"])
    if rng.random() < 0.85:  # noqa: PLR2004
        line = np.clip(gaussian_filter(sac, float(rng.uniform(0.8, 1.6))) * 2.5, 0, 1)
        _put(signal, np.asarray(line, np.float32) * float(rng.uniform(0.3, 1)), level["dark"])


def _sac_content(sac: Field, place: Place, level: dict[str, float], rng: np.random.Generator) -> Field:
    """Fluid with roots: single dots, a grey crowd, or the cord."""
    inside = np.full_like(sac, level["fluid"]) * (1 + 0.06 * smooth_noise(rng, 3.0))
    crowd = float(rng.uniform(0, 1))
    if rng.random() < 0.3:  # noqa: PLR2004 - roots that cannot be told from each other
        _put(inside, np.full_like(sac, crowd), level["root"])
    lying = float(rng.uniform(-0.2, 0.5))  # lying on the back, roots sink
    roots = np.zeros_like(sac)
    for _ in range(int(rng.integers(0, 36))):
        back = place.back + place.half_depth * float(np.clip(rng.normal(lying, 0.4), -0.95, 0.95))
        left = place.left + place.half_width * float(rng.uniform(-0.95, 0.95))
        radius = float(rng.uniform(0.4, 1.1))
        roots = np.maximum(roots, _ellipse(back, left, (radius, radius * float(rng.uniform(0.8, 1.5)))))
    _put(inside, roots * float(rng.uniform(0.4, 1)), level["root"])
    if rng.random() < 0.1:  # noqa: PLR2004
        _put(inside, _ellipse(place.back, place.left, tuple(rng.uniform(2.5, 4.5, 2))), level["root"])
    return inside
