"""Reports of the claims' patient as other systems send them: objects of the PACS, HL7 v2 messages; an MLLP sender."""

from __future__ import annotations

import io
import socket
import ssl
from pathlib import Path
from typing import Self

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import BasicTextSRStorage, EncapsulatedPDFStorage, ExplicitVRLittleEndian

from builders.claim_office import PLAN
from builders.dicom import derived_uid, slice_dataset
from builders.peers import LOOPBACK
from builders.posted_claims import SIGNED_TEXT, record_number
from builders.reports import pdf

SIGNED_LINES = tuple(SIGNED_TEXT.strip().splitlines())
UNSIGNED_LINES = SIGNED_LINES[:-1]
_COPIED = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID")
ACCESSION = str(slice_dataset(PLAN, 0).AccessionNumber)


def pdf_object(lines: tuple[str, ...] = SIGNED_LINES, *, flag: str | None = None, **changes: str) -> Dataset:
    """The report as an Encapsulated PDF in its study."""
    made = _object("pdf", EncapsulatedPDFStorage, **changes)
    document = pdf(lines)
    made.Modality, made.MIMETypeOfEncapsulatedDocument, made.BurnedInAnnotation = "DOC", "application/pdf", "YES"
    made.DocumentTitle, made.EncapsulatedDocumentLength = "Report", len(document)
    made.EncapsulatedDocument = document + b"\x00" * (len(document) % 2)
    if flag is not None:
        made.VerificationFlag = flag
    return made


def text_object(*, verified: bool = True, **changes: str) -> Dataset:
    """The report as a Basic Text SR in its study."""
    made = _object("sr", BasicTextSRStorage, **changes)
    made.Modality, made.VerificationFlag = "SR", "VERIFIED" if verified else "UNVERIFIED"
    made.ValueType, made.CompletionFlag, made.ContinuityOfContent = "CONTAINER", "COMPLETE", "SEPARATE"
    made.ConceptNameCodeSequence = [_code("18748-4", "LN", "Diagnostic imaging report")]
    if verified:
        observer = Dataset()
        observer.VerifyingObserverName, observer.VerificationDateTime = "Reader^Ann", "20260511101500"
        made.VerifyingObserverSequence = [observer]
    item = Dataset()
    item.RelationshipType, item.ValueType, item.TextValue = "CONTAINS", "TEXT", " ".join(UNSIGNED_LINES[1:])
    item.ConceptNameCodeSequence = [_code("121071", "DCM", "Finding")]
    made.ContentSequence = [item]
    return made


def written(folder: Path, dataset: Dataset) -> Path:
    """As a file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{dataset.SOPInstanceUID}.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


def _object(name: str, sop_class: str, **changes: str) -> Dataset:
    source, made = slice_dataset(PLAN, 0), Dataset()
    for keyword in (*_COPIED, "AccessionNumber", "StudyInstanceUID", "ReferringPhysicianName"):
        setattr(made, keyword, source.get(keyword))
    made.SOPClassUID, made.SeriesInstanceUID = sop_class, derived_uid("report series", name)
    made.SOPInstanceUID = derived_uid("report", name, *sorted(changes.items()))
    made.SeriesNumber, made.InstanceNumber, made.Manufacturer = "900", "1", "Another maker"
    for keyword, value in changes.items():
        setattr(made, keyword, value)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    return made


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def oru(control_id: str, text: str = SIGNED_TEXT, *, result: str = "F", line: str = "F", **changes: str) -> bytes:
    """The report of the claims' patient as ORU^R01; ``changes`` name fields, as ``MSH_9`` or ``PID_3``."""
    numbered = [f"OBX|{n}|TX|RAD&GDT^Report|{n}|{words}||||||{line}" for n, words in enumerate(text.splitlines(), 1)]
    fields = {
        "MSH": {2: "^~\\&", 3: "RIS", 4: "HOSP", 7: "20260511101500", 9: "ORU^R01^ORU_R01", 10: control_id, 11: "P"}
        | {12: "2.5.1", 18: "UNICODE UTF-8"},
        "PID": {1: "1", 3: f"{record_number(PLAN.study)}^^^HOSP^MR", 5: "Invented^Patient", 7: "19600101"},
        "OBR": {1: "1", 3: ACCESSION, 4: "72148^MRI LUMBAR SPINE", 7: "20260510", 22: "20260511", 24: "MR", 25: result}
        | {32: "7&Reader&Ann"},
    }
    for name, value in changes.items():
        segment, _, number = name.partition("_")
        fields[segment][int(number)] = value
    heads = [_segment(name, values) for name, values in fields.items()]
    return ("\r".join([*heads, *numbered]) + "\r").encode()


def _segment(name: str, values: dict[int, str]) -> str:
    first = 2 if name == "MSH" else 1
    return "|".join((name, *(values.get(number, "") for number in range(first, max(values) + 1))))


class Sender:
    """A sender of the feed, written on sockets alone."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Connect."""
        plain = socket.create_connection((LOOPBACK, port), timeout=30)
        self.socket = plain if tls is None else tls.wrap_socket(plain, server_hostname="localhost")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, message: bytes) -> list[list[str]]:
        """One message in a block; the acknowledgement's segments as fields."""
        return self.exchange(b"\x0b" + message + b"\x1c\r")

    def exchange(self, data: bytes) -> list[list[str]]:
        """Bytes as they are; nothing where the connection ends."""
        buffer = io.BytesIO()
        try:
            self.socket.sendall(data)
            while not buffer.getvalue().endswith(b"\x1c\r"):
                got = self.socket.recv(65_536)
                if not got:
                    return []
                buffer.write(got)
        except (ConnectionResetError, BrokenPipeError):
            return []
        text = buffer.getvalue()[1:-2].decode()
        return [line.split("|") for line in text.split("\r") if line]


def answer_of(acknowledgement: list[list[str]]) -> tuple[str, str, str]:
    """MSA-1, MSA-2, and the code of ERR-3."""
    msa = next(segment for segment in acknowledgement if segment[0] == "MSA")
    error = next((segment[3].split("^")[0] for segment in acknowledgement if segment[0] == "ERR"), "")
    return msa[1], msa[2], error
