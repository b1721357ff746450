"""The one table of what this node accepts by C-STORE: SOP classes, their kind, their transfer syntaxes.

Used by the listener (negotiation), the reader and the conformance statement. Everything is stored as received: a
transfer syntax in this table is one that is accepted, not one that is necessarily decoded. UIDs and names are those of
PS3.6 Annex A, taken from pydicom's dictionary; which classes belong to the Storage Service is PS3.4 B.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from pydicom import uid as uids

VERIFICATION_SOP_CLASS_UID = "1.2.840.10008.1.1"
"""C-ECHO (PS3.4 Annex A)."""
COMMITMENT_SOP_CLASS_UID = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model (PS3.4 J.3)."""
COMMITMENT_SOP_INSTANCE_UID = "1.2.840.10008.1.20.1.1"
"""The well-known instance that every request and report of it is about (PS3.4 J.3.5)."""


class StorageKind(StrEnum):
    """What an instance is to this node."""

    IMAGE = "image"
    """Pixels of the patient: a study with at least one of these is read."""
    RESULT = "result"
    """Structured report or segmentation, of other systems or our own come back: kept, never starts a run."""
    DOCUMENT = "document"
    """PDF, key object selection, presentation state: kept, never starts a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageClass:
    """One SOP class that is accepted.

    Attributes:
        uid: SOP Class UID.
        keyword: PS3.6 keyword.
        kind: what its instances are to this node.
        transfer_syntaxes: Transfer Syntax UIDs, in the order in which the listener prefers them when a peer offers
            several in one presentation context.
    """

    uid: str
    keyword: str
    kind: StorageKind
    transfer_syntaxes: tuple[str, ...]


UNCOMPRESSED: tuple[str, ...] = (
    uids.ExplicitVRLittleEndian,
    uids.ImplicitVRLittleEndian,
    uids.DeflatedExplicitVRLittleEndian,
    uids.ExplicitVRBigEndian,
)
"""PS3.5 A.1, A.2, A.3, A.5. Explicit VR first: only it keeps the value representation of private elements."""

LOSSLESS: tuple[str, ...] = (
    uids.RLELossless,
    uids.JPEGLosslessSV1,
    uids.JPEGLossless,
    uids.JPEGLSLossless,
    uids.JPEG2000Lossless,
    uids.HTJ2KLossless,
    uids.HTJ2KLosslessRPCL,
)
"""PS3.5 A.4, reversible."""

LOSSY: tuple[str, ...] = (
    uids.JPEGLSNearLossless,
    uids.JPEG2000,
    uids.HTJ2K,
    uids.JPEGExtended12Bit,
    uids.JPEGBaseline8Bit,
)
"""PS3.5 A.4, irreversible or possibly so; last, so that no sender is asked to lose what it could have sent whole."""

IMAGE_SYNTAXES = UNCOMPRESSED + LOSSLESS + LOSSY
SEGMENTATION_SYNTAXES = UNCOMPRESSED + LOSSLESS
"""A segmentation is never compressed lossily (PS3.3 A.51)."""

_CLASSES_BY_KIND: Mapping[StorageKind, Mapping[tuple[str, ...], tuple[str, ...]]] = {
    StorageKind.IMAGE: {
        IMAGE_SYNTAXES: (
            "MRImageStorage",
            "EnhancedMRImageStorage",
            "LegacyConvertedEnhancedMRImageStorage",
            "CTImageStorage",
            "EnhancedCTImageStorage",
            "LegacyConvertedEnhancedCTImageStorage",
            "XRayAngiographicImageStorage",
            "EnhancedXAImageStorage",
            "XRayRadiofluoroscopicImageStorage",
            "EnhancedXRFImageStorage",
            "ComputedRadiographyImageStorage",
            "DigitalXRayImageStorageForPresentation",
            "DigitalXRayImageStorageForProcessing",
            "SecondaryCaptureImageStorage",
            "MultiFrameSingleBitSecondaryCaptureImageStorage",
            "MultiFrameGrayscaleByteSecondaryCaptureImageStorage",
            "MultiFrameGrayscaleWordSecondaryCaptureImageStorage",
            "MultiFrameTrueColorSecondaryCaptureImageStorage",
        )
    },
    StorageKind.RESULT: {
        UNCOMPRESSED: (
            "BasicTextSRStorage",
            "EnhancedSRStorage",
            "ComprehensiveSRStorage",
            "Comprehensive3DSRStorage",
            "XRayRadiationDoseSRStorage",
        ),
        SEGMENTATION_SYNTAXES: ("SegmentationStorage",),
    },
    StorageKind.DOCUMENT: {
        UNCOMPRESSED: (
            "EncapsulatedPDFStorage",
            "KeyObjectSelectionDocumentStorage",
            "GrayscaleSoftcopyPresentationStateStorage",
        )
    },
}

STORAGE_CLASSES: Mapping[str, StorageClass] = MappingProxyType(
    {
        str(getattr(uids, keyword)): StorageClass(
            uid=str(getattr(uids, keyword)), keyword=keyword, kind=kind, transfer_syntaxes=tuple(map(str, syntaxes))
        )
        for kind, groups in _CLASSES_BY_KIND.items()
        for syntaxes, keywords in groups.items()
        for keyword in keywords
    }
)
"""Every accepted storage SOP class, by SOP Class UID."""

ACCEPTED_TRANSFER_SYNTAXES: frozenset[str] = frozenset(
    uid for storage_class in STORAGE_CLASSES.values() for uid in storage_class.transfer_syntaxes
)
"""Every transfer syntax that is accepted for at least one SOP class."""


def kind_of(sop_class_uid: str) -> StorageKind | None:
    """What an instance of this SOP class is to this node; None: the class is not accepted."""
    storage_class = STORAGE_CLASSES.get(sop_class_uid)
    return storage_class.kind if storage_class else None
