"""Who computed what, and the identifiers that follow from it.

A UID is derived, never drawn: the same input, software and model give the same UID, so a retry or a re-send
repeats itself instead of making a second object (PS3.5 B.2: ``2.25.`` + a UUID as a decimal integer).
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass

SOFTWARE_NAME = "Spine Imaging AI Inference Server"
MANUFACTURER = "Spine Imaging AI Inference Server project"
RESEARCH_USE = "AI-generated. Not reviewed by a physician. For research use only; not for use in diagnostic procedures."
REVIEWED_RESEARCH_USE = (
    "AI-generated, reviewed by the person named here. For research use only; not for use in diagnostic procedures."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIdentity:
    """The detector that produced an answer, exactly enough to find it again."""

    name: str
    version: str
    sha256: str
    """Digest of the weights file, lower-case hexadecimal."""
    training_data: str
    engine: str | None = None
    """What ran the weights, like ``onnxruntime 1.32.0 cpu``: two engines round differently. None: not recorded."""


def deterministic_uid(*parts: str) -> str:
    """A ``2.25.`` UID from stable parts (no clock, no host name); at most 44 characters."""
    digest = bytearray(hashlib.sha256("|".join(parts).encode()).digest()[:16])
    digest[6] = (digest[6] & 0x0F) | 0x80  # RFC 9562 version 8: a custom, digest-made UUID
    digest[8] = (digest[8] & 0x3F) | 0x80
    return f"2.25.{uuid.UUID(bytes=bytes(digest)).int}"


def tracking_uid(study_instance_uid: str, question: str, *site: str) -> str:
    """The lesion's own UID: study, question and site, *without* the model, so that two versions describe one lesion."""
    return deterministic_uid("tracking", study_instance_uid, question, *site)
