"""Every error that this software raises on purpose.

    SpineError
    ├── Refusal            the input is outside what we accept; final; told to the user in one sentence
    │   ├── SeriesRefusal      one series cannot answer a question
    │   ├── InstanceRefusal    one instance cannot be accepted
    │   ├── BundleRefusal      a model bundle cannot be loaded
    │   ├── SettingRefusal     a setting is unknown or out of range
    │   ├── ReviewRefusal      a review cannot be applied to the findings (inference.review.refusal)
    │   ├── ClaimRefusal, ReportRefusal, AttachmentRefusal (claims)
    │   └── UsageRefusal       a command was called with something that it cannot use
    └── Failure            ours, or a peer's, and possibly passing; may be retried
        ├── StorageFailure     bytes could not be made durable
        └── PeerFailure        a peer did not answer or did not accept

A message says what was wrong, the value, and what would be right. It never holds a patient's name or
identifier: UIDs and numbers only.
"""

from __future__ import annotations

from enum import StrEnum


class ReasonCode(StrEnum):
    """Why something was not assessed, or why a series was refused; machine-readable, stable."""

    MODALITY = "E_MODALITY"
    """The modality cannot answer this question."""
    BODY_PART = "E_BODYPART"
    """The expected anatomy was not found in the image."""
    ORIENTATION = "E_ORIENTATION"
    """The plane of the slices is not one that the detector reads."""
    MISSING_SERIES = "E_MISSING_SERIES"
    """No series of the required role (plane and contrast) is in the study."""
    SPACING = "E_SPACING"
    """Pixel spacing or slice positions are missing, uneven or out of range."""
    TOO_FEW_SLICES = "E_TOO_FEW_SLICES"
    """The series has too few slices."""
    LOCALIZER = "E_LOCALIZER"
    """The series is a localizer (scout)."""
    DERIVED = "E_DERIVED"
    """The series was computed from other images (reformat, projection, map)."""
    MOTION = "E_MOTION"
    """Motion artefact."""
    TRUNCATION = "E_TRUNCATION"
    """The structure touches the edge of the field of view."""
    METAL = "E_METAL"
    """Metal or cement artefact."""
    POST_CONTRAST = "E_POSTCONTRAST"
    """The series was acquired after contrast agent."""
    PAEDIATRIC = "E_PEDIATRIC"
    """The patient is younger than 18 years; all reference values are of adults."""
    DUPLICATE = "E_DUPLICATE"
    """Two instances claim the same position."""
    BURNED_IN = "E_BURNED_IN"
    """Text is burned into the pixels (secondary capture, screenshot)."""
    GEOMETRY = "E_GEOMETRY"
    """Position or orientation is missing, or the slices do not form a stack."""
    PIXEL_DATA = "E_PIXEL_DATA"
    """The pixel data is missing, truncated or cannot be decoded."""
    NOT_DICOM = "E_NOT_DICOM"
    """The file is not a DICOM instance that can be read, or it lacks the identifiers that place it in a study."""
    MIXED = "E_MIXED"
    """The series holds images of different kinds that cannot be read as one stack."""
    NO_MODEL = "E_NO_MODEL"
    """No installed detector answers this question."""
    FAULT = "E_FAULT"
    """The detector itself failed on this series; a fault of the program, not of the images."""
    UNCERTAIN = "E_UNCERTAIN"
    """The measurement's uncertainty is too large for a statement."""
    FEW_SLICES = "W_FEW_SLICES"
    """The series was read, but has so few slices that measurements are limited to them."""
    LATERAL_SLICES = "W_LATERAL_SLICES"
    """Slices at the sides of the series were not read, because they show no spine."""
    NUMBERING = "W_NUMBERING"
    """The level numbering is uncertain."""
    TRANSITIONAL = "W_LSTV"
    """A lumbosacral transitional vertebra cannot be excluded."""
    OUT_OF_DISTRIBUTION = "W_OOD"
    """The image differs from what the detector was trained on."""
    REJECTED = "E_REJECTED"
    """The reviewer rejected the finding, and said nothing in its place."""
    NOT_CHOSEN = "W_NOT_CHOSEN"
    """The series could have been read, and another one of the study was taken instead."""


class SpineError(Exception):
    """Root of every error that is raised on purpose."""


class Refusal(SpineError):  # noqa: N818 - a refusal is this field's word for it (style.md section 4)
    """The input is outside what we accept; final."""

    def __init__(self, sentence: str, *, code: ReasonCode | None = None) -> None:
        """Keep the one sentence for the user, and the machine-readable code when there is one."""
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code


class SeriesRefusal(Refusal):
    """One series cannot be read, or cannot answer a question."""

    def __init__(self, sentence: str, *, code: ReasonCode, series_instance_uid: str | None = None) -> None:
        """Require the code: a refused series always says why in a form that programs read.

        The series is named only where it is not the one that was to be read, but one that goes with it.
        """
        super().__init__(sentence, code=code)
        self.code: ReasonCode = code
        self.series_instance_uid = series_instance_uid


class InstanceRefusal(Refusal):
    """One instance cannot be accepted."""


class BundleRefusal(Refusal):
    """A model bundle cannot be loaded."""


class SettingRefusal(Refusal):
    """A setting is unknown or out of range."""


class UsageRefusal(Refusal):
    """A command was called with something that it cannot use."""


class Failure(SpineError):  # noqa: N818 - a failure is this field's word for it (style.md section 4)
    """Ours or a peer's, and possibly passing; may be retried."""


class StorageFailure(Failure):
    """Bytes or rows could not be made durable."""


class PeerFailure(Failure):
    """A peer did not answer, or did not accept."""
