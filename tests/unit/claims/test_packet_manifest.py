"""The manifest of a packet: canonical, valid against its schema, and a chain that shows every change."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime

import pytest
from jsonschema import Draft202012Validator

from builders.packets import CREATED
from claims.packet import Manifest, PacketFile, chain_breaks, changed_files, encode_manifest
from claims.packet.manifest import schema

CONTENT = b"%PDF-1.4 ..."
FILE = PacketFile(
    name="summary.pdf",
    role="summary_pdf",
    media_type="application/pdf",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size_bytes=len(CONTENT),
)


def manifest(number: int = 1, previous: bytes | None = None, **changes: object) -> bytes:
    values: dict[str, object] = {
        "claim_id": "CLM-1",
        "number": number,
        "previous_sha256": None if previous is None else hashlib.sha256(previous).hexdigest(),
        "created": CREATED,
        "software": "spine-node 0.1.0",
        "studies": ("2.25.1",),
        "bodies": ("L1",),
        "findings_sha256": ("ab" * 32,),
        "reports_sha256": ("cd" * 32,),
        "files": (FILE,),
    }
    return encode_manifest(Manifest(**(values | changes)))  # type: ignore[arg-type]


def test_a_manifest_is_canonical_and_valid():
    data = manifest()
    assert manifest() == data
    Draft202012Validator(schema()).validate(json.loads(data))
    assert data == (json.dumps(json.loads(data), indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
    assert json.loads(data)["created"] == "2026-04-02T15:30:00+00:00"


def test_a_chain_of_three_is_whole():
    first = manifest()
    second = manifest(2, first)
    third = manifest(3, second)
    assert chain_breaks([first, second, third]) == ()


def test_a_chain_shows_what_was_changed_left_out_or_put_in():
    first = manifest()
    second = manifest(2, first)
    third = manifest(3, second)
    assert chain_breaks([first.replace(b"CLM-1", b"CLM-2"), second, third]) == (
        "Manifest 2 does not name the digest of the manifest before it.",
    )
    assert len(chain_breaks([first, third])) == 2
    assert chain_breaks([second]) == (
        "Manifest 1 of the chain calls itself number 2.",
        "Manifest 1 does not name the digest of the manifest before it.",
    )


def test_changed_missing_and_extra_files_are_named():
    data = manifest()
    assert changed_files(data, {"summary.pdf": CONTENT}) == ()
    assert changed_files(data, {"summary.pdf": CONTENT + b" "}) == ("File summary.pdf was changed.",)
    assert changed_files(data, {"x.png": b""}) == ("File summary.pdf is missing.", "File x.png is not in the manifest.")


@pytest.mark.parametrize(("number", "previous"), [(1, "ab" * 32), (2, None)])
def test_a_place_in_the_chain_that_cannot_be_is_refused(number, previous):
    with pytest.raises(ValueError, match="the first manifest alone has none before it"):
        manifest(number, previous_sha256=previous)


def test_a_time_without_zone_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        manifest(created=datetime(2026, 4, 2))  # noqa: DTZ001 - the fault
