"""Drawing on one slice: a grey image in true proportions, outlines, lines, text, scale bar and footer.

Points are ``(column, row)`` of the stored slice with (0, 0) at the upper left corner (inference.geometry); nothing is
mirrored or turned.
Everything is drawn from numbers with Pillow's built-in font, so that the same input gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_erosion

from inference.geometry import MaskArray

Colour = tuple[int, int, int]

IMAGE_HEIGHT_PX = 960
PANEL_WIDTH_PX = 430
FOOTER_HEIGHT_PX = 34
MARGIN_PX = 14
OUTLINE_PX = 2
SCALE_BAR_MM = 50.0
FOOTER = "AI - research use only - not reviewed by a physician"
INK: Colour = (235, 235, 235)
FAINT: Colour = (150, 155, 165)
PANEL: Colour = (18, 22, 28)
WARNING: Colour = (255, 205, 90)


class SliceCanvas:
    """One slice and the panel of text beside it."""

    def __init__(self, grey: NDArray[np.uint8], *, row_mm: float, column_mm: float) -> None:
        """Scale the slice to IMAGE_HEIGHT_PX with square pixels on the screen.

        Args:
            grey: (row, column).
            row_mm: distance between neighbouring rows.
            column_mm: distance between neighbouring columns.
        """
        rows, columns = grey.shape
        self._px_per_mm = IMAGE_HEIGHT_PX / (rows * row_mm)
        self._per_row, self._per_column = self._px_per_mm * row_mm, self._px_per_mm * column_mm
        self.width = max(1, round(columns * self._per_column))
        picture = Image.fromarray(grey).resize((self.width, IMAGE_HEIGHT_PX), Image.Resampling.BICUBIC)
        size = (self.width + PANEL_WIDTH_PX, IMAGE_HEIGHT_PX + FOOTER_HEIGHT_PX)
        self._image = Image.new("RGB", size, PANEL)
        self._image.paste(picture.convert("RGB"), (0, 0))
        self._draw = ImageDraw.Draw(self._image)
        self._cursor = MARGIN_PX

    def outline(self, mask: MaskArray, colour: Colour, *, fill: float = 0.16, edge: float = 0.9) -> None:
        """Tint a structure (row, column) and draw its edge; `fill` and `edge` are opacities."""
        if not mask.any():
            return
        scaled = Image.fromarray((mask * np.uint8(255)).astype(np.uint8)).resize(
            (self.width, IMAGE_HEIGHT_PX), Image.Resampling.BILINEAR
        )
        inside = np.asarray(scaled) > 127  # noqa: PLR2004 - the half way between in and out
        border = inside & ~binary_erosion(inside, iterations=OUTLINE_PX)
        opacity = np.where(border, edge, np.where(inside, fill, 0.0))[..., None]
        box = (0, 0, self.width, IMAGE_HEIGHT_PX)
        below = np.asarray(self._image.crop(box), dtype=np.float64)
        mixed = below * (1 - opacity) + np.array(colour, dtype=np.float64) * opacity
        self._image.paste(Image.fromarray(np.rint(mixed).astype(np.uint8)), (0, 0))

    def line(self, points: Sequence[tuple[float, float]], colour: Colour) -> None:
        """Draw a polyline through image points."""
        path = [self._screen(p) for p in points]
        if len(path) > 1:
            self._draw.line(path, fill=colour, width=2)
        for x, y in (path[0], path[-1]):
            self._draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour)

    def label(
        self, point: tuple[float, float], text: str, colour: Colour, *, size: int = 17, anchor: str = "mm"
    ) -> None:
        """Write a short text at an image point, with a dark edge that keeps it readable on bright tissue."""
        x, y = self._screen(point)
        font = ImageFont.load_default(size)
        self._draw.text((x, y), text, fill=colour, font=font, anchor=anchor, stroke_width=2, stroke_fill=(0, 0, 0))

    def write(self, text: str, colour: Colour = INK, *, size: int = 16, gap: int = 4) -> None:
        """Add a text to the panel, wrapped to its width."""
        font = ImageFont.load_default(size)
        for words in _wrapped(text, font, PANEL_WIDTH_PX - 2 * MARGIN_PX):
            self._draw.text((self.width + MARGIN_PX, self._cursor), words, fill=colour, font=font)
            self._cursor += size + 4
        self._cursor += gap

    def has_room(self, text: str, *, size: int = 16, below: int = 0) -> bool:
        """Whether a text fits into what is left of the panel, with `below` pixels to spare."""
        lines = _wrapped(text, ImageFont.load_default(size), PANEL_WIDTH_PX - 2 * MARGIN_PX)
        return self._cursor + len(lines) * (size + 4) + below <= IMAGE_HEIGHT_PX

    def save(self, path: Path) -> Path:
        """Write the finished picture as a PNG."""
        Image.fromarray(self.finish()).save(path, format="PNG", compress_level=6)
        return path

    def finish(self) -> NDArray[np.uint8]:
        """Add scale bar and footer; returns the picture, shape (row, column, 3)."""
        self._scale_bar()
        middle = (self.width + PANEL_WIDTH_PX) // 2
        place = (middle, IMAGE_HEIGHT_PX + FOOTER_HEIGHT_PX // 2)
        self._draw.text(place, FOOTER, fill=WARNING, font=ImageFont.load_default(18), anchor="mm")
        return np.asarray(self._image)

    def _scale_bar(self) -> None:
        length = SCALE_BAR_MM * self._px_per_mm
        x, y = MARGIN_PX, IMAGE_HEIGHT_PX - MARGIN_PX
        self._draw.line((x, y, x + length, y), fill=INK, width=3)
        for end in (x, x + length):
            self._draw.line((end, y - 6, end, y + 2), fill=INK, width=2)
        words = f"{SCALE_BAR_MM:.0f} mm"
        font = ImageFont.load_default(15)
        self._draw.text((x + length / 2, y - 7), words, fill=INK, font=font, anchor="mb", stroke_width=2, stroke_fill=0)

    def _screen(self, point: tuple[float, float]) -> tuple[float, float]:
        return point[0] * self._per_column, point[1] * self._per_row


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width_px: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) > width_px and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
