from __future__ import annotations

import pytest
from pydicom.uid import UID
from pynetdicom.sop_class import _STORAGE_CLASSES

from dicom_node.negotiation import supported_contexts
from dicom_node.storage_classes import (
    ACCEPTED_TRANSFER_SYNTAXES,
    LOSSLESS,
    LOSSY,
    STORAGE_CLASSES,
    UNCOMPRESSED,
    StorageKind,
    kind_of,
)

ASKED_FOR = [
    "MRImageStorage",
    "EnhancedMRImageStorage",
    "CTImageStorage",
    "EnhancedCTImageStorage",
    "XRayAngiographicImageStorage",
    "EnhancedXAImageStorage",
    "XRayRadiofluoroscopicImageStorage",
    "ComputedRadiographyImageStorage",
    "SecondaryCaptureImageStorage",
    "DigitalXRayImageStorageForPresentation",
    "DigitalXRayImageStorageForProcessing",
    "BasicTextSRStorage",
    "EnhancedSRStorage",
    "ComprehensiveSRStorage",
    "Comprehensive3DSRStorage",
    "SegmentationStorage",
    "EncapsulatedPDFStorage",
    "KeyObjectSelectionDocumentStorage",
]


@pytest.mark.parametrize("keyword", ASKED_FOR)
def test_every_class_that_the_node_must_take_is_in_the_table(keyword: str) -> None:
    assert keyword in {entry.keyword for entry in STORAGE_CLASSES.values()}


@pytest.mark.parametrize("entry", STORAGE_CLASSES.values(), ids=lambda entry: entry.keyword)
def test_entry_agrees_with_the_dictionaries_of_pydicom_and_pynetdicom(entry: object) -> None:
    uid = UID(entry.uid)  # type: ignore[attr-defined]
    assert uid.keyword == entry.keyword  # type: ignore[attr-defined]
    assert uid.type == "SOP Class"
    assert uid in _STORAGE_CLASSES.values()


@pytest.mark.parametrize("uid", sorted(ACCEPTED_TRANSFER_SYNTAXES))
def test_transfer_syntax_exists_and_is_in_the_right_group(uid: str) -> None:
    syntax = UID(uid)
    assert syntax.is_transfer_syntax
    assert syntax.is_compressed == (uid not in UNCOMPRESSED)


def test_the_sixteen_usual_transfer_syntaxes_are_accepted_for_images_and_no_lossy_one_for_segmentations() -> None:
    by_keyword = {entry.keyword: entry for entry in STORAGE_CLASSES.values()}
    assert len(by_keyword["MRImageStorage"].transfer_syntaxes) == len(set(UNCOMPRESSED + LOSSLESS + LOSSY)) == 16
    assert not set(LOSSY) & set(by_keyword["SegmentationStorage"].transfer_syntaxes)


def test_kind_says_what_starts_a_run() -> None:
    by_keyword = {entry.keyword: entry.kind for entry in STORAGE_CLASSES.values()}
    assert by_keyword["MRImageStorage"] is StorageKind.IMAGE
    assert by_keyword["SegmentationStorage"] is StorageKind.RESULT
    assert by_keyword["Comprehensive3DSRStorage"] is StorageKind.RESULT
    assert by_keyword["EncapsulatedPDFStorage"] is StorageKind.DOCUMENT
    assert kind_of("1.2.840.10008.5.1.4.1.1.6.1") is None


def test_negotiation_offers_the_table_verification_commitment_and_nothing_else() -> None:
    offered = {str(context.abstract_syntax): tuple(context.transfer_syntax) for context in supported_contexts()}
    assert offered.pop("1.2.840.10008.1.1")
    assert offered.pop("1.2.840.10008.1.20.1")
    assert offered == {uid: entry.transfer_syntaxes for uid, entry in STORAGE_CLASSES.items()}
