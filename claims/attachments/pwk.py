"""The PWK segment that goes on the 837, so that the payer waits for the attachment and matches it.

PWK01 and PWK02 are codes of X12 data elements 755 and 756; PWK06 equals TRN02 of an unsolicited 275.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from claims.attachment import Attachment
from claims.attachments.x12_writer import segment


class Transmission(StrEnum):
    """PWK02: how the attachment reaches the payer."""

    ELECTRONIC = "EL"
    FAX = "FX"
    MAIL = "BM"
    ON_REQUEST = "AA"
    """It is kept, and sent when asked for."""


REPORT_TYPES: Mapping[str, str] = {
    "18748-4": "RR",
    "11504-8": "OB",
    "28570-0": "OB",
}
"""PWK01 by the LOINC code of the main document: radiology report, operative note; any other is support data (OZ)."""


def pwk_segment(attachment: Attachment, transmission: Transmission = Transmission.ELECTRONIC) -> str:
    """``PWK*RR*EL***AC*<control number>~``.

    Raises:
        AttachmentRefusal: the control number does not fit.
    """
    kind = REPORT_TYPES.get(attachment.documents[0].loinc, "OZ")
    words = (kind, transmission.value, "", "", "AC", attachment.control_number)
    return segment("PWK", *words).decode("ascii")
