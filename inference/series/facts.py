"""What the headers of a series say, before a pixel is decoded: the input of every decision about the series."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from inference.errors import ReasonCode
from inference.geometry import Plane


class Contrast(StrEnum):
    """What an MR series is weighted by, from physics (TR, TE, TI, ScanOptions, ImageType), not its description."""

    T1 = "T1"
    T2 = "T2"
    T2_FAT_SAT = "T2_FS"
    STIR = "STIR"
    T1_FAT_SAT = "T1_FS"
    PD = "PD"
    OTHER = "OTHER"
    """Something else: diffusion, gradient echo, derived map."""
    UNKNOWN = "UNKNOWN"
    """The headers do not say."""
    NOT_APPLICABLE = "NA"
    """Not an MR series."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesFacts:
    """One series. None means that the headers do not say."""

    study_instance_uid: str
    series_instance_uid: str
    modality: str
    sop_class_uids: tuple[str, ...]
    frame_count: int
    """Frames in all instances together."""
    rows: int | None
    columns: int | None
    plane: Plane
    spacing_mm: tuple[float, float, float] | None
    """Between (slices, rows, columns); slices by positions; the slice value is 0 for a one-slice series."""
    heights_mm: tuple[tuple[float, float], ...] = ()
    """Of each stack of axial MR, between which heights (z of LPS) the middles of its slices lie, half a slice step
    added at both ends: which part of the spine it shows."""
    image_type: tuple[str, ...] = ()
    repetition_time_ms: float | None = None
    echo_time_ms: float | None = None
    inversion_time_ms: float | None = None
    flip_angle_deg: float | None = None
    scanning_sequence: tuple[str, ...] = ()
    sequence_variant: tuple[str, ...] = ()
    scan_options: tuple[str, ...] = ()
    sequence_name: str | None = None
    series_description: str | None = None
    """Shown to people; decides nothing by itself."""
    contrast_agent: bool = False
    body_part_examined: str | None = None
    patient_age_years: float | None = None
    burned_in: bool = False
    frame_of_reference_uids: tuple[str, ...] = ()
    """All that its instances name; some real series name another one on every slice."""
    acquired_at: datetime | None = None
    """When its first image was acquired, by the scanner's clock and without zone; decides between two alike only."""
    series_number: int | None = None
    diffusion_b: float | None = None
    """Diffusion b-value, s/mm2."""
    view_position: str | None = None
    """ViewPosition of a radiograph (PS3.3 C.8.7.1): AP, PA, LL, RL ..."""
    shear_deg: float = 0.0
    """Angle between the slice vector and the slice normal: a tilted gantry; 0 for a straight stack."""
    notes: tuple[str, ...] = ()
    """What a reader of the plan should know although it is no fault: images set aside, repeats left out."""
    fault: tuple[ReasonCode, str] | None = None
    """Why the series cannot be read as one stack, when the headers already tell."""
