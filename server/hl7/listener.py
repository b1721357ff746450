"""The listener of the report feed: MLLP over TCP, or over TLS, in a thread of its own.

One message at a time on each connection, as MLLP has it (HL7 v2 Transport Specification: MLLP, Release 1); the next is
read when the one before was answered. What does not begin as a block ends the connection.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from asyncio import IncompleteReadError

from hl7.mllp import HL7StreamReader, HL7StreamWriter, InvalidBlockError, start_hl7_server

from dicom_node.tls import LiveContext, TlsFiles, service_context
from inference.errors import SettingRefusal
from server.compose import Node
from server.events import event, fault
from server.hl7.intake import take
from server.hl7.message import NOTHING, Answer, Code, MessageRefusal, acknowledge
from server.settings import Settings

LARGEST_MESSAGE = 32 << 20
"""Octets; a report with a PDF of 24 MB fits."""
MOST_CONNECTIONS = 16
IDLE_S = 3600.0
"""A connection on which no message begins and ends within that time is closed; a sender opens it again."""
_TOO_LARGE = MessageRefusal(Answer.REJECTED, Code.OTHER, f"A message has at most {LARGEST_MESSAGE} octets.")
_NO_BLOCK = MessageRefusal(Answer.REJECTED, Code.SEQUENCE, "What came is no MLLP block: it does not begin with VT.")


class Listener:
    """Takes reports from those who may send them."""

    def __init__(self, node: Node) -> None:
        """Bind the address; nothing is read before ``start``.

        Raises:
            SettingRefusal: the port is taken, the address is not ours, or the certificate cannot be used.
        """
        self._node = node
        self._senders = [ipaddress.ip_network(text) for text in node.settings.hl7_senders]
        self.tls = _tls(node.settings)
        """How it shakes hands; None: in the clear."""
        self._socket = _bind(node.settings)
        self.port = int(self._socket.getsockname()[1])
        self._tasks: set[asyncio.Task[None] | None] = set()
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="hl7", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()
        event("hl7_started", port=self.port)

    def stop(self, timeout_s: float = 15.0) -> None:
        """End the thread; a message that is being kept is kept, and whoever got no answer sends it again."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        context = None if self.tls is None else self.tls.front()
        made = await start_hl7_server(self._connected, sock=self._socket, limit=LARGEST_MESSAGE, ssl=context)
        await self._stopping.wait()
        made.close()

    async def _connected(self, reader: HL7StreamReader, writer: HL7StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)  # the loop itself remembers tasks only weakly
        try:
            if self._is_allowed(writer) and len(self._tasks) <= MOST_CONNECTIONS:
                await self._answer_all(reader, writer)
            else:
                event("hl7_sender_refused")
        except (OSError, IncompleteReadError, TimeoutError):
            pass  # the other end is gone, in the middle of a message perhaps: it was told nothing, and sends it again
        except Exception as error:  # noqa: BLE001 - a boundary: one connection ends, the others go on
            fault("hl7_fault", error)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer_all(self, reader: HL7StreamReader, writer: HL7StreamWriter) -> None:
        while True:
            try:
                data = await asyncio.wait_for(reader.readblock(), IDLE_S)
            except (ValueError, InvalidBlockError) as error:
                refusal = _NO_BLOCK if isinstance(error, InvalidBlockError) else _TOO_LARGE
                event("report_refused", status=refusal.answer.value, reason_code=refusal.error_code.value)
                writer.writeblock(acknowledge(NOTHING, refusal.answer, refusal))
                await writer.drain()
                return
            writer.writeblock(await asyncio.to_thread(take, self._node, data))
            await writer.drain()

    def _is_allowed(self, writer: HL7StreamWriter) -> bool:
        peer = writer.get_extra_info("peername")
        address = ipaddress.ip_address(str(peer[0]).partition("%")[0])
        return not self._senders or any(address in network for network in self._senders)


def _bind(settings: Settings) -> socket.socket:
    try:
        return socket.create_server((settings.hl7_host, settings.hl7_port), family=_family(settings.hl7_host))
    except OSError as error:
        raise SettingRefusal(
            f"The report feed cannot listen on {settings.hl7_host}:{settings.hl7_port}: {error.strerror}."
        ) from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _tls(settings: Settings) -> LiveContext | None:
    """Senders prove who they are where authorities are set."""
    if settings.hl7_tls_certificate is None:
        return None
    files = TlsFiles(
        certificate=settings.hl7_tls_certificate,
        key=settings.hl7_tls_key,
        authorities=settings.hl7_tls_authorities,
    )
    try:
        return LiveContext(files, service_context)
    except SettingRefusal as refusal:
        raise SettingRefusal(f"The report feed cannot use its certificate, key or authorities: {refusal}") from None
