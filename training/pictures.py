"""Small pictures of the worst cases: the slice with the label's border in green and ours in red.

The pixel data is SPIDER's (CC BY 4.0); whoever shows a picture names the source beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.cases import Case
from training.scores import STRUCTURES

Scored = tuple[Case, NDArray[np.uint8], dict[str, Any]]
"""A case, what was found and its row of scores."""
MARGIN_MM = 12.0
WIDTH = 300
"""Pixels of a picture; with half of the grey levels it stays below 150 KB."""
GREYS = 128
TRUTH, FOUND = GREYS, GREYS + 1
"""Places in the palette, after the greys."""
TRUTH_RGB, FOUND_RGB = (0, 255, 0), (255, 40, 40)
WORST = 2


def worst_cases(scored: Sequence[Scored]) -> Iterator[tuple[str, Scored]]:
    """For each structure the patients of the lowest Dice, each on the series where it is lowest."""
    for structure in STRUCTURES:
        seen: set[str] = set()
        for one in sorted(scored, key=lambda item: (item[2]["dice"][structure], item[0].patient, item[0].series)):
            if one[0].patient not in seen and len(seen) < WORST:
                seen.add(one[0].patient)
                yield structure, one


def draw_worst(scored: Sequence[Scored], folder: Path) -> list[dict[str, Any]]:
    """Write a picture of each worst case into the folder; return what it shows."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    rows = []
    for structure, (case, found, row) in worst_cases(scored):
        name = f"{structure} {case.patient} {case.series}".replace(" ", "_").lower() + ".png"
        index = worst_slice(case.labels, found, STRUCTURES.index(structure) + 1)
        draw(case, found, index, STRUCTURES.index(structure) + 1).save(folder / name, optimize=True)
        rows.append(
            {
                "structure": structure,
                "patient": case.patient,
                "series": case.series,
                "kept_back": case.kept_back,
                "slice": index,
                "dice": row["dice"][structure],
                "file": f"{folder.name}/{name}",
            }
        )
    return rows


def worst_slice(truth: NDArray[np.uint8], found: NDArray[np.uint8], label: int) -> int:
    """The slice with most pixels that only one of the two calls so."""
    return int(((truth == label) != (found == label)).sum(axis=(1, 2)).argmax())


def draw(case: Case, found: NDArray[np.uint8], index: int, label: int) -> Image.Image:
    """The slice around its labels, with the borders of one structure."""
    row_mm, column_mm = case.spacing_mm[1:]
    truth_mask, found_mask = case.labels[index] == label, found[index] == label
    inside = np.argwhere((case.labels[index] > 0) | found_mask)
    margin = np.array([MARGIN_MM / row_mm, MARGIN_MM / column_mm]).astype(int)
    low = np.maximum(inside.min(axis=0) - margin, 0)
    high = np.minimum(inside.max(axis=0) + margin + 1, truth_mask.shape)
    box = tuple(slice(int(first), int(last)) for first, last in zip(low, high, strict=True))
    zoom = WIDTH / (high - low)[1]
    size = (WIDTH, round((high - low)[0] * zoom * row_mm / column_mm))
    grey = Image.fromarray(grey_levels(case.volume.voxels[index][box])).resize(size, Image.Resampling.BILINEAR)
    picture = np.asarray(grey) // 2
    for mask, colour in ((truth_mask, TRUTH), (found_mask, FOUND)):
        large = np.asarray(Image.fromarray(mask[box]).resize(size, Image.Resampling.NEAREST), dtype=bool)
        picture[border(large)] = colour
    return indexed(picture)


def indexed(places: NDArray[np.uint8]) -> Image.Image:
    """A picture of palette places: greys, then the two colours of borders."""
    drawn = Image.fromarray(places)
    drawn.putpalette([*(level for grey in range(GREYS) for level in [2 * grey] * 3), *TRUTH_RGB, *FOUND_RGB])
    return drawn


def border(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask that have a neighbour outside it."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.asarray(mask & ~inner)


def grey_levels(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Signal as 0 to 255, clipped at its 0.5th and 99.5th percentile."""
    low, high = np.percentile(pixels, (0.5, 99.5))
    return np.asarray(255 * np.clip((pixels - low) / max(float(high - low), 1.0), 0, 1), dtype=np.uint8)
