"""What an MR series is weighted by, and the role a series can play, from geometry and physics.

The description and protocol name of a series are free text that sites write as they like; they decide nothing here.
Times are in ms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from inference.geometry import Plane
from inference.series.facts import Contrast, SeriesFacts
from inference.series.image_type import ImageKind, kind_of_image


class SeriesRole(StrEnum):
    """What a series can be used as."""

    MR_SAGITTAL_T1 = "mr_sagittal_t1"
    MR_SAGITTAL_T1_FS = "mr_sagittal_t1_fs"
    """T1 with fat saturation, most often after contrast agent."""
    MR_SAGITTAL_T2 = "mr_sagittal_t2"
    MR_SAGITTAL_T2_FS = "mr_sagittal_t2_fs"
    MR_SAGITTAL_STIR = "mr_sagittal_stir"
    MR_SAGITTAL_OTHER = "mr_sagittal_other"
    """Proton density, gradient echo, or a contrast that the headers do not tell."""
    MR_AXIAL_T1 = "mr_axial_t1"
    MR_AXIAL_T2 = "mr_axial_t2"
    MR_AXIAL_OTHER = "mr_axial_other"
    MR_OTHER = "mr_other"
    """Coronal, of unknown plane, or oblique and not nearer to axial than to sagittal and coronal."""
    CT_AXIAL = "ct_axial"
    CT_OTHER = "ct_other"
    """Not axial: sagittal or coronal reformats, unknown plane."""
    XRAY_LATERAL = "xray_lateral"
    XRAY_OTHER = "xray_other"
    """A radiograph that is frontal or does not say its view."""
    FLUOROSCOPY = "fluoroscopy"
    LOCALIZER = "localizer"
    DERIVED_IMAGE = "derived_image"
    """Reformat, projection, map, phase, fat or opposed-phase image."""
    DERIVED_OBJECT = "derived_object"
    """No image of the patient: structured report, segmentation, key objects, presentation state, document."""
    OTHER = "other"
    """Another modality, or a secondary capture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A closed range."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighting:
    """Times that make a spin-echo series one contrast."""

    contrast: Contrast
    repetition_time_ms: Range
    echo_time_ms: Range


STIR_INVERSION_MS = Range(low=60.0, high=300.0)
"""TI that nulls fat, ln 2 x its T1 (Bydder & Young, J Comput Assist Tomogr 1985;9:659): about 150-180 at 1.5 T, 200-230
at 3 T, down to 80 at low field; the margins are our own choice."""
T1_FLAIR_INVERSION_MS = Range(low=500.0, high=1200.0)
"""TI of inversion-prepared T1 (T1 FLAIR), which nulls CSF at a TR of 1.7-3 s; our own choice around vendors'
700-900."""
T1_FLAIR_MAX_ECHO_MS = 40.0
"""McRobbie's limit of a short TE."""
STIR_MIN_REPETITION_MS = 1300.0
"""Fat and water must recover between inversions; STIR is acquired at TR of 2-6 s (3-D from 1.5 s)."""
SPIN_ECHO_MIN_FLIP_DEG = 60.0
"""Excitation below this means a gradient echo where the header does not name the sequence. Spin-echo spine series of
SPIDER have 80-160."""
WEIGHTINGS: tuple[Weighting, ...] = (
    Weighting(
        contrast=Contrast.T1, repetition_time_ms=Range(low=250.0, high=1250.0), echo_time_ms=Range(low=0.0, high=30.0)
    ),
    Weighting(
        contrast=Contrast.T2,
        repetition_time_ms=Range(low=900.0, high=20000.0),
        echo_time_ms=Range(low=60.0, high=500.0),
    ),
    Weighting(
        contrast=Contrast.PD, repetition_time_ms=Range(low=1500.0, high=20000.0), echo_time_ms=Range(low=0.0, high=60.0)
    ),
)
"""Spin-echo contrasts by TR and TE; outside all of them it is OTHER. Textbook limits (McRobbie, MRI from Picture to
Proton, ch. 3: short TR < 750, long > 1500; short TE < 40, long > 75) widened to what spine protocols use: at 3 T T1
is run to TR 1200, and 3-D T2 with restore pulses (SPACE, CUBE, VISTA) from TR 1000. The 360 series of SPIDER lie
well inside: T1 446-746 / 7-14, T2 1000-5570 / 80-124 (van der Graaf et al., Scientific Data 2024)."""
FAT_SATURATION = frozenset({"FS", "FATSAT", "FAT_SAT", "FSS", "SPIR", "SPAIR", "WE", "WATEREXC"})
"""ScanOptions that suppress fat: FS is PS3.3 C.8.3.1.1.1's term, the rest are vendors'."""
NOT_SPIN_ECHO = frozenset({"GR", "EP"})
"""ScanningSequence values of gradient echo (T2*, FLASH, balanced SSFP) and echo planar (diffusion): never T1 or T2
here."""
FAT_SATURATED: Mapping[Contrast, Contrast] = {Contrast.T1: Contrast.T1_FAT_SAT, Contrast.T2: Contrast.T2_FAT_SAT}


def contrast_of(facts: SeriesFacts) -> Contrast:
    """What an MR series is weighted by; NOT_APPLICABLE for another modality, UNKNOWN without TR or TE."""
    if facts.modality != "MR":
        return Contrast.NOT_APPLICABLE
    kind = kind_of_image(facts.image_type, mr=True)
    if kind not in (ImageKind.IMAGE, ImageKind.LOCALIZER, ImageKind.DIXON_IN_PHASE, ImageKind.DIXON_WATER):
        return Contrast.OTHER
    if facts.diffusion_b or _is_gradient_echo(facts):
        return Contrast.OTHER
    if facts.repetition_time_ms is None or facts.echo_time_ms is None:
        return Contrast.UNKNOWN
    inverted = _inverted(facts, facts.repetition_time_ms, facts.echo_time_ms)
    if inverted is not None:
        return inverted
    contrast = _spin_echo(facts.repetition_time_ms, facts.echo_time_ms)
    suppressed = kind is ImageKind.DIXON_WATER or bool(FAT_SATURATION & {o.upper() for o in facts.scan_options})
    return FAT_SATURATED.get(contrast, contrast) if suppressed else contrast


def _is_gradient_echo(facts: SeriesFacts) -> bool:
    """By ScanningSequence; where it is missing, by a flip angle that no spin echo has."""
    named = {word.upper() for word in facts.scanning_sequence}
    if named:
        return bool(named & NOT_SPIN_ECHO)
    return facts.flip_angle_deg is not None and facts.flip_angle_deg < SPIN_ECHO_MIN_FLIP_DEG


def _inverted(facts: SeriesFacts, repetition_time_ms: float, echo_time_ms: float) -> Contrast | None:
    """The contrast of an inversion recovery series; None for a series without inversion.

    A positive TI counts even where ScanningSequence has no IR: some scanners write SE for STIR.
    """
    is_named = "IR" in {word.upper() for word in facts.scanning_sequence}
    inversion = facts.inversion_time_ms or 0.0
    if inversion <= 0.0:
        return Contrast.UNKNOWN if is_named else None
    if inversion in STIR_INVERSION_MS and repetition_time_ms >= STIR_MIN_REPETITION_MS:
        return Contrast.STIR
    if inversion in T1_FLAIR_INVERSION_MS and echo_time_ms <= T1_FLAIR_MAX_ECHO_MS:
        return Contrast.T1
    return Contrast.OTHER


def _spin_echo(repetition_time_ms: float, echo_time_ms: float) -> Contrast:
    return next(
        (
            weighting.contrast
            for weighting in WEIGHTINGS
            if repetition_time_ms in weighting.repetition_time_ms and echo_time_ms in weighting.echo_time_ms
        ),
        Contrast.OTHER,
    )


MR_ROLES: Mapping[tuple[Plane, Contrast], SeriesRole] = {
    (Plane.SAGITTAL, Contrast.T1): SeriesRole.MR_SAGITTAL_T1,
    (Plane.SAGITTAL, Contrast.T1_FAT_SAT): SeriesRole.MR_SAGITTAL_T1_FS,
    (Plane.SAGITTAL, Contrast.T2): SeriesRole.MR_SAGITTAL_T2,
    (Plane.SAGITTAL, Contrast.T2_FAT_SAT): SeriesRole.MR_SAGITTAL_T2_FS,
    (Plane.SAGITTAL, Contrast.STIR): SeriesRole.MR_SAGITTAL_STIR,
    (Plane.AXIAL, Contrast.T1): SeriesRole.MR_AXIAL_T1,
    (Plane.AXIAL, Contrast.T2): SeriesRole.MR_AXIAL_T2,
}
"""Roles of MR series by plane and contrast; other contrasts of a plane have OTHER_MR_ROLES."""
OTHER_MR_ROLES: Mapping[Plane, SeriesRole] = {
    Plane.SAGITTAL: SeriesRole.MR_SAGITTAL_OTHER,
    Plane.AXIAL: SeriesRole.MR_AXIAL_OTHER,
}
LATERAL_VIEWS = frozenset({"LL", "RL", "LLD", "RLD"})
"""ViewPosition terms of lateral radiographs (PS3.3 C.8.7.1.1.1); obliques are not."""
FLUOROSCOPY = frozenset({"XA", "RF"})
RADIOGRAPHS = frozenset({"CR", "DX"})
OBJECT_MODALITIES = frozenset(
    {"SR", "SEG", "KO", "PR", "DOC", "REG", "FID", "RWV", "RTSTRUCT", "RTPLAN", "RTDOSE", "RTRECORD", "PLAN", "M3D"}
)
"""Modality of objects that are no images of the patient (PS3.3 C.7.3.1.1.1)."""


def role_of(facts: SeriesFacts) -> SeriesRole:
    """The role that a series can play. A series with a fault keeps its role: the fault says why it cannot play it."""
    if facts.modality in OBJECT_MODALITIES or (facts.rows is None and facts.frame_count == 0):
        return SeriesRole.DERIVED_OBJECT
    kind = kind_of_image(facts.image_type, mr=facts.modality == "MR")
    if kind is ImageKind.LOCALIZER:
        return SeriesRole.LOCALIZER
    if kind not in (ImageKind.IMAGE, ImageKind.DIXON_IN_PHASE, ImageKind.DIXON_WATER):
        return SeriesRole.DERIVED_IMAGE
    return _image_role(facts)


def _image_role(facts: SeriesFacts) -> SeriesRole:
    if facts.modality == "MR":
        # Slices along L5-S1 are often oblique, and nearer to axial than to any other plane: only those have heights.
        plane = Plane.AXIAL if facts.plane is Plane.OBLIQUE and facts.heights_mm else facts.plane
        role = MR_ROLES.get((plane, contrast_of(facts)))
        return role or OTHER_MR_ROLES.get(plane, SeriesRole.MR_OTHER)
    if facts.modality == "CT":
        return SeriesRole.CT_AXIAL if facts.plane is Plane.AXIAL else SeriesRole.CT_OTHER
    if facts.modality in FLUOROSCOPY:
        return SeriesRole.FLUOROSCOPY
    if facts.modality in RADIOGRAPHS:
        lateral = (facts.view_position or "").upper() in LATERAL_VIEWS
        return SeriesRole.XRAY_LATERAL if lateral else SeriesRole.XRAY_OTHER
    return SeriesRole.OTHER
