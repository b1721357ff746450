"""How a 275 travels in an HTTP request: plain, or in the multipart envelope of CAQH CORE Connectivity.

Draft: the envelope's fields are those of the published rule (vC2.2.0, HTTP+MIME); no payer's end point was at hand.
"""

from __future__ import annotations

import email
import email.policy
import uuid
from datetime import datetime

from claims.attachments.partner import Partner
from claims.attachments.x12_elements import Guide

X12_MEDIA_TYPE = "application/EDI-X12"
"""RFC 1767."""
CORE_RULE_VERSION = "2.2.0"
_NAMESPACE = uuid.UUID("0b0a9d51-7f3e-5f86-8a55-6c8f7a1f5d27")  # of our payload ids
_CRLF = b"\r\n"


def core_envelope(
    payload: bytes, *, guide: Guide, partner: Partner, control_number: str, made_at: datetime
) -> tuple[str, bytes]:
    """Media type and body of a CORE request in real time; the same arguments give the same bytes."""
    payload_id = uuid.uuid5(_NAMESPACE, f"{control_number}/{made_at.isoformat()}")
    boundary = payload_id.hex.encode("ascii")
    fields = {
        "PayloadType": f"X12_275_Request_{guide.name}",
        "ProcessingMode": "RealTime",
        "PayloadID": str(payload_id),
        "TimeStamp": made_at.isoformat(timespec="seconds"),
        "SenderID": partner.sender_id,
        "ReceiverID": partner.receiver_id,
        "CORERuleVersion": CORE_RULE_VERSION,
    }
    parts = [_part(boundary, name, value.encode("utf-8")) for name, value in fields.items()]
    parts.append(_part(boundary, "Payload", payload, X12_MEDIA_TYPE))
    return f"multipart/form-data; boundary={boundary.decode()}", b"".join((*parts, b"--" + boundary + b"--" + _CRLF))


def payload_of(content_type: str, body: bytes) -> bytes:
    """What an answer carries: the payload of a multipart envelope, or the body itself."""
    if not content_type.lower().startswith("multipart/"):
        return body
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    for part in message.walk():
        name = part.get_param("name", header="content-disposition")
        if name == "Payload":
            found = part.get_payload(decode=True)
            return found if isinstance(found, bytes) else b""
    return b""


def _part(boundary: bytes, name: str, value: bytes, media_type: str = "") -> bytes:
    head = [b"--" + boundary, f'Content-Disposition: form-data; name="{name}"'.encode("ascii")]
    if media_type:
        head.append(f"Content-Type: {media_type}".encode("ascii"))
    return _CRLF.join((*head, b"", value, b""))
