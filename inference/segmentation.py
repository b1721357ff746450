"""Outlined structures on the grid of one source series."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from inference.geometry import FrameReference, MaskArray
from inference.provenance import ModelIdentity


class Structure(StrEnum):
    """What a segment outlines."""

    VERTEBRA = "vertebra"
    """A whole vertebra: body and posterior elements."""
    VERTEBRAL_BODY = "vertebral body"
    DISC = "disc"
    SPINAL_CANAL = "spinal canal"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segment:
    """One structure at one level."""

    label: str
    """``L4 vertebra``, ``L4 vertebral body``, ``L4-L5 disc``, ``spinal canal`` (ARCHITECTURE.md 5)."""
    structure: Structure
    level: str | None
    """``L4``, ``L4-L5``; None for the canal."""
    tracking_uid: str
    mask: MaskArray
    """(slice, row, column) on the source grid."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segmentation:
    """All segments of one source series, in source geometry: nothing was resampled or reoriented."""

    series_instance_uid: str
    sources: tuple[FrameReference, ...]
    """One per slice, as in the Volume."""
    segments: tuple[Segment, ...]
    model: ModelIdentity
