"""Which header elements the reader looks at; everything else is skipped unread, however large."""

from __future__ import annotations

IDENTITY = (
    "SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID",
    "FrameOfReferenceUID", "Modality", "InstanceNumber", "AcquisitionNumber",
)  # fmt: skip
IMAGE = (
    "ImageType", "FrameType", "ComplexImageComponent", "NumberOfFrames",
    "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "RescaleSlope", "RescaleIntercept",
    "BurnedInAnnotation", "ConversionType", "ViewPosition", "TemporalPositionIdentifier", "TemporalPositionIndex",
)  # fmt: skip
GEOMETRY = (
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "ImagerPixelSpacing", "GantryDetectorTilt",
)  # fmt: skip
MR = (
    "RepetitionTime", "EchoTime", "EffectiveEchoTime", "InversionTime", "InversionTimes", "InversionRecovery",
    "FlipAngle", "ScanningSequence", "SequenceVariant", "ScanOptions", "SequenceName", "PulseSequenceName",
    "EchoPulseSequence", "MRAcquisitionType", "EchoTrainLength", "DiffusionBValue", "SpectrallySelectedSuppression",
    "MagneticFieldStrength",
)  # fmt: skip
PATIENT = (
    "PatientAge", "PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate", "SeriesDescription",
    "SeriesTime", "AcquisitionTime", "AcquisitionDateTime", "SeriesNumber",
    "BodyPartExamined",
    "ContrastBolusAgent", "ContrastBolusAgentSequence",
)  # fmt: skip
FUNCTIONAL_GROUPS = (
    "FrameContentSequence", "PixelMeasuresSequence", "PlanePositionSequence", "PlaneOrientationSequence",
    "PixelValueTransformationSequence", "MRImageFrameTypeSequence", "CTImageFrameTypeSequence",
    "MRTimingAndRelatedParametersSequence", "MREchoSequence", "MRModifierSequence", "MRDiffusionSequence",
    "UnassignedPerFrameConvertedAttributesSequence", "UnassignedSharedConvertedAttributesSequence",
)  # fmt: skip
"""Functional group macros (PS3.3 C.7.6.16.2, C.8.13.5) that hold elements above; the Unassigned ones are those of
legacy converted enhanced images (PS3.3 C.7.6.16.2.26)."""
PER_FRAME = "PerFrameFunctionalGroupsSequence"
SHARED = "SharedFunctionalGroupsSequence"

HEADER_KEYWORDS: tuple[str, ...] = (*IDENTITY, *IMAGE, *GEOMETRY, *MR, *PATIENT, PER_FRAME, SHARED)
"""Read from the top level of every instance."""
