"""How a picture is asked for: media type, quality, window, viewport (PS3.18 8.3.5)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dicom_node.dicomweb.refusals import bad_request

JPEG, PNG = "image/jpeg", "image/png"
FORMATS: Mapping[str, str] = {JPEG: "JPEG", PNG: "PNG"}
DEFAULT_QUALITY = 90
MAX_SIDE = 8192
"""Largest picture that is made, in pixels of a side; our own bound."""
FUNCTIONS: Mapping[str, str] = {"linear": "LINEAR", "linear-exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}
"""VOI LUT functions, as PS3.18 8.3.5.1.4 and PS3.3 C.11.2.1.2 write them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A linear or sigmoid mapping of modality values to grey."""

    center: float
    width: float
    function: str = "LINEAR"


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewport:
    """Size of the picture, and the part of the image that it shows; pixels. Negative sizes of the part mirror it."""

    width: int
    height: int
    part: tuple[float, float, float, float] | None = None
    """Left, top, width, height; None: all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """How a frame is drawn."""

    media_type: str = JPEG
    quality: int = DEFAULT_QUALITY
    window: Window | None = None
    viewport: Viewport | None = None


def parse_rendering(parameters: Mapping[str, str], media_type: str) -> Rendering:
    """The rendering that a URL's query asks for.

    Raises:
        WebRefusal: 400, a parameter is not what PS3.18 8.3.5 says.
    """
    quality = parameters.get("quality", str(DEFAULT_QUALITY))
    if not (quality.isascii() and quality.isdigit() and 1 <= int(quality[:4]) <= 100):  # noqa: PLR2004 - percent
        raise bad_request("quality is a whole number from 1 to 100.")
    return Rendering(
        media_type=media_type,
        quality=int(quality),
        window=_window(parameters["window"]) if "window" in parameters else None,
        viewport=_viewport(parameters["viewport"]) if "viewport" in parameters else None,
    )


def _window(text: str) -> Window:
    words = text.split(",")
    numbers = finite(words[:2])
    name = FUNCTIONS.get(",".join(words[2:]).strip().lower() or "linear")
    if len(numbers) != 2 or name is None or numbers[1] < 1:  # noqa: PLR2004 - center and width
        raise bad_request(f"window is CENTER,WIDTH,FUNCTION: a width of at least 1, and one of {', '.join(FUNCTIONS)}.")
    return Window(center=numbers[0], width=numbers[1], function=name)


def _viewport(text: str) -> Viewport:
    words = text.split(",")
    numbers = finite(words)
    if len(numbers) not in {2, 6} or not all(1 <= side <= MAX_SIDE for side in numbers[:2]):
        raise bad_request(f"viewport is WIDTH,HEIGHT or WIDTH,HEIGHT,X,Y,W,H, each side from 1 to {MAX_SIDE} pixels.")
    part = (numbers[2], numbers[3], numbers[4], numbers[5]) if len(numbers) > 2 else None  # noqa: PLR2004
    if part is not None and 0 in part[2:]:
        raise bad_request("The part of the image that a viewport shows has a width and a height.")
    return Viewport(width=int(numbers[0]), height=int(numbers[1]), part=part)


def finite(words: Sequence[str]) -> list[float]:
    """The words as numbers; empty when one of them is none."""
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        return []
    return numbers if all(math.isfinite(number) for number in numbers) else []
