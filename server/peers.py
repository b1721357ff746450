"""Addresses of other DICOM nodes, as people write them: ``PACS=ORTHANC@10.0.0.5:4242``, ``ORTHANC@10.0.0.5:4242``.

An AE title has 1-16 characters, no backslash and no control characters (PS3.5 6.2, VR AE).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from inference.errors import SettingRefusal

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_PEER = re.compile(r"(?P<ae>[^@]+)@(?P<host>\[[0-9A-Fa-f:.]+\]|[^@:\[\]\s]+):(?P<port>[0-9]{1,5})")
_MAX_PORT = 65535
_AE_LENGTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomPeer:
    """A node that is reached by DIMSE."""

    name: str
    ae_title: str
    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StowPeer:
    """An archive that is reached by STOW-RS."""

    name: str
    url: str
    """Up to and including ``/studies``."""


DestinationPeer: TypeAlias = DicomPeer | StowPeer


def checked_ae_title(text: str) -> str:
    """The AE title without surrounding spaces.

    Raises:
        SettingRefusal: it is empty, longer than 16 characters, or has a backslash or a control character.
    """
    title = text.strip(" ")
    if not 1 <= len(title) <= _AE_LENGTH or "\\" in title or not title.isascii() or not title.isprintable():
        raise SettingRefusal(
            f"An AE title has 1 to 16 printable ASCII characters without a backslash, got {text!r} (PS3.5 6.2)."
        )
    return title


def parse_dicom_peer(text: str, *, name: str | None = None) -> DicomPeer:
    """Read ``AET@HOST:PORT``; the name is the AE title unless given.

    Raises:
        SettingRefusal: the text has another form.
    """
    match = _PEER.fullmatch(text.strip())
    if match is None:
        raise SettingRefusal(f"A DICOM peer is written AET@HOST:PORT, got {text!r}.")
    port = int(match["port"])
    if not 1 <= port <= _MAX_PORT:
        raise SettingRefusal(f"A port lies between 1 and 65535, got {port} in {text!r}.")
    ae_title = checked_ae_title(match["ae"])
    return DicomPeer(name=name or ae_title, ae_title=ae_title, host=match["host"].strip("[]"), port=port)


def parse_destination(text: str) -> DestinationPeer:
    """Read ``NAME=AET@HOST:PORT`` or ``NAME=https://HOST/PATH/studies``.

    Raises:
        SettingRefusal: the text has neither form.
    """
    name, separator, address = text.strip().partition("=")
    if not separator or not _NAME.fullmatch(name):
        raise SettingRefusal(
            f"A destination is written NAME=AET@HOST:PORT or NAME=https://HOST/dicom-web/studies, got {text!r}."
        )
    if address.startswith(("http://", "https://")):
        return StowPeer(name=name, url=address.rstrip("/"))
    return parse_dicom_peer(address, name=name)
