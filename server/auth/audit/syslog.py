"""Audit messages by syslog over TLS: RFC 5424 with a DICOM message in it, framed and ended as RFC 5425 says.

Syslog has no acknowledgement. What was written to a connection that breaks may be lost, and nobody would know; so one
connection carries a batch and is then closed in order: our close alert, then the receiver's, which it must send
(RFC 5425 4.4) and can only send when it has read everything before ours. Whatever ends otherwise was not taken.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence

from dicom_node.tls_socket import why_not
from inference.errors import PeerFailure
from server.auth.audit.dicom import audit_message, moment
from server.auth.audit.pipe import Pipe
from server.auth.audit.record import Outcome
from server.auth.audit.trail import Entry

_FACILITY = 10  # security/authorization (RFC 5424 6.2.1), as PS3.15 A.6 asks
_SEVERITIES = {Outcome.SUCCESS: 5, Outcome.MINOR_FAILURE: 4, Outcome.SERIOUS_FAILURE: 3}  # notice, warning, error
MESSAGE_ID = "DICOM+RFC3881"
"""MSGID of a message by PS3.15 A.5 (PS3.15 A.6)."""
APPLICATION = "spine-node"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # says that the text is UTF-8 (RFC 5424 6.4)


def encode(entry: Entry, *, source: str, host: str) -> bytes:
    """One row of the trail as a framed syslog message.

    Args:
        entry: the row.
        source: who reports it, our AE title.
        host: name of this machine.
    """
    record = entry.record
    priority = _FACILITY * 8 + _SEVERITIES[record.outcome]
    # The number of the row is the structured data: with it, a repository can drop what it was sent twice.
    numbered = f'[meta sequenceId="{(entry.number - 1) % 2147483647 + 1}"]'
    header = f"<{priority}>1 {moment(record.at)} {_printable(host)} {APPLICATION} - {MESSAGE_ID} {numbered} "
    message = header.encode("ascii") + _BYTE_ORDER_MARK + audit_message(record, source=source).encode()
    return f"{len(message)} ".encode() + message


def send(messages: Sequence[bytes], address: tuple[str, int], context: ssl.SSLContext, *, timeout_s: float) -> None:
    """Send a batch over one connection, and see it taken.

    Raises:
        PeerFailure: not all of it was taken, as far as can be known.
    """
    host, port = address
    try:
        with socket.create_connection(address, timeout=timeout_s) as connection:
            pipe = Pipe(connection, context, host)
            pipe.write(b"".join(messages))
            pipe.close()
    except OSError as error:
        reason = why_not(error) if isinstance(error, ssl.SSLError) else error.strerror or "it does not answer"
        raise PeerFailure(f"The audit repository {host}:{port} does not take records: {reason}.") from error


def _printable(host: str) -> str:
    """HOSTNAME is printable ASCII without spaces (RFC 5424 6)."""
    return "".join(c for c in host if "!" <= c <= "~")[:255] or "-"
