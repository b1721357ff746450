"""Which series can answer which question: one table, and a named reason for every other pair.

The table (ELIGIBILITY) says what a question asks of a series of each role; eligibility.py walks a study's series
through it. Numbers without a source are this project's own choice, made so that a series outside them cannot carry
the measurement at all; they are no statement of image quality.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from inference.errors import ReasonCode
from inference.findings import FIVE_QUESTIONS, Question
from inference.series.role import SeriesRole


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a series of a suitable role must keep to; None: not asked."""

    min_slices: int = 1
    few_slices: int = 1
    """With fewer than this the series is read, and the plan warns (W_FEW_SLICES)."""
    max_pixel_mm: float | None = None
    max_slice_mm: float | None = None
    """Largest step between slices; a one-slice series has none."""
    max_shear_deg: float | None = None
    after_contrast_agent: bool = True
    """Whether a series after contrast agent can be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsuitable:
    """A role that cannot answer the question, and why."""

    code: ReasonCode
    sentence: str
    """Template; ``{question}``, ``{needs}`` and ``{role}`` are filled in."""


Rule: TypeAlias = Limits | Unsuitable

MR_SAGITTAL = Limits(few_slices=5, max_pixel_mm=1.5, max_slice_mm=8.0, max_shear_deg=2.0)
"""A lumbar body is about 27 mm high: at 1.5 mm an endplate position is known to a twentieth of it. Routine slices
are 3-5 mm plus gap. Fewer than five slices hold the midline but not both pedicles; one slice is read, and said to
be one."""
NAMES_ONLY = Limits(max_pixel_mm=2.0, max_slice_mm=20.0, max_shear_deg=2.0)
"""Of a series that only names the levels of another: bodies must be told apart, not measured."""
MR_AXIAL = Limits(few_slices=5, max_pixel_mm=1.0, max_slice_mm=8.0)
"""The dural sac is 10-18 mm deep: at 1 mm its area is known to about a tenth."""
CT_STACK = Limits(min_slices=20, max_pixel_mm=1.5, max_slice_mm=3.0, max_shear_deg=30.0)
"""A body must be crossed by several slices: 3 mm gives nine. Gantries tilt up to 30 degrees."""
PROJECTION = Limits()
"""Radiographs and fluoroscopy have no slices and often no calibrated pixels."""
WITHOUT_AGENT = Limits(few_slices=5, max_pixel_mm=1.5, max_slice_mm=8.0, max_shear_deg=2.0, after_contrast_agent=False)
"""Modic types are defined on unenhanced images: enhancing type 1 changes look like type 2 on T1 (Modic et al. 1988)."""

NO_SPINE = frozenset(
    {
        "ANKLE", "ARM", "BRAIN", "BREAST", "CALCANEUS", "CLAVICLE", "ELBOW", "EYE", "FACE", "FEMUR", "FINGER", "FOOT",
        "FOREARM", "HAND", "HEAD", "HIP", "HUMERUS", "JAW", "KNEE", "LEG", "MANDIBLE", "MAXILLA", "ORBIT", "PATELLA",
        "PROSTATE", "RADIUS", "SHOULDER", "SKULL", "THIGH", "THUMB", "TIBIA", "TOE", "ULNA", "WRIST", "ZYGOMA",
    }
)  # fmt: skip
"""BodyPartExamined (PS3.16 annex L) of parts whose images show no spine to read. The trunk, the neck and parts that
this software does not know are left to the images: sites often fill the attribute in by protocol, so that it proves
little where it could be right."""

SAGITTAL_MR = (
    SeriesRole.MR_SAGITTAL_T1, SeriesRole.MR_SAGITTAL_T1_FS, SeriesRole.MR_SAGITTAL_T2, SeriesRole.MR_SAGITTAL_T2_FS,
    SeriesRole.MR_SAGITTAL_STIR, SeriesRole.MR_SAGITTAL_OTHER,
)  # fmt: skip
AXIAL_MR = (SeriesRole.MR_AXIAL_T1, SeriesRole.MR_AXIAL_T2, SeriesRole.MR_AXIAL_OTHER)
ALL_MR = (*SAGITTAL_MR, *AXIAL_MR, SeriesRole.MR_OTHER)
ALL_CT = (SeriesRole.CT_AXIAL, SeriesRole.CT_OTHER)
ALL_XRAY = (SeriesRole.XRAY_LATERAL, SeriesRole.XRAY_OTHER)
MODALITY_ROLES = (ALL_MR, ALL_CT, ALL_XRAY, (SeriesRole.FLUOROSCOPY,))

SUITABLE: Mapping[Question, Mapping[SeriesRole, Limits]] = {
    Question.COMPRESSION_FRACTURE: {
        **dict.fromkeys(SAGITTAL_MR, MR_SAGITTAL),
        SeriesRole.CT_AXIAL: CT_STACK,
        SeriesRole.XRAY_LATERAL: PROJECTION,
    },
    Question.MODIC: dict.fromkeys(
        (
            SeriesRole.MR_SAGITTAL_T1,
            SeriesRole.MR_SAGITTAL_T2,
            SeriesRole.MR_SAGITTAL_T2_FS,
            SeriesRole.MR_SAGITTAL_STIR,
        ),
        WITHOUT_AGENT,
    ),
    Question.STENOSIS: {
        SeriesRole.MR_SAGITTAL_T2: MR_SAGITTAL,
        SeriesRole.MR_AXIAL_T2: MR_AXIAL,
        SeriesRole.CT_AXIAL: CT_STACK,
    },
    Question.NEEDLE_PLACEMENT: {SeriesRole.FLUOROSCOPY: PROJECTION, SeriesRole.CT_AXIAL: CT_STACK},
    Question.HARDWARE_LOOSENING: {
        SeriesRole.CT_AXIAL: CT_STACK,
        SeriesRole.XRAY_LATERAL: PROJECTION,
        SeriesRole.XRAY_OTHER: PROJECTION,
    },
}
"""What answers each question (ARCHITECTURE.md 1), and what is asked of it."""

QUESTION_WORDS: Mapping[Question, str] = {
    Question.COMPRESSION_FRACTURE: "vertebral compression fracture",
    Question.MODIC: "Modic change",
    Question.STENOSIS: "stenosis",
    Question.NEEDLE_PLACEMENT: "needle placement",
    Question.HARDWARE_LOOSENING: "hardware loosening",
}
NEEDS: Mapping[Question, str] = {
    Question.COMPRESSION_FRACTURE: "sagittal MR, axial CT or a lateral radiograph",
    Question.MODIC: "sagittal MR, T1 and T2 (STIR besides), without contrast agent",
    Question.STENOSIS: "sagittal or axial T2 MR, or axial CT",
    Question.NEEDLE_PLACEMENT: "fluoroscopy or axial CT",
    Question.HARDWARE_LOOSENING: "axial CT or radiographs",
}

NEVER: Mapping[SeriesRole, Unsuitable] = {
    SeriesRole.LOCALIZER: Unsuitable(
        code=ReasonCode.LOCALIZER, sentence="a localizer (scout) is not measured; {question} needs {needs}"
    ),
    SeriesRole.DERIVED_IMAGE: Unsuitable(
        code=ReasonCode.DERIVED,
        sentence="the images were computed from others (reformat, projection, map, phase, fat or opposed-phase image); "
        "{question} needs the acquired {needs}",
    ),
    SeriesRole.DERIVED_OBJECT: Unsuitable(
        code=ReasonCode.MODALITY, sentence="the series holds results or documents, no images; {question} needs {needs}"
    ),
    SeriesRole.OTHER: Unsuitable(
        code=ReasonCode.MODALITY, sentence="modality {modality} is not read; {question} needs {needs}"
    ),
}
"""Roles that answer no question."""
WRONG_MODALITY = Unsuitable(
    code=ReasonCode.MODALITY, sentence="{role} (modality {modality}) does not show {question}: it needs {needs}"
)
WRONG_PLANE = Unsuitable(code=ReasonCode.ORIENTATION, sentence="the slices are {plane}; {question} needs {needs}")
WRONG_VIEW = Unsuitable(
    code=ReasonCode.ORIENTATION, sentence="the radiograph is not known to be lateral; {question} needs {needs}"
)
WRONG_CONTRAST = Unsuitable(
    code=ReasonCode.MISSING_SERIES, sentence="the contrast is {contrast}; {question} needs {needs}"
)


def _rule(question: Question, role: SeriesRole) -> Rule:
    suitable = SUITABLE[question]
    if role in suitable:
        return suitable[role]
    if role in NEVER:
        return NEVER[role]
    same_modality = next(roles for roles in MODALITY_ROLES if role in roles)
    if not any(other in suitable for other in same_modality):
        return WRONG_MODALITY
    if role in ALL_XRAY:
        return WRONG_VIEW
    same_plane = next((roles for roles in (SAGITTAL_MR, AXIAL_MR) if role in roles), ())
    return WRONG_CONTRAST if any(other in suitable for other in same_plane) else WRONG_PLANE


ELIGIBILITY: Mapping[tuple[Question, SeriesRole], Rule] = MappingProxyType(
    {(question, role): _rule(question, role) for question in FIVE_QUESTIONS for role in SeriesRole}
)
"""Complete: every question by every role, either what is asked of the series or why the role cannot answer."""
