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
from typing import Any

from dicom_node.admission import Origin, PeerCertificate

_TIME_LIMITS = frozenset({socket.SO_RCVTIMEO, socket.SO_SNDTIMEO})

HANDSHAKE_WORDS: Mapping[str, str] = {
    "HTTP_REQUEST": "plain_http",
    "WRONG_VERSION_NUMBER": "plain_bytes",
    "PACKET_LENGTH_TOO_LONG": "plain_bytes",
    "UNSUPPORTED_PROTOCOL": "tls_version",
    "NO_SHARED_CIPHER": "cipher_suite",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no_certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "peer_refuses_our_certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "peer_refuses_our_certificate",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "peer_refuses_our_certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "peer_refuses_our_certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "peer_refuses_our_certificate",
    "SSL_HANDSHAKE_FAILURE": "peer_left",
    "UNEXPECTED_EOF_WHILE_READING": "peer_left",
}
"""What OpenSSL's reasons mean here; any other one is `handshake`."""
CERTIFICATE_WORDS: Mapping[int, str] = {
    3: "no_revocation_list",
    9: "certificate_not_yet_valid",
    10: "certificate_expired",
    12: "revocation_list_expired",
    18: "unknown_authority",
    19: "unknown_authority",
    20: "unknown_authority",
    21: "unknown_authority",
    23: "certificate_revoked",
}
"""By OpenSSL's X509_V_ERR_ codes (x509_vfy.h); any other one is `certificate`."""


class HandshakeFault(Exception):  # noqa: N818 - a fault of the peer, not an error of ours
    """No TLS with this peer; the word says why."""

    def __init__(self, word: str) -> None:
        """Keep the word."""
        super().__init__(word)
        self.word = word


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
    except ssl.SSLCertVerificationError as error:
        raise HandshakeFault(CERTIFICATE_WORDS.get(error.verify_code, "certificate")) from error
    except ssl.SSLError as error:
        raise HandshakeFault(HANDSHAKE_WORDS.get(error.reason or "", "handshake")) from error
    except TimeoutError as error:
        raise HandshakeFault("timed_out") from error
    except OSError as error:
        raise HandshakeFault("peer_left") from error
    return Origin(address=address, is_tls=True, certificate=_certificate(connection))


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
