"""A document as Encapsulated PDF (PS3.3 A.45.1), so that an archive keeps it with the study that it is about."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from highdicom.base import SOPClass
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from dicom_node import code_table as table
from dicom_node.derived import ReportContext, finish, plain, stand_in
from dicom_node.equipment import contributing_equipment, fix_times, general_equipment
from dicom_node.uids import ObjectRole
from inference.provenance import RESEARCH_USE, ModelIdentity, deterministic_uid

DOCUMENT_SERIES_NUMBER = 9851
"""Of the document of the first packet of a study; later ones follow."""
WORKSTATION = "WSD"
"""Conversion Type (PS3.3 C.8.6.1): made on a workstation, not captured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PdfDocument:
    """A document and what it says about itself."""

    content: bytes
    title: str
    models: tuple[ModelIdentity, ...] = ()
    """That had a part in it."""
    notice: str = RESEARCH_USE
    number: int = 1
    """Among those of this study, from 1."""


def encode_pdf(
    document: PdfDocument, *, drawn_from: Sequence[Dataset], source: Dataset, context: ReportContext
) -> Dataset:
    """A PDF as a DICOM object of the study of a source instance; equal arguments give equal bytes.

    Args:
        document: The PDF.
        drawn_from: Headers of the instances that it was made from.
        source: A source instance, whose patient and study are copied.
        context: Who, and when.
    """
    key = (context.study_instance_uid, str(document.number), hashlib.sha256(document.content).hexdigest())
    header = stand_in(source)
    made = SOPClass(
        study_instance_uid=header.StudyInstanceUID,
        series_instance_uid=deterministic_uid(ObjectRole.DOCUMENT, "series", *key),
        series_number=DOCUMENT_SERIES_NUMBER + document.number - 1,
        sop_instance_uid=deterministic_uid(ObjectRole.DOCUMENT, *key),
        sop_class_uid=EncapsulatedPDFStorage,
        instance_number=1,
        modality="DOC",
        **general_equipment(context),
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    made.ContributingEquipmentSequence = contributing_equipment(document.models, context, document.notice)
    made.ConversionType = WORKSTATION
    made.AcquisitionDateTime = ""
    made.BurnedInAnnotation = "YES"  # the document names its patient
    made.DocumentTitle = plain(document.title)
    made.ConceptNameCodeSequence = [CodedConcept.from_code(table.LN_STANDARD["18748-4"].code)]
    made.SourceInstanceSequence = [_reference(instance) for instance in drawn_from]
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made.EncapsulatedDocumentLength = len(document.content)
    made.EncapsulatedDocument = document.content + b"\0" * (len(document.content) % 2)
    finish(made, source, replace(context, description="Claim evidence summary: research use only"))
    fix_times(made)
    return made


def _reference(instance: Dataset) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = instance.SOPClassUID
    reference.ReferencedSOPInstanceUID = instance.SOPInstanceUID
    return reference
