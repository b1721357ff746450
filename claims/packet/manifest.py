"""The manifest: every file of a packet with its SHA-256, and the manifest before it, so that a chain shows any change.

Each packet of a claim names the digest of the packet before it; who keeps the last digest can prove the whole chain.
The schema beside this file says what other programs may rely on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any

SCHEMA = "spine-claim-packet/1"
MANIFEST_NAME, SUMMARY_NAME = "manifest.json", "summary.pdf"
"""In the packet's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketFile:
    """One file of a packet."""

    name: str
    """Relative to the packet's folder, without folders of its own."""
    role: str
    """``summary_pdf``, ``key_image_plain``, ``key_image_overlay``, ``kos``, ``sr`` or ``encapsulated_pdf``."""
    media_type: str
    sha256: str
    size_bytes: int
    body: str | None = None
    """``L1`` of a key image."""
    sop_instance_uid: str | None = None
    """Of the object that the file is; of a picture, the image that it was drawn from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a packet is made of."""

    claim_id: str
    number: int
    """Counts the packets of a claim, from 1."""
    previous_sha256: str | None
    """Digest of the bytes of the manifest before; None for the first."""
    created: datetime
    software: str
    studies: tuple[str, ...]
    """Study Instance UIDs."""
    bodies: tuple[str, ...]
    findings_sha256: tuple[str, ...]
    """Digests of the findings that it was made of, in the order of the studies."""
    reports_sha256: tuple[str, ...]
    """Digests of the reports that are quoted, as they were received."""
    files: tuple[PacketFile, ...]
    withheld: tuple[str, ...] = ()
    """One sentence for each key image that was left out."""
    notice: str = ""

    def __post_init__(self) -> None:
        """Refuse a place in the chain that cannot be."""
        if (self.number == 1) is not (self.previous_sha256 is None):
            raise ValueError(f"the first manifest alone has none before it, got number {self.number}")
        if self.created.tzinfo is None:
            raise ValueError("created must have a time zone, got a naive time")


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest as canonical JSON: sorted keys, UTF-8, two-space indent, one newline at the end."""
    values: dict[str, Any] = {
        "schema": SCHEMA,
        "claim_id": manifest.claim_id,
        "number": manifest.number,
        "previous_manifest_sha256": manifest.previous_sha256,
        "created": manifest.created.astimezone(UTC).isoformat(timespec="seconds"),
        "software": manifest.software,
        "studies": list(manifest.studies),
        "bodies": list(manifest.bodies),
        "findings_sha256": list(manifest.findings_sha256),
        "reports_sha256": list(manifest.reports_sha256),
        "files": [_file(file) for file in sorted(manifest.files, key=lambda file: file.name)],
        "withheld_images": list(manifest.withheld),
        "notice": manifest.notice,
    }
    return f"{json.dumps(values, ensure_ascii=False, indent=2, sort_keys=True)}\n".encode()


def _file(file: PacketFile) -> dict[str, Any]:
    return {
        "name": file.name,
        "role": file.role,
        "media_type": file.media_type,
        "sha256": file.sha256,
        "size_bytes": file.size_bytes,
        "body": file.body,
        "sop_instance_uid": file.sop_instance_uid,
    }


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the manifest."""
    loaded: dict[str, Any] = json.loads(
        resources.files(__package__).joinpath("manifest.schema.json").read_text("utf-8")
    )
    return loaded


def chain_breaks(manifests: Sequence[bytes]) -> tuple[str, ...]:
    """What is wrong with a chain of manifests, first to last, as sentences; empty when nothing is."""
    found: list[str] = []
    before: str | None = None
    for number, data in enumerate(manifests, start=1):
        values = json.loads(data)
        if values["number"] != number:
            found.append(f"Manifest {number} of the chain calls itself number {values['number']}.")
        if values["previous_manifest_sha256"] != before:
            found.append(f"Manifest {number} does not name the digest of the manifest before it.")
        before = hashlib.sha256(data).hexdigest()
    return tuple(found)


def changed_files(manifest: bytes, files: Mapping[str, bytes]) -> tuple[str, ...]:
    """What is wrong with the files of a packet, as sentences: missing, changed, or not in the manifest."""
    listed = {entry["name"]: entry["sha256"] for entry in json.loads(manifest)["files"]}
    found = [f"File {name} is missing." for name in sorted(listed.keys() - files.keys())]
    found += [f"File {name} is not in the manifest." for name in sorted(files.keys() - listed.keys())]
    for name in sorted(listed.keys() & files.keys()):
        if hashlib.sha256(files[name]).hexdigest() != listed[name]:
            found.append(f"File {name} was changed.")
    return tuple(found)
