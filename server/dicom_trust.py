"""Whom DICOM believes, from the settings: TLS files, the table of peers, and the file of users.

Passcodes are in neither the settings nor the database: the users' file holds one scrypt hash a line, which
``spine-node users dicom`` makes. It is read anew at each check, so that a user who was taken out is out at once.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from dicom_node.admission import CheckUser, PeerRule
from dicom_node.live import Live
from dicom_node.tls import LiveContext, TlsFiles, server_context
from inference.errors import SettingRefusal
from server.auth.brakes import LoginBrake
from server.auth.passwords import is_kept_hash, verify_password
from server.events import event, fault
from server.exposure import is_loopback
from server.peers import DestinationPeer, StowPeer, checked_ae_title

if TYPE_CHECKING:
    from server.settings import Settings  # which calls check_dicom_trust

_SHA256 = re.compile(r"[0-9a-f]{64}")


def check_dicom_trust(settings: Settings) -> None:
    """Refuse settings that would protect less than they seem to.

    Raises:
        SettingRefusal: the settings do not go together.
    """
    if bool(settings.dicom_tls_certificate) != bool(settings.dicom_tls_key):
        raise SettingRefusal("DICOM over TLS needs both dicom_tls_certificate and dicom_tls_key.")
    if settings.dicom_tls_crl and not settings.dicom_tls_ca:
        raise SettingRefusal("dicom_tls_crl lists what authorities revoked, and needs their file, dicom_tls_ca.")
    if settings.dicom_tls_port is not None:
        _check_port(settings)
    elif settings.dicom_users_file and not is_loopback(settings.dicom_host):
        raise SettingRefusal(
            "dicom_users_file needs dicom_tls_port, because a passcode that travels in the clear is none; got no port."
        )
    for peer in (*settings.destination_peers(), *settings.source_peers().values()):
        require_tls(peer, settings)
    if settings.audit_repository:
        repository_address(settings.audit_repository)


def _check_port(settings: Settings) -> None:
    if settings.dicom_tls_certificate is None:
        raise SettingRefusal("dicom_tls_port needs dicom_tls_certificate and dicom_tls_key.")
    if settings.dicom_tls_port and settings.dicom_tls_port == settings.dicom_port:
        raise SettingRefusal(f"dicom_port and dicom_tls_port are two ports, got {settings.dicom_port} for both.")
    if settings.dicom_tls_demand_certificate and settings.dicom_tls_ca is None:
        raise SettingRefusal(
            "Certificates of peers are checked with dicom_tls_ca, the file of their authorities: set it, or "
            "dicom_tls_demand_certificate = false where peers have none."
        )


def require_tls(peer: DestinationPeer, settings: Settings) -> None:
    """Refuse a peer on another machine that would be reached without TLS, where the settings forbid it.

    Raises:
        SettingRefusal: it would.
    """
    if not settings.dicom_tls_required or is_loopback(peer.host):
        return
    is_safe = peer.url.startswith("https://") if isinstance(peer, StowPeer) else peer.is_tls
    if not is_safe:
        raise SettingRefusal(
            f"{peer.name} would be reached without TLS, which dicom_tls_required forbids: write "
            f"dicoms://AET@HOST:PORT, or https://."
        )


def repository_address(text: str) -> tuple[str, int]:
    """Host and port of the audit record repository.

    Raises:
        SettingRefusal: the text is not HOST:PORT.
    """
    try:
        parts = urlsplit(f"//{text}")
        host, port, is_bare = parts.hostname, parts.port, parts.netloc == text and parts.username is None
    except ValueError:
        host, port, is_bare = None, None, False
    if not host or not port or not is_bare:
        raise SettingRefusal(f"audit_repository is HOST:PORT, like audit.example.org:6514; got {text!r}.")
    return host, port


def tls_files(settings: Settings) -> TlsFiles:
    """Who we are to other DICOM nodes, and whom we believe."""
    return TlsFiles(
        certificate=settings.dicom_tls_certificate,
        key=settings.dicom_tls_key,
        authorities=settings.dicom_tls_ca,
        revocations=settings.dicom_tls_crl,
    )


def live_context(settings: Settings) -> LiveContext | None:
    """How the port with TLS shakes hands; None without one.

    Raises:
        SettingRefusal: a file cannot be used.
    """
    if settings.dicom_tls_port is None:
        return None
    build = partial(server_context, demands_certificate=settings.dicom_tls_demand_certificate)
    return LiveContext(tls_files(settings), build)


class _Peer(BaseModel):
    """One table of the peers' file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ae_titles: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    certificate_sha256: tuple[str, ...] = ()
    certificate_names: tuple[str, ...] = ()
    needs_user: bool = True

    @field_validator("addresses")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            ipaddress.ip_network(text, strict=True)
        return value

    @field_validator("certificate_sha256")
    @classmethod
    def _fingerprints(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        found = tuple(text.replace(":", "").lower() for text in value)
        if not all(_SHA256.fullmatch(text) for text in found):
            raise ValueError("a SHA-256 fingerprint has 64 hexadecimal digits, with or without colons")
        return found

    def rule(self, name: str) -> PeerRule:
        """As the receiver wants it."""
        return PeerRule(
            name=name,
            ae_titles=frozenset(checked_ae_title(title) for title in self.ae_titles),
            networks=tuple(ipaddress.ip_network(text) for text in self.addresses),
            certificate_sha256=frozenset(self.certificate_sha256),
            certificate_names=frozenset(text.casefold() for text in self.certificate_names),
            needs_user=self.needs_user,
        )


def peer_rules(settings: Settings) -> tuple[PeerRule, ...]:
    """Who may associate, by the table of the site; empty where there is none.

    Raises:
        SettingRefusal: the file cannot be read, a table is at fault, or it names nobody.
    """
    path = settings.dicom_peers_file
    if path is None:
        return ()
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingRefusal(f"The DICOM peers' file {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingRefusal(f"The DICOM peers' file {path} is not TOML: {error}.") from None
    if not tables:
        raise SettingRefusal(f"The DICOM peers' file {path} names no peer, so that nobody could associate.")
    return tuple(_rule(name, table) for name, table in tables.items())


def live_peers(settings: Settings) -> Live[tuple[PeerRule, ...]]:
    """Who may associate: the table as it is now, or as it last could be used.

    Raises:
        SettingRefusal: it cannot be used.
    """
    path = settings.dicom_peers_file
    return Live(() if path is None else (path,), partial(peer_rules, settings))


def _rule(name: str, table: object) -> PeerRule:
    try:
        return _Peer.model_validate(table).rule(name)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the table"
        raise SettingRefusal(f"DICOM peer {name}: {where}: {first['msg']}.") from None
    except SettingRefusal as refusal:
        raise SettingRefusal(f"DICOM peer {name}: {refusal.sentence}") from None


def user_check(settings: Settings) -> CheckUser | None:
    """How the user of an association request is checked; None where no users' file is set.

    Raises:
        SettingRefusal: the file cannot be read, or a line of it is none.
    """
    path = settings.dicom_users_file
    if path is None:
        return None
    _read_users(path)
    return partial(_check_user, path, LoginBrake())


def _check_user(path: Path, brake: LoginBrake, name: str, passcode: str | None, address: str) -> bool:
    """Compare with the file as it is now; failed tries of an address, and of a name, are slowed down."""
    if brake.try_once(name, address) > 0.0:
        event("dicom_user_must_wait", host=address)
        return False
    try:
        users = _read_users(path)
    except SettingRefusal as refusal:
        fault("dicom_users_unreadable", refusal)
        return False
    kept = users.get(name)
    is_right = kept == "" if passcode is None else verify_password(passcode, kept or None)
    if is_right:
        brake.succeeded(name, address)
    return is_right


def _read_users(path: Path) -> Mapping[str, str]:
    """Hash by name; empty for a name that comes without a passcode."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SettingRefusal(f"The DICOM users' file {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise SettingRefusal(f"The DICOM users' file {path} is no text in UTF-8.") from None
    users = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, separator, kept = line.strip().partition(":")
        if not name or not separator or (kept and not is_kept_hash(kept)):
            raise SettingRefusal(
                f"Line {number} of the DICOM users' file {path} is not NAME:HASH; spine-node users dicom makes one."
            )
        users[name] = kept
    return users
