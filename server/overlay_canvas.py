"""Drawing on one slice: a grey image in true proportions, outlines, lines, text, scale bar and footer.

Points are ``(column, row)`` of the stored slice with (0, 0) at the upper left corner (inference.geometry); nothing is
mirrored or turned.
Everything is drawn from numbers with Pillow's built-in font, so that the same input gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import pairwise
from math import ceil, hypot
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_erosion

from inference.geometry import MaskArray
from server.overlay_words import INK, WARNING, Colour

Point = tuple[float, float]

IMAGE_HEIGHT_PX = 960
PANEL_WIDTH_PX = 430
FOOTER_HEIGHT_PX = 34
MARGIN_PX = 14
OUTLINE_PX = 2
DASH_PX = 8
SCALE_BAR_MM = 50.0
FOOTER = "AI - research use only - not reviewed by a physician"
PANEL: Colour = (18, 22, 28)


class SliceCanvas:
    """One slice, or a part of it, and the panel of text beside it."""

    def __init__(
        self,
        grey: NDArray[np.uint8],
        *,
        row_mm: float,
        column_mm: float,
        origin: tuple[int, int] = (0, 0),
        panel_px: int = PANEL_WIDTH_PX,
    ) -> None:
        """Scale the slice to IMAGE_HEIGHT_PX with square pixels on the screen.

        Args:
            grey: (row, column).
            row_mm: distance between neighbouring rows.
            column_mm: distance between neighbouring columns.
            origin: (row, column) of the slice that the first pixel is, where only a part of the slice is drawn.
            panel_px: width of the panel; 0 where nothing is written beside the slice.
        """
        rows, columns = grey.shape
        self._origin, self._shape, self._panel_px = origin, (rows, columns), panel_px
        self._px_per_mm = IMAGE_HEIGHT_PX / (rows * row_mm)
        self._per_row, self._per_column = self._px_per_mm * row_mm, self._px_per_mm * column_mm
        self.width = max(1, round(columns * self._per_column))
        picture = Image.fromarray(grey).resize((self.width, IMAGE_HEIGHT_PX), Image.Resampling.BICUBIC)
        size = (self.width + panel_px, IMAGE_HEIGHT_PX + FOOTER_HEIGHT_PX)
        self._image = Image.new("RGB", size, PANEL)
        self._image.paste(picture.convert("RGB"), (0, 0))
        self._draw = ImageDraw.Draw(self._image)
        self._cursor = MARGIN_PX

    def outline(self, mask: MaskArray, colour: Colour, *, fill: float = 0.16, edge: float = 0.9) -> None:
        """Tint a structure (row, column) of the whole slice and draw its edge; `fill` and `edge` are opacities."""
        (row, column), (rows, columns) = self._origin, self._shape
        mask = mask[row : row + rows, column : column + columns]
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

    def line(self, points: Sequence[tuple[float, float]], colour: Colour, *, is_dashed: bool = False) -> None:
        """Draw a polyline through image points."""
        path = [self._screen(p) for p in points]
        if is_dashed:
            for dash in _dashes(path):
                self._draw.line(dash, fill=colour, width=2)
        elif len(path) > 1:
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
        for words in _wrapped(text, font, self._panel_px - 2 * MARGIN_PX):
            self._draw.text((self.width + MARGIN_PX, self._cursor), words, fill=colour, font=font)
            self._cursor += size + 4
        self._cursor += gap

    def has_room(self, text: str, *, size: int = 16, below: int = 0) -> bool:
        """Whether a text fits into what is left of the panel, with `below` pixels to spare."""
        lines = _wrapped(text, ImageFont.load_default(size), self._panel_px - 2 * MARGIN_PX)
        return self._cursor + len(lines) * (size + 4) + below <= IMAGE_HEIGHT_PX

    def caption(self, lines: Sequence[str]) -> None:
        """Write lines into the upper left corner of the image."""
        for number, line in enumerate(lines):
            font = ImageFont.load_default(22 if number == 0 else 17)
            place = (MARGIN_PX, MARGIN_PX + 22 * number + (6 if number else 0))
            self._draw.text(place, line, fill=INK, font=font, stroke_width=2, stroke_fill=(0, 0, 0))

    def save(self, path: Path, *, footer: str = FOOTER) -> Path:
        """Write the finished picture as a PNG."""
        path.write_bytes(self.png(footer))
        return path

    def png(self, footer: str = FOOTER) -> bytes:
        """The finished picture as a PNG file."""
        out = BytesIO()
        Image.fromarray(self.finish(footer)).save(out, format="PNG", compress_level=6)
        return out.getvalue()

    def finish(self, footer: str = FOOTER) -> NDArray[np.uint8]:
        """Add scale bar and footer; returns the picture, shape (row, column, 3)."""
        self._scale_bar()
        middle = (self.width + self._panel_px) // 2
        place = (middle, IMAGE_HEIGHT_PX + FOOTER_HEIGHT_PX // 2)
        self._draw.text(place, footer, fill=WARNING, font=ImageFont.load_default(18), anchor="mm")
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
        row, column = self._origin
        return (point[0] - column) * self._per_column, (point[1] - row) * self._per_row


def _dashes(path: Sequence[Point]) -> Iterator[tuple[Point, Point]]:
    """The pieces of a dashed line; each stretch begins with one."""
    for (x0, y0), (x1, y1) in pairwise(path):
        length = hypot(x1 - x0, y1 - y0)
        for start in range(0, ceil(length), 2 * DASH_PX):
            ends = (start / length, min(start + DASH_PX, length) / length)
            first, last = ((x0 + share * (x1 - x0), y0 + share * (y1 - y0)) for share in ends)
            yield first, last


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width_px: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) > width_px and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
