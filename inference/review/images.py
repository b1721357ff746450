"""The images of a study, as far as a reviewer's shapes need them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from inference.geometry import FrameReference


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFrame:
    """One frame that can be drawn on."""

    source: FrameReference
    rows: int
    columns: int
    spacing_mm: tuple[float, float] | None
    """(between rows, between columns); None where the image does not say."""


class Images(Protocol):
    """Finds the images of one study."""

    def frame(self, sop_instance_uid: str, number: int | None) -> ImageFrame | None:
        """A frame (from 1; None for a single-frame image) of an image of the study, None where it has no such one."""
        ...
