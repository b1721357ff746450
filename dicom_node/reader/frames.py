"""One frame's own facts, from a classic single-frame instance or from the functional groups of a multi-frame one.

An enhanced instance keeps a value in its per-frame groups, in its shared groups or (classic) at the top level
(PS3.3 C.7.6.16); the first place that has it speaks for the frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from dicom_node.reader.headers import Header
from dicom_node.reader.tags import FUNCTIONAL_GROUPS, PER_FRAME, SHARED
from dicom_node.reader.values import has, integer, items, number, numbers, text, texts
from inference.series.image_type import ImageKind, kind_of_image

ORIENTATION_TOLERANCE = 0.01
"""Largest deviation of |cosine vector| from 1, and of their dot product from 0 (PS3.3 C.7.6.2.1.1 asks orthonormal;
values are written with few digits, 0.01 is half a degree)."""
NO_AGENT = frozenset({"", "NO", "NONE", "N", "WITHOUT", "NATIVE", "N/A", "NA", "UNKNOWN", "0"})
"""What is written into ContrastBolusAgent (free text) when no agent was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Physics:
    """MR timing of one frame, in ms and degrees; None where the header does not say. All None for other modalities."""

    repetition_time_ms: float | None = None
    echo_time_ms: float | None = None
    inversion_time_ms: float | None = None
    flip_angle_deg: float | None = None
    diffusion_b: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """One frame."""

    header: Header
    number: int | None
    """Counted from 1; None for an instance without NumberOfFrames."""
    rows: int | None
    columns: int | None
    position_mm: tuple[float, ...] | None
    """ImagePositionPatient, LPS."""
    orientation: tuple[float, ...] | None
    """ImageOrientationPatient: direction of growing column index, then of growing row index."""
    pixel_spacing_mm: tuple[float, ...] | None
    """PixelSpacing: (between rows, between columns)."""
    slope: float
    intercept: float
    image_type: tuple[str, ...]
    kind: ImageKind
    physics: Physics
    temporal_position: int | None
    contrast_agent: bool


EMPTY = Dataset()


class _Layers:
    """Looks an element up in the per-frame groups, then the shared groups, then the top level."""

    def __init__(self, layers: Sequence[Dataset]) -> None:
        self._layers = layers

    def first(self, *keywords: str) -> Dataset:
        """The first layer that holds one of the keywords; an empty one if none does."""
        for keyword in keywords:
            for layer in self._layers:
                if has(layer, keyword):
                    return layer
        return EMPTY

    def number(self, *keywords: str) -> float | None:
        found = (number(self.first(keyword), keyword) for keyword in keywords)
        return next((value for value in found if value is not None), None)

    def numbers(self, keyword: str, count: int) -> tuple[float, ...] | None:
        return numbers(self.first(keyword), keyword, count)

    def texts(self, *keywords: str) -> tuple[str, ...]:
        found = (texts(self.first(keyword), keyword) for keyword in keywords)
        return next((value for value in found if value), ())


def frames_of(header: Header) -> Iterator[Frame]:
    """The frames of an image instance, in stored order."""
    shared = _group_items(next(iter(items(header.dataset, SHARED)), Dataset()))
    per_frame = items(header.dataset, PER_FRAME)
    multiframe = has(header.dataset, "NumberOfFrames")
    for index in range(header.frame_count):
        own = _group_items(per_frame[index]) if index < len(per_frame) else []
        layers = _Layers([*own, *shared, header.dataset])
        yield _frame(header, layers, index + 1 if multiframe else None)


def _group_items(groups: Dataset) -> list[Dataset]:
    return [item for keyword in FUNCTIONAL_GROUPS for item in items(groups, keyword)[:1]]


def _frame(header: Header, layers: _Layers, frame_number: int | None) -> Frame:
    slope, intercept = layers.number("RescaleSlope"), layers.number("RescaleIntercept")
    image_type = _image_type(layers)
    spacing = layers.numbers("PixelSpacing", 2)
    return Frame(
        header=header,
        number=frame_number,
        rows=integer(header.dataset, "Rows"),
        columns=integer(header.dataset, "Columns"),
        position_mm=layers.numbers("ImagePositionPatient", 3),
        orientation=_orthonormal(layers.numbers("ImageOrientationPatient", 6)),
        pixel_spacing_mm=spacing if spacing and min(spacing) > 0 else None,
        slope=1.0 if slope is None else slope,
        intercept=0.0 if intercept is None else intercept,
        image_type=image_type,
        kind=kind_of_image(image_type, mr=text(header.dataset, "Modality") == "MR"),
        physics=_physics(layers),
        temporal_position=_whole(layers.number("TemporalPositionIndex", "TemporalPositionIdentifier")),
        contrast_agent=_contrast_agent(header.dataset),
    )


def _image_type(layers: _Layers) -> tuple[str, ...]:
    """ImageType or FrameType, upper case, followed by the complex component unless it is the usual magnitude."""
    words = [word.upper() for word in layers.texts("FrameType", "ImageType")]
    component = [word.upper() for word in layers.texts("ComplexImageComponent")]
    return (*words, *(word for word in component if word not in ("MAGNITUDE", "MIXED")))


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _orthonormal(cosines: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """The orientation when it is one, else None: all zeros, not of unit length, not at a right angle."""
    if cosines is None:
        return None
    row, column = cosines[:3], cosines[3:]
    lengths_ok = all(abs(math.hypot(*vector) - 1) <= ORIENTATION_TOLERANCE for vector in (row, column))
    dot = sum(a * b for a, b in zip(row, column, strict=True))
    return cosines if lengths_ok and abs(dot) <= ORIENTATION_TOLERANCE else None


def _physics(layers: _Layers) -> Physics:
    return Physics(
        repetition_time_ms=layers.number("RepetitionTime"),
        echo_time_ms=layers.number("EffectiveEchoTime", "EchoTime"),
        inversion_time_ms=layers.number("InversionTimes", "InversionTime"),
        flip_angle_deg=layers.number("FlipAngle"),
        diffusion_b=layers.number("DiffusionBValue"),
    )


def _contrast_agent(dataset: Dataset) -> bool:
    agent = text(dataset, "ContrastBolusAgent")
    return bool(items(dataset, "ContrastBolusAgentSequence")) or (agent or "").upper() not in NO_AGENT
