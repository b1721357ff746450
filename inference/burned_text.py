"""Letters that were written into the pixels of an image, told from anatomy by being many alike in a row.

A header may not say that text is burned in, and public images carry names that way. Letters are thin strokes of one
grey level, brighter or darker than what lies around them, and they stand in a line with equal heights and small gaps.
Anatomy and noise have strokes like that, but hardly six of them in a row with equal brightness. Of a stack there is a
second sign: what is written on every slice is the same on every slice, which anatomy never is.

It is a second look beside the header, not a proof: single short words, text on one slice that is as bright as the
tissue behind it, and letters of less than nine pixels there are not found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, grey_closing, grey_opening, label, maximum

STROKE_PX = 9
"""Strokes are thinner than this."""
CONTRAST = 0.3
"""Smallest contrast of a stroke with its surroundings, as a part of the image's range of values."""
HEIGHT_PX = (6, 64)
"""Of a letter."""
LETTERS = 6
"""Fewest letters of a line."""
ALIKE = 0.12
"""Largest spread (standard deviation) of the letters' contrast over its mean: text is written in one grey level."""
GAP = 0.9
"""Largest gap between neighbouring letters, in their heights; a space is about half a height."""
SHIFT = 0.45
"""Largest difference of neighbours' middles, in their heights: letters may reach below or above the line."""
RATIO = 0.55
"""Smallest ratio of neighbours' heights."""
SAME_LETTERS = 4
"""Fewest letters of a line that is the same on every slice."""
SAME_SLICES = 4
"""Fewest slices that can tell what is the same on all from what is alike by chance."""
VISIBLE = 0.1
"""How far above the smallest value, as a part of the range, what is the same on every slice is no background."""
CONNECTED = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextLine:
    """One line of letters: rows and columns from the first to behind the last."""

    rows: tuple[int, int]
    columns: tuple[int, int]
    letters: int


@dataclass(frozen=True, slots=True)
class _Letter:
    top: int
    bottom: int
    left: int
    right: int
    contrast: float

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2


def burned_lines(voxels: NDArray[np.float32], index: int) -> tuple[TextLine, ...]:
    """The lines of letters on one slice of a stack, by both signs.

    Args:
        voxels: (slice, row, column), any scale.
        index: Of the slice.
    """
    return (*text_lines(voxels[index]), *_same_on_every_slice(voxels))


def _same_on_every_slice(voxels: NDArray[np.float32]) -> tuple[TextLine, ...]:
    if len(voxels) < SAME_SLICES:
        return ()
    first, lowest = voxels[0], float(voxels.min())
    is_same = (voxels == first).all(axis=0) & (first > lowest + VISIBLE * (float(voxels.max()) - lowest))
    return tuple(_lines(_letters(is_same.astype(np.float32)), SAME_LETTERS))


def text_lines(pixels: NDArray[np.float32]) -> tuple[TextLine, ...]:
    """The lines of letters on an image, from the top.

    Args:
        pixels: (row, column), any scale.
    """
    span = float(pixels.max() - pixels.min()) if pixels.size else 0.0
    if not np.isfinite(span) or span <= 0:
        return ()
    bright = pixels - grey_opening(pixels, size=(STROKE_PX, STROKE_PX))
    dark = grey_closing(pixels, size=(STROKE_PX, STROKE_PX)) - pixels
    lines = [line for strokes in (bright, dark) for line in _lines(_letters(strokes / span), LETTERS)]
    return tuple(sorted(lines, key=lambda line: (line.rows, line.columns)))


def _letters(strokes: NDArray[np.float32]) -> list[_Letter]:
    numbered, count = label(strokes > CONTRAST, structure=CONNECTED)
    if not count:
        return []
    contrasts = maximum(strokes, numbered, range(1, count + 1))
    found = []
    for (rows, columns), contrast in zip(find_objects(numbered), contrasts, strict=True):
        letter = _Letter(rows.start, rows.stop, columns.start, columns.stop, float(contrast))
        if HEIGHT_PX[0] <= letter.height <= HEIGHT_PX[1] and letter.right - letter.left <= 2 * letter.height:
            found.append(letter)
    return sorted(found, key=lambda letter: letter.left)


def _lines(letters: Sequence[_Letter], fewest: int) -> list[TextLine]:
    """Chains of letters from left to right, each the next of the one before it."""
    chains: list[list[_Letter]] = []
    for letter in letters:
        chain = next((chain for chain in chains if _follows(chain[-1], letter)), None)
        if chain is None:
            chains.append([letter])
        else:
            chain.append(letter)
    return [_line(chain) for chain in chains if len(chain) >= fewest and _are_alike(chain)]


def _follows(letter: _Letter, following: _Letter) -> bool:
    tall = max(letter.height, following.height)
    return (
        -0.2 * tall <= following.left - letter.right <= GAP * tall
        and abs(letter.middle - following.middle) <= SHIFT * tall
        and min(letter.height, following.height) >= RATIO * tall
    )


def _are_alike(chain: Sequence[_Letter]) -> bool:
    contrasts = np.array([letter.contrast for letter in chain])
    return float(contrasts.std() / contrasts.mean()) <= ALIKE


def _line(chain: Sequence[_Letter]) -> TextLine:
    return TextLine(
        rows=(min(letter.top for letter in chain), max(letter.bottom for letter in chain)),
        columns=(chain[0].left, max(letter.right for letter in chain)),
        letters=len(chain),
    )
