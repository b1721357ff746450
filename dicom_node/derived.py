"""What every object that this node makes has in common: who made it, when, for whom, and that it is research only.

Patient, study and accession are copied from a source instance as *bytes*, never decoded and encoded again: a name with
ideographic components, or text in a character set that a receiver writes differently, stays what it was. The price
is that the object keeps the source's Specific Character Set; everything that we write ourselves is ASCII, which is
part of all of them. Where the copied bytes are plain ASCII the object declares ISO_IR 192 (UTF-8).
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from io import BytesIO
from typing import cast

from pydicom import dcmread, dcmwrite
from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicom_node.file_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_node.uids import Origin
from inference.provenance import ModelIdentity

SERIES_TEXT = "AI findings: unverified, research use only"
COPIED_KEYWORDS: tuple[str, ...] = (
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyDescription",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "OtherPatientIDs",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "StudyInstanceUID",
    "StudyID",
)
"""Patient, General Study and Patient Study modules (PS3.3 C.7.1.1, C.7.2.1, C.7.2.2): the attributes of one value."""
TYPE_2_KEYWORDS: tuple[str, ...] = (
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
)
"""Of these, the ones that must be there, empty if need be."""
COPIED_SEQUENCES: tuple[str, ...] = ("IssuerOfAccessionNumberSequence", "ProcedureCodeSequence")
"""Copied as values: the text stays the same, its bytes may be written anew."""
LONG_TEXT = 64
"""VR LO."""
_ESCAPE = 0x1B
_LAST_ASCII = 0x7E


REVISION_STEP = 10
"""Between the series numbers of one kind of object in two revisions, so that no two objects share a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContext:
    """Everything about one set of results that is not a finding.

    ``created`` is written into the objects, whose UIDs do not depend on it: pass the *same* time on a retry (the time
    of the study's revision), or one UID names two different objects.
    """

    study_instance_uid: str
    revision: int
    """From 1."""
    software_version: str
    created: datetime
    """With its time zone; written in the source's own zone where the source tells it (0008,0201), else in this one."""
    server_uid: str
    """Device Observer UID of this installation (uids.server_device_uid)."""
    device_name: str = "SPINEAI"
    """Name of this installation, usually its AE title."""
    predecessor: Dataset | None = None
    """The SR of the revision before this one: its SOP class and the three instance UIDs are read."""
    config_digest: str = ""
    """Digest of the settings that change an answer; empty for the defaults."""
    earlier_verified: Dataset | None = None
    """The verified SR of the study before this one, where this one is verified and there is one."""
    earlier_review: str | None = None
    """A sentence about the review of an earlier revision, which does not hold for this one."""
    excerpt: str | None = None
    """Of a report with a part of the findings: which part, in one sentence. Not every question has an answer then, and
    ``predecessor`` is the whole report."""
    description: str | None = None
    """Of the series, where it is not that of an unverified result; at most 64 characters are kept."""

    def __post_init__(self) -> None:
        """Refuse a time without zone and a revision that cannot be."""
        if self.created.tzinfo is None:
            raise ValueError("created must have a time zone, got a naive time")
        if self.revision < 1:
            raise ValueError(f"revision must be 1 or more, got {self.revision}")

    @property
    def series_description(self) -> str:
        """What a PACS shows for the series (at most 64 characters); later revisions say which they are."""
        if self.description is not None:
            return plain(self.description)[:LONG_TEXT].rstrip()
        if self.revision == 1:
            return SERIES_TEXT
        return f"AI findings, revision {self.revision}: unverified, research use only"

    def series_number(self, first: int) -> int:
        """Of this revision's series of a kind of object whose first revision has the number `first`."""
        return first + REVISION_STEP * (self.revision - 1)

    def origin(self, inputs: Iterable[str], models: Iterable[ModelIdentity]) -> Origin:
        """What objects of this context are made from: SOP Instance UIDs that were read, and models."""
        return Origin(
            study_instance_uid=self.study_instance_uid,
            revision=self.revision,
            inputs=tuple(inputs),
            software_version=self.software_version,
            models=tuple(models),
            config_digest=self.config_digest,
        )


def stand_in(source: Dataset, keywords: Iterable[str] = ()) -> Dataset:
    """A copy of a source header that holds its UIDs and the given attributes, and no identity.

    highdicom copies patient and study from its sources value by value; it gets this instead, and ``finish`` copies
    the bytes.
    """
    copy = Dataset()
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", *keywords):
        if keyword in source:
            copy[keyword] = source[keyword]
    for keyword in TYPE_2_KEYWORDS:
        setattr(copy, keyword, "")
    for keyword in ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber"):
        value = source.get(keyword)
        if value and str(value).isascii():
            setattr(copy, keyword, value)
    return copy


def finish(dataset: Dataset, source: Dataset, context: ReportContext) -> None:
    """Write identity, times, research flags and file meta information into a derived object."""
    copy_identity(dataset, source)
    _write_times(dataset, source, context)
    dataset.ContentQualification = "RESEARCH"
    dataset.SeriesDescription = context.series_description
    dataset.InstanceCreatorUID = context.server_uid
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(dataset.SOPClassUID)
    meta.MediaStorageSOPInstanceUID = UID(dataset.SOPInstanceUID)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    dataset.file_meta = meta


def copy_identity(dataset: Dataset, source: Dataset) -> None:
    """Copy patient, study and accession byte for byte, and declare the character set that they are written in."""
    elements = [raw for keyword in COPIED_KEYWORDS if (raw := raw_element(source, keyword)) is not None]
    dataset.pop("SpecificCharacterSet", None)
    if all(_is_plain_ascii(bytes(e.value or b"")) for e in elements):
        dataset.SpecificCharacterSet = "ISO_IR 192"
    elif (declared := raw_element(source, "SpecificCharacterSet")) is not None:
        dataset[declared.tag] = declared
    for keyword in TYPE_2_KEYWORDS:
        setattr(dataset, keyword, "")
    for element in elements:
        dataset[element.tag] = element
    for keyword in COPIED_SEQUENCES:
        if keyword in source:
            sequence = deepcopy(source[keyword])
            for item in sequence.value:
                item.decode()
            dataset[keyword] = sequence


def raw_element(source: Dataset, keyword: str) -> RawDataElement | None:
    """A text element as its bytes, of even length; None where the source does not have it."""
    number = tag_for_keyword(keyword)
    if number is None:
        raise ValueError(f"{keyword} is not a DICOM keyword")
    tag = Tag(number)
    if tag not in source:
        return None
    element = cast("DataElement | RawDataElement", source.get_item(tag))
    value = element.value or b"" if isinstance(element, RawDataElement) else _encoded(element, source)
    value += b" " * (len(value) % 2)
    vr = dictionary_VR(tag)
    return RawDataElement(BaseTag(tag), vr, len(value), value, 0, is_implicit_VR=False, is_little_endian=True)


def _encoded(element: DataElement, source: Dataset) -> bytes:
    """The bytes of an element that was decoded already; a person name keeps the ones that it was read from."""
    buffer = DicomBytesIO()
    buffer.is_little_endian = True
    buffer.is_implicit_VR = True
    write_data_element(buffer, element, convert_encodings(source.get("SpecificCharacterSet", "ISO_IR 6")))
    return buffer.getvalue()[8:]


def _is_plain_ascii(value: bytes) -> bool:
    return all(byte <= _LAST_ASCII and byte != _ESCAPE for byte in value)


def _write_times(dataset: Dataset, source: Dataset, context: ReportContext) -> None:
    """Instance, content and series times in the source's time zone, because one offset holds for the whole object."""
    offset = str(source.get("TimezoneOffsetFromUTC", "") or "").strip()
    zone = _zone(offset)
    moment = context.created if zone is None else context.created.astimezone(zone)
    date, time = moment.strftime("%Y%m%d"), moment.strftime("%H%M%S")
    for keyword in ("InstanceCreationDate", "ContentDate", "SeriesDate"):
        setattr(dataset, keyword, date)
    for keyword in ("InstanceCreationTime", "ContentTime", "SeriesTime"):
        setattr(dataset, keyword, time)
    dataset.TimezoneOffsetFromUTC = moment.strftime("%z")[:5]


def _zone(offset: str) -> timezone | None:
    """The zone of ``+0100`` (PS3.3 C.12.1.1.8); None for anything else."""
    if len(offset) != len("+0100") or offset[0] not in "+-" or not offset[1:].isdigit():
        return None
    minutes = int(offset[1:3]) * 60 + int(offset[3:])
    return timezone(timedelta(minutes=minutes if offset[0] == "+" else -minutes))


def to_bytes(dataset: Dataset) -> bytes:
    """The object as a PS3.10 file."""
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def from_bytes(data: bytes) -> Dataset:
    """The object of a PS3.10 file."""
    return dcmread(BytesIO(data))


_PLAIN = str.maketrans(
    {
        "°": " deg",
        "±": "+/-",
        "≥": ">=",
        "≤": "<=",
        "–": "-",
        "—": "-",
        "’": "'",
        "“": '"',
        "”": '"',
        "²": "2",
        "µ": "u",
    }
)


def plain(text: str) -> str:
    """The text in ASCII, as everything that we write ourselves; unknown characters become question marks."""
    return text.translate(_PLAIN).encode("ascii", "replace").decode("ascii")
