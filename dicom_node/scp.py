"""The listener: accepts connections, one thread each, and stops without losing what it acknowledged.

It imports no model runtime and decodes no pixels; a test keeps it so.
"""

from __future__ import annotations

import errno
import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from dicom_node.admission import CheckUser, Origin, PeerRules, no_rules
from dicom_node.association import Association, AssociationSetting
from dicom_node.commitment_scp import CommitmentService
from dicom_node.inbox import Inbox, InboxRules, ReceiverMetrics
from dicom_node.limits import Limits, PeerLimits, keep_alive
from dicom_node.log_record import Record
from dicom_node.negotiation import AssociationPolicy, supported_contexts
from dicom_node.pdu import PduStream
from dicom_node.receive_log import LogRules
from dicom_node.recorder import Recorder
from dicom_node.recovery import recover, replay, set_aside_damaged
from dicom_node.spool import Spool
from dicom_node.store import prolong
from dicom_node.tls import LiveContext
from dicom_node.tls_socket import TlsSocket, greet
from dicom_node.witness import Witness, nobody
from inference.errors import SettingRefusal

AE_TITLE_MAX_CHARACTERS = 16
"""PS3.5 6.2, AE."""
WAITING_CONNECTIONS = 16
"""Connections over the limit of associations that are still heard, to be told so; further ones are closed at once."""
TEND_S = 1.0
LOOKS_PER_ADOPTION = 30
STOP_GRACE_S = 10.0
"""How long an instance that is being received may take to arrive after `stop` was called."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverSettings:
    """How to listen. Times in seconds."""

    ae_title: str = "SPINEAI"
    """Ours: an association that calls another is rejected."""
    host: str = ""
    """Address to listen on; empty: every IPv4 address."""
    port: int = 11112
    """TCP port (IANA: 11112 dicom); 0 lets the system choose."""
    calling_ae_titles: frozenset[str] = field(default_factory=frozenset)
    """AE titles that may send; empty: any. An AE title is a name, not a proof of identity (standards.md 3.4)."""
    peers: PeerRules = no_rules
    """Who may associate, by more than an AE title."""
    check_user: CheckUser | None = None
    """How the user that a request names is checked; None: ignored."""
    tls_port: int | None = None
    """TCP port for DICOM over TLS (IANA: 2762 dicom-tls); 0 lets the system choose; None: there is none."""
    is_plain_local: bool = False
    """Whether the port without TLS listens on loopback only."""
    max_associations: int = 20
    max_pdu_bytes: int = 256 * 1024
    """Maximum Length Received that we announce (PS3.8 D.1)."""
    request_timeout_s: float = 30.0
    network_timeout_s: float = 60.0
    record_deadline_s: float = 15.0
    """How long a sender waits for a database that does not answer, before it is told 0xA700."""
    limits: PeerLimits = field(default_factory=PeerLimits)
    """What each peer may take."""
    rules: InboxRules = field(default_factory=InboxRules)
    log_rules: LogRules = field(default_factory=LogRules)
    shares_port: bool = False
    """Whether other processes of this node listen on the same port; the system deals the connections out."""

    def __post_init__(self) -> None:
        """Refuse values that DICOM or common sense forbid."""
        for title in (self.ae_title, *self.calling_ae_titles):
            if not (0 < len(title.strip()) <= AE_TITLE_MAX_CHARACTERS and title.isascii() and title.isprintable()):
                raise SettingRefusal(f"an AE title has 1 to 16 printable ASCII characters, got {title!r}")
        positive = ("max_associations", "request_timeout_s", "network_timeout_s", "record_deadline_s")
        for name in positive:
            if getattr(self, name) <= 0:
                raise SettingRefusal(f"{name} must be greater than 0, got {getattr(self, name)}")


class Receiver:
    """The node's C-ECHO, C-STORE and Storage Commitment provider, for one process."""

    def __init__(
        self,
        settings: ReceiverSettings,
        engine: Engine,
        spool: Spool,
        clock: Callable[[], float] = time.time,
        *,
        tls: LiveContext | None = None,
        witness: Witness = nobody,
        commitment: CommitmentService | None = None,
    ) -> None:
        """Bring the parts together; nothing listens yet.

        Args:
            settings: how to listen.
            engine: of the database.
            spool: where bytes go.
            clock: seconds since the epoch.
            tls: how the port with TLS shakes hands.
            witness: is told what belongs into an audit trail; must not block.
            commitment: serves Storage Commitment; None: it is refused.
        """
        self._commitment = commitment
        self.metrics = ReceiverMetrics()
        self._tls = tls
        self._witness = witness
        self._settings = settings
        self._engine = engine
        self._spool = spool
        self._clock = clock
        self._recorder = Recorder(engine, deadline_s=settings.record_deadline_s)
        self._limits = Limits(settings.limits, engine, count=self.metrics.count, clock=clock)
        self._listeners: list[socket.socket] = []
        self._stopping = threading.Event()
        self.is_replayed = threading.Event()
        """Set once the receive log's records have their rows: no study is complete before."""
        self._lock = threading.Lock()
        self._live: dict[threading.Thread, tuple[socket.socket, Association]] = {}
        self._threads: list[threading.Thread] = []

    @property
    def port(self) -> int:
        """The TCP port that is listened on, without TLS."""
        return int(self._listeners[0].getsockname()[1]) if self._listeners else self._settings.port

    @property
    def tls_port(self) -> int | None:
        """The TCP port that is listened on with TLS."""
        return int(self._listeners[1].getsockname()[1]) if len(self._listeners) > 1 else self._settings.tls_port

    def arriving_studies(self) -> frozenset[str]:
        """Studies that an instance is arriving for right now; they are not complete, however quiet the database is."""
        return frozenset(uid for uid, _ in self._arriving())

    def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address is taken or not ours, or the spool cannot be read.
        """
        self._spool.sweep()
        self._listen()
        self._open_log()
        self._recorder.start()
        setting = self._setting()
        targets = {f"accept-{n}": partial(self._accept, one, setting, n > 0) for n, one in enumerate(self._listeners)}
        for name, target in (targets | {"recover": self._recover, "tend": self._tend}).items():
            thread = threading.Thread(target=target, name=f"receiver-{name}", daemon=True)
            self._threads.append(thread)
            thread.start()
        for listener in self._listeners:
            port = listener.getsockname()[1]
            log.info("receiver_listening", extra={"port": port, "ae_title": self._settings.ae_title})
        if not self._settings.calling_ae_titles and not self._settings.peers():
            log.warning("any_sender_is_accepted", extra={"port": self.port})

    def _listen(self) -> None:
        """Open the port without TLS, then the one with it."""
        settings = self._settings
        plain_host = "127.0.0.1" if settings.is_plain_local else settings.host
        self._listeners.append(
            socket.create_server((plain_host, settings.port), backlog=64, reuse_port=settings.shares_port)
        )
        if settings.tls_port is None:
            return
        try:
            self._listeners.append(
                socket.create_server((settings.host, settings.tls_port), backlog=64, reuse_port=settings.shares_port)
            )
        except OSError:
            self._listeners.pop().close()
            raise

    def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """Stop listening, let instances that are arriving finish within the grace time, then abort what is left."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        for listener in self._listeners:
            # shutdown wakes the thread that waits in accept; close alone does not.
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self._hang_up(only_idle=True)
        deadline = time.monotonic() + grace_s
        while self._live and time.monotonic() < deadline:
            time.sleep(0.01)
        self._hang_up(only_idle=False)
        with self._lock:
            threads = [*self._live, *self._threads]
        for thread in threads:
            thread.join(grace_s)
        self._recorder.stop(grace_s)
        self._spool.close(grace_s)
        log.info("receiver_stopped")

    def _hang_up(self, *, only_idle: bool) -> None:
        """Wake associations by ending their incoming side; they tell their peer and close."""
        with self._lock:
            live = list(self._live.values())
        for connection, association in live:
            if only_idle and not association.is_between_messages:
                continue
            try:
                connection.shutdown(socket.SHUT_RD)
            except OSError:
                continue  # closed meanwhile

    def _tend(self) -> None:
        """Tell the other processes of slow arrivals, and take over what receivers left behind that died meanwhile."""
        before: frozenset[tuple[str, int]] = frozenset()
        looks = 0
        while not self._stopping.wait(TEND_S):
            now = self._arriving()
            slow = {uid for uid, _ in now & before}
            before, looks = now, looks + 1
            try:
                if slow:
                    with self._engine.begin() as connection:
                        prolong(connection, slow, self._clock())
                if looks % LOOKS_PER_ADOPTION == 0 and self._spool.log is not None and self._spool.log.adopt():
                    replay(self._engine, self._spool, clock=self._clock)
            except (SQLAlchemyError, OSError) as error:
                log.warning("receiver_not_tended", extra={"error": type(error).__name__})  # the next look tries again

    def _arriving(self) -> frozenset[tuple[str, int]]:
        """Studies that an instance is arriving for, each with what tells this instance from the next."""
        with self._lock:
            live = [association for _, association in self._live.values()]
        pairs = ((association.arriving_study_uid, association.message_count) for association in live)
        return frozenset((uid, count) for uid, count in pairs if uid is not None)

    def _recover(self) -> None:
        try:
            replayed = replay(self._engine, self._spool, clock=self._clock)
            self.is_replayed.set()
            recovered = recover(self._engine, self._spool, clock=self._clock, should_stop=self._stopping.is_set)
        except (SQLAlchemyError, OSError) as error:
            log.warning("recovery_failed", extra={"error": type(error).__name__})  # the next start tries again
            return
        finally:
            self.is_replayed.set()
        self.metrics.count("recovered_instances", replayed.adopted + recovered.adopted)

    def _open_log(self) -> None:
        """Receive into the log where the spool can be written; where not, each sender is told so."""
        try:
            self._spool.open_log(self._settings.log_rules, has_room=self._has_room, on_damage=self._set_aside_damaged)
        except OSError as error:
            log.warning("receive_log_not_opened", extra={"error": type(error).__name__, "errno": error.errno})

    def _has_room(self, size_bytes: int) -> bool:
        space = self._spool.free_space()
        return space.free_bytes - size_bytes > self._settings.rules.reserve_bytes(space)

    def _set_aside_damaged(self, record: Record, copy: Path) -> None:
        try:
            set_aside_damaged(self._engine, self._spool, record, copy, self._clock())
        except SQLAlchemyError as error:
            raise OSError(errno.EIO, f"the database refused the row ({type(error).__name__})") from error
        self.metrics.count("instances_damaged")

    def _accept(self, listener: socket.socket, setting: AssociationSetting, is_tls: bool) -> None:  # noqa: FBT001
        number = 0
        while not self._stopping.is_set():
            try:
                connection, address = listener.accept()
            except OSError:
                if self._stopping.is_set():
                    return
                time.sleep(0.1)  # out of file descriptors: others will end
                continue
            number += 1
            name = f"association-{'tls-' if is_tls else ''}{number}"
            self._welcome(connection, Origin(address=str(address[0]), is_tls=is_tls), setting, name)

    def _welcome(self, connection: socket.socket, origin: Origin, setting: AssociationSetting, name: str) -> None:
        with self._lock:
            count = len(self._live)
            is_full = count >= self._settings.max_associations + WAITING_CONNECTIONS or self._stopping.is_set()
            guest = None if is_full else self._limits.admit(origin.address)
            if guest is None:
                connection.close()
                self.metrics.count("connections_refused")
                return
            try:
                keep_alive(connection)
                if origin.is_tls and self._tls is not None:
                    connection = TlsSocket.around(connection, self._tls.current())
                stream = PduStream(
                    connection,
                    max_pdu_bytes=self._settings.max_pdu_bytes,
                    timeout_s=self._settings.request_timeout_s,
                )
            except OSError:
                connection.close()  # reset before it was begun
                guest.leave()
                return
            association = Association(
                stream=stream,
                setting=setting,
                guest=guest,
                has_place=count < self._settings.max_associations,
                origin=origin,
                greet=partial(greet, connection, origin.address),
            )
            thread = threading.Thread(target=self._run, args=(association,), name=name, daemon=True)
            self._live[thread] = (connection, association)
        thread.start()

    def _run(self, association: Association) -> None:
        try:
            association.run()
        finally:
            association.guest.leave()
            with self._lock:
                self._live.pop(threading.current_thread(), None)

    def _setting(self) -> AssociationSetting:
        settings = self._settings
        inbox = Inbox(
            self._spool,
            self._recorder,
            self._engine,
            rules=settings.rules,
            metrics=self.metrics,
            clock=self._clock,
        )
        return AssociationSetting(
            policy=AssociationPolicy(
                ae_title=settings.ae_title.strip(),
                calling_ae_titles=frozenset(title.strip() for title in settings.calling_ae_titles),
                max_pdu_bytes=settings.max_pdu_bytes,
                peers=settings.peers,
                check_user=settings.check_user,
            ),
            contexts=supported_contexts(),
            inbox=inbox,
            is_stopping=self._stopping.is_set,
            request_timeout_s=settings.request_timeout_s,
            network_timeout_s=settings.network_timeout_s,
            commitment=self._commitment,
            witness=self._witness,
        )
