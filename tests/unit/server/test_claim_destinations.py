"""Where attachments may go: a destination that may not be used is refused by name, at start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builders.payer import Payer, destinations_file, x12_table
from inference.errors import SettingRefusal
from server.claim_destinations import claim_destinations


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"url": "http://payer.example/edi"}, "address with 'http': PHI would be sent unprotected"),
        ({"url": "ftp://payer.example"}, "PHI would be sent unprotected"),
        ({"kind": "fax"}, "kind: Input should be '275', '275-core' or 'cdex'"),
        ({"guide": "004050"}, "guide is one of 006020X314, 005010X210, got '004050'"),
        ({"sender_id": ""}, "an X12 destination needs sender_id"),
        ({"certificate": "a.pem"}, "needs certificate and certificate_key"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
    ],
)
def test_a_destination_that_may_not_be_used_is_refused(
    tmp_path: Path, settings: Callable[..., Any], changes: dict[str, object], sentence: str
) -> None:
    file = destinations_file(tmp_path, acme=x12_table(Payer(url="https://payer.example"), **changes))

    with pytest.raises(SettingRefusal, match=sentence):
        claim_destinations(settings(claim_destinations_file=file))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, settings: Callable[..., Any]) -> None:
    with pytest.raises(SettingRefusal, match="cannot be read: No such file"):
        claim_destinations(settings(claim_destinations_file=tmp_path / "none.toml"))
    (tmp_path / "bad.toml").write_text("[acme\n")
    with pytest.raises(SettingRefusal, match="is not TOML"):
        claim_destinations(settings(claim_destinations_file=tmp_path / "bad.toml"))
    assert claim_destinations(settings()) == {}
