"""A TLS connection that behaves as the receive loop's blocking socket does, and the handshake before it.

Three things differ from an `ssl.SSLSocket`. Its time limit: the loop sets SO_RCVTIMEO, which OpenSSL would wait out
again and again, so that Python's timeout stands in for it. Its end: another thread may shut the incoming side down to
wake the loop, and the answer must still go out encrypted. Its reads: MSG_WAITALL means nothing where records arrive.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import struct
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from typing import Any

from dicom_node.admission import Origin, PeerCertificate

_TIME_LIMITS = frozenset({socket.SO_RCVTIMEO, socket.SO_SNDTIMEO})


class HandshakeReason(StrEnum):
    """Why there is no TLS with somebody who connected; a word of the log, the metrics and the audit trail."""

    PLAIN_BYTES = "plain_bytes"
    """It sent something other than TLS, such as DICOM without it."""
    PLAIN_HTTP = "plain_http"
    """It sent HTTP without TLS."""
    TLS_VERSION = "tls_version"
    """It offers no TLS 1.2 or 1.3."""
    CIPHER_SUITE = "cipher_suite"
    """It offers no suite of the profile."""
    NO_CERTIFICATE = "no_certificate"
    """It showed no certificate, and one is demanded."""
    UNKNOWN_AUTHORITY = "unknown_authority"
    """Its certificate comes from none of the authorities of ``dicom_tls_ca``."""
    CERTIFICATE_EXPIRED = "certificate_expired"
    """Its certificate has ended."""
    CERTIFICATE_NOT_YET_VALID = "certificate_not_yet_valid"
    """Its certificate has not begun; or a clock is wrong."""
    CERTIFICATE_REVOKED = "certificate_revoked"
    """Its certificate is on a list of ``dicom_tls_crl``."""
    NO_REVOCATION_LIST = "no_revocation_list"
    """``dicom_tls_crl`` has no list of the authority of its certificate."""
    REVOCATION_LIST_EXPIRED = "revocation_list_expired"
    """The list of the authority of its certificate has ended."""
    CERTIFICATE = "certificate"
    """Its certificate cannot be believed for another reason."""
    OUR_CERTIFICATE_REFUSED = "our_certificate_refused"
    """It does not believe our certificate."""
    TIMED_OUT = "timed_out"
    """It did not finish in time."""
    PEER_LEFT = "peer_left"
    """It ended the connection, like a load balancer that only looks whether somebody listens."""
    HANDSHAKE = "handshake"
    """Anything else that OpenSSL does not accept."""


REASON_OF_ERROR: Mapping[str, HandshakeReason] = {
    "HTTP_REQUEST": HandshakeReason.PLAIN_HTTP,
    "WRONG_VERSION_NUMBER": HandshakeReason.PLAIN_BYTES,
    "PACKET_LENGTH_TOO_LONG": HandshakeReason.PLAIN_BYTES,
    "UNSUPPORTED_PROTOCOL": HandshakeReason.TLS_VERSION,
    "NO_SHARED_CIPHER": HandshakeReason.CIPHER_SUITE,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": HandshakeReason.NO_CERTIFICATE,
    "SSLV3_ALERT_BAD_CERTIFICATE": HandshakeReason.OUR_CERTIFICATE_REFUSED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": HandshakeReason.OUR_CERTIFICATE_REFUSED,
    "SSLV3_ALERT_CERTIFICATE_REVOKED": HandshakeReason.OUR_CERTIFICATE_REFUSED,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": HandshakeReason.OUR_CERTIFICATE_REFUSED,
    "TLSV1_ALERT_UNKNOWN_CA": HandshakeReason.OUR_CERTIFICATE_REFUSED,
    "UNEXPECTED_EOF_WHILE_READING": HandshakeReason.PEER_LEFT,
}
"""By OpenSSL's reasons (sslerr.h)."""
REASON_OF_CERTIFICATE: Mapping[int, HandshakeReason] = {
    3: HandshakeReason.NO_REVOCATION_LIST,
    9: HandshakeReason.CERTIFICATE_NOT_YET_VALID,
    10: HandshakeReason.CERTIFICATE_EXPIRED,
    12: HandshakeReason.REVOCATION_LIST_EXPIRED,
    18: HandshakeReason.UNKNOWN_AUTHORITY,
    19: HandshakeReason.UNKNOWN_AUTHORITY,
    20: HandshakeReason.UNKNOWN_AUTHORITY,
    21: HandshakeReason.UNKNOWN_AUTHORITY,
    23: HandshakeReason.CERTIFICATE_REVOKED,
}
"""By OpenSSL's X509_V_ERR_ codes (x509_vfy.h)."""


class HandshakeFault(Exception):  # noqa: N818 - a fault of the peer, not an error of ours
    """No TLS with this peer."""

    def __init__(self, reason: HandshakeReason) -> None:
        """Keep why."""
        super().__init__(reason.value)
        self.reason = reason


class TlsSocket(ssl.SSLSocket):
    """What `TlsSocket.around` makes of a connected socket."""

    @classmethod
    def around(cls, connection: socket.socket, context: ssl.SSLContext) -> TlsSocket:
        """The server's side of TLS on a connection; nothing is read or written before `greet`.

        Raises:
            OSError: the peer is gone already.
        """
        context.sslsocket_class = cls
        wrapped = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        assert isinstance(wrapped, cls), "the context makes what it was told"  # noqa: S101 - states the invariant
        return wrapped

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """Read what there is; silence is told as a blocking socket tells it."""
        del flags
        try:
            return super().recv_into(buffer, nbytes or None)
        except TimeoutError as error:
            raise BlockingIOError(str(error)) from error

    def setsockopt(self, level: int, option: int, *value: Any) -> None:
        """Set an option; the time limits become Python's."""
        if level == socket.SOL_SOCKET and option in _TIME_LIMITS:
            seconds, microseconds = struct.unpack("ll", value[0])
            self.settimeout(seconds + microseconds / 1e6)
            return
        super().setsockopt(level, option, *value)

    def shutdown(self, how: int) -> None:
        """End one side, or both; the outgoing side with the alert that tells an end from a cut (RFC 8446 6.1)."""
        if how == socket.SHUT_RD:  # by another thread: the encryption has to stay
            socket.socket.shutdown(self, how)
            return
        limit = self.gettimeout()
        self.settimeout(0.0)
        with suppress(OSError, ValueError):  # nobody waits for the peer's own alert; without a handshake there is none
            self.unwrap()
        self.settimeout(limit)
        super().shutdown(how)


class CallingSocket(TlsSocket):
    """A connection that we open; what went wrong in its handshake stays readable at its context."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the form of the library
        """Shake hands, and keep why it failed."""
        try:
            super().do_handshake(block)
        except OSError as error:
            if isinstance(self.context, CallingContext):
                self.context.fault = why_not(error)
            raise


class CallingContext(ssl.SSLContext):
    """A context for one connection that we open."""

    sslsocket_class = CallingSocket
    fault: str = ""
    """Why the handshake failed, for a person."""


def why_not(error: OSError) -> str:
    """Why a handshake with a peer that we called failed, for a person."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not believed: {error.verify_message.rstrip('.')}"
    reason = error.reason if isinstance(error, ssl.SSLError) else "the connection ended in the handshake"
    return f"no TLS with it: {(reason or 'handshake failure').replace('_', ' ').lower()}"


def greet(connection: socket.socket, address: str, timeout_s: float) -> Origin:
    """Shake hands where the connection is TLS; who is on the other side.

    Args:
        connection: accepted just now.
        address: the peer's.
        timeout_s: for the whole handshake.

    Raises:
        HandshakeFault: there will be no TLS with this peer.
    """
    if not isinstance(connection, TlsSocket):
        return Origin(address=address)
    connection.settimeout(timeout_s)
    try:
        connection.do_handshake()
    except OSError as error:
        raise HandshakeFault(_reason(error)) from error
    return Origin(address=address, is_tls=True, certificate=_certificate(connection))


def _reason(error: OSError) -> HandshakeReason:
    if isinstance(error, ssl.SSLCertVerificationError):
        return REASON_OF_CERTIFICATE.get(error.verify_code, HandshakeReason.CERTIFICATE)
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return HandshakeReason.PEER_LEFT
    if isinstance(error, ssl.SSLError):
        return REASON_OF_ERROR.get(error.reason or "", HandshakeReason.HANDSHAKE)
    return HandshakeReason.TIMED_OUT if isinstance(error, TimeoutError) else HandshakeReason.PEER_LEFT


def _certificate(connection: ssl.SSLSocket) -> PeerCertificate | None:
    encoded = connection.getpeercert(binary_form=True)
    if encoded is None:
        return None
    fields: Mapping[str, Any] = connection.getpeercert() or {}
    names = [value for part in fields.get("subject", ()) for key, value in part if key == "commonName"]
    names += [value for _, value in fields.get("subjectAltName", ())]
    return PeerCertificate(
        sha256=hashlib.sha256(encoded).hexdigest(), names=frozenset(str(name).casefold() for name in names)
    )
