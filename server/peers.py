"""Addresses of other DICOM nodes, as people write them: ``PACS=ORTHANC@10.0.0.5:4242``, ``ORTHANC@10.0.0.5:4242``.

``dicoms://ORTHANC@10.0.0.5:2762`` is reached by TLS, with a certificate for that host, or for the one that stands
behind ``?name=``. The scheme is our own: none is registered for DICOM.

An AE title has 1-16 characters, no backslash and no control characters (PS3.5 6.2, VR AE).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

from inference.errors import SettingRefusal

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_PEER = re.compile(
    r"(?P<tls>dicoms://)?(?P<ae>[^@/]+)@(?P<host>\[[0-9A-Fa-f:.]+\]|[^@:\[\]\s]+):(?P<port>[0-9]{1,5})"
    r"(?:\?name=(?P<name>[A-Za-z0-9._:-]+))?"
)
_MAX_PORT = 65535
_AE_LENGTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomPeer:
    """A node that is reached by DIMSE."""

    name: str
    ae_title: str
    host: str
    port: int
    is_tls: bool = False
    certificate_name: str = ""
    """For which host its certificate is, where that is not `host`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StowPeer:
    """An archive that is reached by STOW-RS."""

    name: str
    url: str
    """Up to and including ``/studies``."""

    @property
    def host(self) -> str:
        """Of the URL."""
        return urlsplit(self.url).hostname or ""


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
    """Read ``AET@HOST:PORT`` or ``dicoms://AET@HOST:PORT``; the name is the AE title unless given.

    Raises:
        SettingRefusal: the text has another form.
    """
    match = _PEER.fullmatch(text.strip())
    if match is None or (match["name"] and not match["tls"]):
        raise SettingRefusal(f"A DICOM peer is written AET@HOST:PORT or dicoms://AET@HOST:PORT, got {text!r}.")
    port = int(match["port"])
    if not 1 <= port <= _MAX_PORT:
        raise SettingRefusal(f"A port lies between 1 and 65535, got {port} in {text!r}.")
    ae_title = checked_ae_title(match["ae"])
    return DicomPeer(
        name=name or ae_title,
        ae_title=ae_title,
        host=match["host"].strip("[]"),
        port=port,
        is_tls=match["tls"] is not None,
        certificate_name=match["name"] or "",
    )


def parse_destination(text: str) -> DestinationPeer:
    """Read ``NAME=AET@HOST:PORT``, ``NAME=dicoms://AET@HOST:PORT`` or ``NAME=https://HOST/PATH/studies``.

    Raises:
        SettingRefusal: the text has none of these forms.
    """
    name, separator, address = text.strip().partition("=")
    if not separator or not _NAME.fullmatch(name):
        raise SettingRefusal(
            "A destination is written NAME=AET@HOST:PORT, NAME=dicoms://AET@HOST:PORT or "
            f"NAME=https://HOST/dicom-web/studies, got {text!r}."
        )
    if address.startswith(("http://", "https://")):
        return StowPeer(name=name, url=address.rstrip("/"))
    return parse_dicom_peer(address, name=name)


def check_commitment(destinations: Sequence[DestinationPeer], asked: Sequence[str], peers: Sequence[str]) -> None:
    """See that Storage Commitment is asked of destinations that can answer, and that who asks us can be called back.

    Raises:
        SettingRefusal: a name is no destination that is reached by DICOM, or an address has another form.
    """
    dicom = [peer.name for peer in destinations if isinstance(peer, DicomPeer)]
    for name in asked:
        if name not in dicom:
            raise SettingRefusal(
                "commitment_destinations names destinations that are reached by DICOM "
                f"({', '.join(dicom) or 'none'}), got {name!r}."
            )
    for text in peers:
        parse_dicom_peer(text)
