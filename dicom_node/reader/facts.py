"""The facts of a series, from all its instances and never from the first file alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from statistics import median

import numpy as np
from pydicom.dataset import Dataset

from dicom_node.reader.frames import EMPTY, Frame
from dicom_node.reader.headers import Header
from dicom_node.reader.kinds import HEAD_FOOT_AXIS, is_mostly_axial, kinds_of
from dicom_node.reader.stack import Stack
from dicom_node.reader.tags import FUNCTIONAL_GROUPS, SHARED
from dicom_node.reader.values import integer, items, text, texts
from dicom_node.storage_classes import STORAGE_CLASSES, StorageKind
from inference.errors import ReasonCode
from inference.geometry import Plane, plane_of
from inference.series.facts import SeriesFacts

CAPTURED = frozenset({"DV", "DF", "SD", "SI", "DRW", "WSD"})
"""ConversionType (PS3.3 C.8.6.1) of pictures of pictures: digitised video or film, scans, drawings, workstation."""
SECONDARY_CAPTURE = frozenset(uid for uid, kind in STORAGE_CLASSES.items() if "SecondaryCapture" in kind.keyword)
PULSE_SEQUENCES = {"SPIN": ("SE",), "GRADIENT": ("GR",), "BOTH": ("SE", "GR")}
"""EchoPulseSequence of enhanced MR (PS3.3 C.8.13.4) in the words of classic ScanningSequence (PS3.3 C.8.3.1.1.1)."""
PROJECTIONS = frozenset({"XA", "RF", "CR", "DX", "RG", "IO", "PX", "MG"})
"""Modality values (PS3.3 C.7.3.1.1.1) of projection images."""
AGE_UNITS_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
"""Suffixes of an age string (PS3.5 Table 6.2-1, AS)."""


def is_image(header: Header) -> bool:
    """Whether an instance shows the patient: an image SOP class, or an unknown one with pixels."""
    known = STORAGE_CLASSES.get(header.sop_class_uid)
    return known.kind is StorageKind.IMAGE if known else header.has_pixels


def is_projection(header: Header) -> bool:
    """Whether an instance is a projection: a radiograph or fluoroscopy, which has no place in the patient."""
    return text(header.dataset, "Modality") in PROJECTIONS


def summarise(
    headers: Sequence[Header],
    frames: Sequence[Frame],
    stacks: Sequence[Stack],
    *,
    fault: tuple[ReasonCode, str] | None,
    notes: tuple[str, ...],
) -> SeriesFacts:
    """The facts of one series.

    Args:
        headers: all its instances, at least one.
        frames: the frames that are read; all frames where no stack could be made.
        stacks: those frames as stacks, empty where there is none; plane, size and spacing are the first one's.
        fault: why there is none.
        notes: what was set aside.
    """
    first = headers[0].dataset
    stack = stacks[0] if stacks else None
    stacked = stack.frames if stack else tuple(frames)
    layers = [_mr_layer(frame.header.dataset) for frame in stacked[:1]]
    return SeriesFacts(
        study_instance_uid=headers[0].study_instance_uid,
        series_instance_uid=headers[0].series_instance_uid,
        modality=text(first, "Modality") or "",
        sop_class_uids=_distinct(header.sop_class_uid for header in headers),
        frame_count=sum(len(s.frames) for s in stacks) or sum(header.frame_count for header in headers),
        rows=_single(frame.rows for frame in stacked),
        columns=_single(frame.columns for frame in stacked),
        plane=_plane(stacked),
        spacing_mm=_spacing(stack, stacked),
        heights_mm=tuple(_heights_mm(s) for s in stacks if is_mostly_axial(s.frames[0])),
        image_type=stacked[0].image_type if stacked else (),
        repetition_time_ms=_median(frame.physics.repetition_time_ms for frame in stacked),
        echo_time_ms=_median(frame.physics.echo_time_ms for frame in stacked),
        inversion_time_ms=_median(frame.physics.inversion_time_ms for frame in stacked),
        flip_angle_deg=_median(frame.physics.flip_angle_deg for frame in stacked),
        diffusion_b=_median(frame.physics.diffusion_b for frame in stacked),
        scanning_sequence=_scanning_sequence(layers),
        sequence_variant=_words(layers, "SequenceVariant"),
        scan_options=_scan_options(layers),
        sequence_name=next(iter(_words(layers, "SequenceName") or _words(layers, "PulseSequenceName")), None),
        series_description=text(first, "SeriesDescription"),
        contrast_agent=any(frame.contrast_agent for frame in stacked),
        body_part_examined=text(first, "BodyPartExamined"),
        view_position=text(first, "ViewPosition"),
        patient_age_years=next((age for age in map(_age_years, (h.dataset for h in headers)) if age is not None), None),
        acquired_at=min((t for t in map(_acquired_at, (h.dataset for h in headers)) if t is not None), default=None),
        series_number=integer(first, "SeriesNumber"),
        burned_in=any(map(_is_captured, headers)),
        frame_of_reference_uids=_distinct(uid for h in headers if (uid := text(h.dataset, "FrameOfReferenceUID"))),
        shear_deg=round(max((s.shear_deg for s in stacks), default=0.0), 2),
        fault=fault,
        notes=notes,
    )


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _single(values: Iterable[int | None]) -> int | None:
    """The value that all share, None where they differ or there are none."""
    found = set(values)
    return found.pop() if len(found) == 1 else None


def _median(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return median(found) if found else None


def _plane(frames: Sequence[Frame]) -> Plane:
    """The plane that all kinds of frames share, UNKNOWN where there is none."""
    if not frames:
        return Plane.UNKNOWN
    cosines = [kind.example.orientation for kind in kinds_of(frames)]
    planes = {plane_of(found[:3], found[3:]) if found else Plane.UNKNOWN for found in cosines}
    return planes.pop() if len(planes) == 1 else Plane.UNKNOWN


def _spacing(stack: Stack | None, frames: Sequence[Frame]) -> tuple[float, float, float] | None:
    """Between (slices, rows, columns), rounded to 1e-6 mm; None without a stack or a shared pixel spacing."""
    pixel = {frame.pixel_spacing_mm for frame in frames}
    if stack is not None and len(stack.frames) > 1:
        slice_mm, row_mm, column_mm = np.linalg.norm(stack.affine[:3, :3], axis=0)
        return round(float(slice_mm), 6), round(float(row_mm), 6), round(float(column_mm), 6)
    shared = pixel.pop() if len(pixel) == 1 else None
    return (0.0, shared[0], shared[1]) if shared and (stack is not None or len(frames) == 1) else None


def _heights_mm(stack: Stack) -> tuple[float, float]:
    """The lowest and the highest z of the middles of its slices, half a step added at both ends; rounded to 1e-3 mm."""
    first = stack.frames[0]
    row, column = ((first.rows or 1) - 1) / 2, ((first.columns or 1) - 1) / 2
    places = (-0.5, len(stack.frames) - 0.5)
    ends = [float(stack.affine[HEAD_FOOT_AXIS] @ (index, row, column, 1.0)) for index in places]
    return round(min(ends), 3), round(max(ends), 3)


def _mr_layer(dataset: Dataset) -> list[Dataset]:
    """The top level and the shared functional groups of an instance: where MR protocol attributes are kept."""
    shared = next(iter(items(dataset, SHARED)), EMPTY)
    return [dataset, *(item for keyword in FUNCTIONAL_GROUPS for item in items(shared, keyword)[:1])]


def _words(layers: Sequence[Sequence[Dataset]], keyword: str) -> tuple[str, ...]:
    found = (texts(dataset, keyword) for layer in layers for dataset in layer)
    return next((tuple(word for word in words if word) for words in found if words), ())


def _scanning_sequence(layers: Sequence[Sequence[Dataset]]) -> tuple[str, ...]:
    classic = _words(layers, "ScanningSequence")
    if classic:
        return classic
    enhanced = PULSE_SEQUENCES.get(next(iter(_words(layers, "EchoPulseSequence")), ""), ())
    return (*enhanced, "IR") if _words(layers, "InversionRecovery")[:1] == ("YES",) else enhanced


def _scan_options(layers: Sequence[Sequence[Dataset]]) -> tuple[str, ...]:
    options = _words(layers, "ScanOptions")
    suppressed = _words(layers, "SpectrallySelectedSuppression")[:1]
    return (
        (*options, "FS")
        if suppressed and suppressed[0] in ("FAT", "FAT_AND_WATER") and "FS" not in options
        else options
    )


def _is_captured(header: Header) -> bool:
    return (
        (text(header.dataset, "BurnedInAnnotation") or "").upper() == "YES"
        or header.sop_class_uid in SECONDARY_CAPTURE
        or (text(header.dataset, "ConversionType") or "").upper() in CAPTURED
    )


def _age_years(dataset: Dataset) -> float | None:
    """PatientAge, else the time from birth to the study; None where neither is a valid value."""
    age = text(dataset, "PatientAge") or ""
    if len(age) == 4 and age[:3].isdigit() and age[3] in AGE_UNITS_YEARS:  # noqa: PLR2004 - nnnY
        return int(age[:3]) * AGE_UNITS_YEARS[age[3]]
    born = _date(text(dataset, "PatientBirthDate"))
    taken = next(
        (day for key in ("StudyDate", "SeriesDate", "AcquisitionDate") if (day := _date(text(dataset, key)))), None
    )
    if born is None or taken is None or taken < born:
        return None
    return round((taken - born).days / 365.25, 2)


def _acquired_at(dataset: Dataset) -> datetime | None:
    """AcquisitionDateTime, else the date and time of the acquisition, else of the series; to the second."""
    words = [text(dataset, "AcquisitionDateTime") or ""]
    words += [
        f"{text(dataset, f'{of}Date') or ''}{text(dataset, f'{of}Time') or ''}" for of in ("Acquisition", "Series")
    ]
    return next((found for found in map(_moment, words) if found is not None), None)


def _moment(value: str) -> datetime | None:
    """A DT value of at least YYYYMMDDHHMMSS; fractions and the offset from UTC are left out."""
    day, clock = _date(value[:8]), value[8:14]
    if day is None or len(clock) != 6 or not clock.isdigit():  # noqa: PLR2004 - HHMMSS
        return None
    try:
        return datetime.combine(day, time(int(clock[:2]), int(clock[2:4]), int(clock[4:])))
    except ValueError:
        return None


def _date(value: str | None) -> date | None:
    """A DA value (YYYYMMDD)."""
    if not value or len(value) != 8 or not value.isdigit():  # noqa: PLR2004
        return None
    try:
        return date(int(value[:4]), int(value[4:6]), int(value[6:]))
    except ValueError:
        return None
