"""The packet of a claim: what is sent with it, or kept beside it, for a person at the payer to read.

Key images, a summary as PDF/A, and a manifest with the digest of every file; the DICOM objects come from elsewhere.
The summary (claims.packet.summary) is imported by itself, because it loads what writes PDF.
Minimum necessary (45 CFR 164.502(b)): only the bodies that the claim bills and the studies that show them.
"""

from claims.packet.contents import KeyImage, PacketContents, PacketRefusal, StudyPart, WithheldImage
from claims.packet.manifest import (
    MANIFEST_NAME,
    SUMMARY_NAME,
    Manifest,
    PacketFile,
    chain_breaks,
    changed_files,
    encode_manifest,
)
from claims.packet.necessary import necessary_findings

__all__ = [
    "MANIFEST_NAME",
    "SUMMARY_NAME",
    "KeyImage",
    "Manifest",
    "PacketContents",
    "PacketFile",
    "PacketRefusal",
    "StudyPart",
    "WithheldImage",
    "chain_breaks",
    "changed_files",
    "encode_manifest",
    "necessary_findings",
]
