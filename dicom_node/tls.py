"""TLS for DICOM: one profile, contexts from files, and files that may change while the node runs.

The profile is the BCP 195 RFC 8996, 9325 TLS Secure Transport Connection Profile (PS3.15 B.12): TLS 1.3 or 1.2, never
less, whatever a peer offers. It takes the place of the profile that fell back to TLS 1.0 and of its non-downgrading
variant (PS3.15 B.9, B.10; retired); peers that keep to the latter agree with it on TLS 1.2.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from dicom_node.live import Live
from dicom_node.tls_socket import CallingContext
from inference.errors import SettingRefusal

SUITES_OF_TLS_1_2 = (
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
)
"""RFC 9325 4.2, by OpenSSL's names. Those of TLS 1.3 are all authenticated encryption and stay as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files that say who we are and whom we believe."""

    certificate: Path | None = None
    """Our certificate chain, ours first."""
    key: Path | None = None
    """Its key, without a passphrase."""
    authorities: Path | None = None
    """Certificates of the authorities whose certificates are believed."""
    revocations: Path | None = None
    """Certificate revocation lists (RFC 5280 5) of those authorities; with it, one of each is needed."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file that is set."""
        given = (self.certificate, self.key, self.authorities, self.revocations)
        return tuple(path for path in given if path is not None)


def server_context(files: TlsFiles, *, demands_certificate: bool) -> ssl.SSLContext:
    """How we answer a handshake; no session outlives the context, so that a new revocation list counts at once.

    Raises:
        SettingRefusal: a file cannot be used, or certificates are demanded that no authority can vouch for.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _profile(context)
    # An end without its alert leaves our side able to answer; a unit says its length, so that no cut goes unseen.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_IGNORE_UNEXPECTED_EOF
    context.num_tickets = 0
    _load_chain(context, files)
    if files.authorities is not None:
        context.verify_mode = ssl.CERT_REQUIRED if demands_certificate else ssl.CERT_OPTIONAL
        _load_trust(context, files)
    elif demands_certificate or files.revocations is not None:
        raise SettingRefusal("Certificates of peers can be checked only with dicom_tls_ca, the authorities' file.")
    return context


def client_context(files: TlsFiles) -> CallingContext:
    """How we open one connection: the peer's certificate and its name are checked; ours is shown when it asks.

    Raises:
        SettingRefusal: a file cannot be used.
    """
    context = CallingContext(ssl.PROTOCOL_TLS_CLIENT)
    _profile(context)
    if files.authorities is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _load_trust(context, files)
    if files.certificate is not None:
        _load_chain(context, files)
    return context


def service_context(files: TlsFiles) -> ssl.SSLContext:
    """How a service beside DICOM (HTTP, the report feed) answers a handshake: TLS 1.2 or newer, OpenSSL's own suites.

    Where authorities are set, peers have to show a certificate of theirs.

    Raises:
        SettingRefusal: certificate and key cannot be used together, or by nobody without a passphrase; or the
            authorities cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_chain(context, files)
    if files.authorities is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        _load_trust(context, files)
    return context


class LiveContext(Live[ssl.SSLContext]):
    """A context that follows its files: a changed file counts from the next handshake on."""

    def __init__(self, files: TlsFiles, build: Callable[[TlsFiles], ssl.SSLContext]) -> None:
        """Build the first context.

        Raises:
            SettingRefusal: a file cannot be used.
        """
        super().__init__(files.paths, lambda: build(files))
        self.files = files

    def front(self) -> ssl.SSLContext:
        """For a server of asyncio, which takes one context for good: each connection is made by the current one."""
        made = _Front(ssl.PROTOCOL_TLS_SERVER)
        made.live = self
        return made


class _Front(ssl.SSLContext):
    """Stands for the current context, so that no session of an earlier one is taken up again (asyncio, uvloop)."""

    live: LiveContext

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - the signature is that of ssl
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """As of ssl.SSLContext."""
        return self.live.current().wrap_bio(incoming, outgoing, server_side, server_hostname, session)


def _profile(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(":".join(SUITES_OF_TLS_1_2))
    context.options |= ssl.OP_NO_COMPRESSION


def _load_chain(context: ssl.SSLContext, files: TlsFiles) -> None:
    if files.certificate is None or files.key is None:
        raise SettingRefusal("TLS needs both a certificate and its key.")
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_passphrase)
    except (OSError, ValueError) as error:
        raise SettingRefusal(f"TLS cannot use {files.certificate} with {files.key}: {_why(error)}.") from None


def _load_trust(context: ssl.SSLContext, files: TlsFiles) -> None:
    for path in (files.authorities, files.revocations):
        if path is None:
            continue
        try:
            context.load_verify_locations(cafile=path)
        except (OSError, ValueError) as error:
            raise SettingRefusal(f"TLS cannot use {path}: {_why(error)}.") from None
    if not context.cert_store_stats()["x509_ca"]:
        raise SettingRefusal(f"TLS cannot use {files.authorities}: it holds no certificate of an authority.")
    if files.revocations is None:
        return
    if not context.cert_store_stats()["crl"]:
        raise SettingRefusal(f"TLS cannot use {files.revocations}: it holds no revocation list.")
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def _why(error: Exception) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)


def _no_passphrase() -> NoReturn:
    raise ValueError("the key has a passphrase, which nobody could type at a restart")
