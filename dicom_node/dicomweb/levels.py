"""Which attributes belong to a study, a series and an instance: what is indexed, searched by, and returned.

From the tables of QIDO-RS (PS3.18 10.6.1.2 and 10.6.3.3) and the modules of the IODs (PS3.3), a little wider than
required, because viewers ask for more.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from pydicom.datadict import dictionary_VR, tag_for_keyword


class Level(StrEnum):
    """What a search returns one entry for each of; the value is the word in the URL."""

    STUDY = "studies"
    SERIES = "series"
    INSTANCE = "instances"


SPECIFIC_CHARACTER_SET = "00080005"
MODALITY, MODALITIES_IN_STUDY = "00080060", "00080061"
STUDY_UID, SERIES_UID, SOP_UID = "0020000D", "0020000E", "00080018"
SERIES_NUMBER, INSTANCE_NUMBER = "00200011", "00200013"
RETRIEVE_URL, AVAILABILITY, TRANSFER_SYNTAXES = "00081190", "00080056", "00083002"
STUDY_SERIES, STUDY_INSTANCES, SERIES_INSTANCES = "00201206", "00201208", "00201209"

_KEYWORDS: Mapping[Level, tuple[str, ...]] = {
    Level.STUDY: (
        "SpecificCharacterSet",
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "ReferringPhysicianName",
        "TimezoneOffsetFromUTC",
        "StudyDescription",
        "NameOfPhysiciansReadingStudy",
        "PatientName",
        "PatientID",
        "IssuerOfPatientID",
        "PatientBirthDate",
        "PatientSex",
        "PatientAge",
        "PatientSize",
        "PatientWeight",
        "StudyInstanceUID",
        "StudyID",
    ),
    Level.SERIES: (
        "Modality",
        "Manufacturer",
        "InstitutionName",
        "StationName",
        "SeriesDate",
        "SeriesTime",
        "SeriesDescription",
        "ManufacturerModelName",
        "BodyPartExamined",
        "ProtocolName",
        "PatientPosition",
        "SeriesInstanceUID",
        "SeriesNumber",
        "FrameOfReferenceUID",
        "Laterality",
        "PerformedProcedureStepStartDate",
        "PerformedProcedureStepStartTime",
        "PerformedProcedureStepDescription",
        "RequestAttributesSequence",
    ),
    Level.INSTANCE: (
        "ImageType",
        "SOPClassUID",
        "SOPInstanceUID",
        "AcquisitionDate",
        "AcquisitionTime",
        "ContentDate",
        "ContentTime",
        "AcquisitionNumber",
        "InstanceNumber",
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "SliceLocation",
        "NumberOfFrames",
        "Rows",
        "Columns",
        "BitsAllocated",
        "ContentLabel",
        "ContentDescription",
        "CompletionFlag",
        "VerificationFlag",
        "ConceptNameCodeSequence",
    ),
}


def tag_of(keyword: str) -> str:
    """A keyword's tag, eight hexadecimal digits; KeyError for a word that PS3.6 does not know."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return f"{tag:08X}"


INDEXED: Mapping[Level, tuple[str, ...]] = {
    level: tuple(sorted(tag_of(keyword) for keyword in keywords)) for level, keywords in _KEYWORDS.items()
}
"""Tags that the index holds, by level."""

ABOVE: Mapping[Level, tuple[Level, ...]] = {
    Level.STUDY: (Level.STUDY,),
    Level.SERIES: (Level.STUDY, Level.SERIES),
    Level.INSTANCE: (Level.STUDY, Level.SERIES, Level.INSTANCE),
}
"""The levels whose attributes an entry has."""

BY_DEFAULT: Mapping[Level, tuple[str, ...]] = {
    Level.STUDY: tuple(
        tag_of(keyword)
        for keyword in (
            "SpecificCharacterSet", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName",
            "TimezoneOffsetFromUTC", "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID",
            "StudyID",
        )
    ),
    Level.SERIES: tuple(
        tag_of(keyword)
        for keyword in (
            "Modality", "SeriesDescription", "SeriesInstanceUID", "SeriesNumber", "PerformedProcedureStepStartDate",
            "PerformedProcedureStepStartTime", "RequestAttributesSequence",
        )
    ),
    Level.INSTANCE: tuple(
        tag_of(keyword)
        for keyword in (
            "SOPClassUID", "SOPInstanceUID", "InstanceNumber", "Rows", "Columns", "BitsAllocated", "NumberOfFrames",
        )
    ),
}  # fmt: skip
"""What is returned unasked: PS3.18 Tables 10.6.3-3, 10.6.3-4 and 10.6.3-5."""

SEARCHABLE: Mapping[Level, frozenset[str]] = {
    level: frozenset(
        tag
        for above in ABOVE[level]
        for tag in INDEXED[above]
        if dictionary_VR(int(tag, 16)) != "SQ" and tag != SPECIFIC_CHARACTER_SET
    )
    | {MODALITIES_IN_STUDY}
    for level in Level
}
"""Tags that a search may match."""
