"""A real receiver on a real database and a real disk, and the odd senders that tests of it need."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Self

from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
    UserIdentityNegotiation,
)
from pynetdicom.presentation import PresentationContext, build_context
from sqlalchemy import Engine, create_engine, event, select

from builders.peers import LOOPBACK, wait_until
from dicom_node.inbox import InboxRules
from dicom_node.receive_log import LogRules
from dicom_node.scp import Receiver, ReceiverSettings
from dicom_node.spool import Spool
from dicom_node.tables import instances, metadata, quarantine, studies
from dicom_node.tls import LiveContext
from dicom_node.witness import Witness, nobody

NO_WATERMARK = InboxRules(min_free_bytes=0, min_free_fraction=0.0)
"""Tests run on whatever disk there is."""
SMALL_LOG = LogRules(budget_bytes=32 << 20, first_segment_bytes=1 << 20, largest_segment_bytes=4 << 20, gap_s=0.01)
"""Segments of the receive log that are made in no time."""


def sqlite_engine(path: Path, *, busy_timeout_ms: int = 30_000, synchronous: str = "FULL") -> Engine:
    """An engine on one SQLite file, as the server makes it: BEGIN IMMEDIATE, WAL, FULL, foreign keys."""
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        pragmas = {"journal_mode": "WAL", "synchronous": synchronous, "foreign_keys": "ON"}
        for name, value in (pragmas | {"busy_timeout": str(busy_timeout_ms)}).items():
            connection.execute(f"PRAGMA {name}={value}")

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A running receiver and what it writes to."""

    receiver: Receiver
    engine: Engine
    spool: Spool
    ae_title: str

    @property
    def port(self) -> int:
        """TCP port on 127.0.0.1."""
        return self.receiver.port

    @property
    def tls_port(self) -> int:
        """TCP port on 127.0.0.1 that has TLS."""
        assert self.receiver.tls_port is not None
        return self.receiver.tls_port

    def rows(self, table: Any = instances) -> list[dict[str, Any]]:
        """All rows of a table, by its first column."""
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()]

    def files(self, top: str) -> list[str]:
        """Relative paths of the files below one of the spool's folders, once the receive log has made all of them."""
        wait_until(lambda: self.spool.log is None or self.spool.log.is_empty(), timeout_s=30, what="the log")
        return list(self.spool.files(top))

    def quarantined(self) -> list[dict[str, Any]]:
        """All rows of the quarantine."""
        return self.rows(quarantine)

    def studies(self) -> list[dict[str, Any]]:
        """All rows of the studies."""
        return self.rows(studies)

    def stored(self, sop_instance_uid: str) -> bytes:
        """The data set bytes on disk of the instance that has a row."""
        row = next(row for row in self.rows() if row["sop_instance_uid"] == sop_instance_uid)
        return data_set_bytes(self.spool.path(row["path"]))


@contextmanager
def running_node(
    folder: Path,
    *,
    tls: LiveContext | None = None,
    witness: Witness = nobody,
    synchronous: str = "FULL",
    **settings: Any,
) -> Iterator[Node]:
    """Start a receiver on a free port, and on one with TLS where a context is given; stopped with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    engine = sqlite_engine(folder / "node.sqlite", synchronous=synchronous)
    metadata.create_all(engine)
    spool = Spool(folder / "spool")
    values = {"host": LOOPBACK, "port": 0, "rules": NO_WATERMARK, "log_rules": SMALL_LOG, **settings}
    values.setdefault("tls_port", None if tls is None else 0)
    receiver = Receiver(ReceiverSettings(**values), engine, spool, tls=tls, witness=witness)
    receiver.start()
    try:
        if {"rules", "log_rules"}.isdisjoint(settings) and spool.log is not None:
            wait_until(spool.log.is_ready, timeout_s=30, what="the log", poll_s=0.002)
        yield Node(receiver=receiver, engine=engine, spool=spool, ae_title=values.get("ae_title", "SPINEAI"))
    finally:
        receiver.stop(grace_s=5.0)
        engine.dispose()


def serve_for_ever(folder: Path, port: int) -> None:
    """A receiver until it is killed: the target of a process of its own."""
    with running_node(folder, port=port):
        threading.Event().wait()


def serve_unsynced(folder: Path, port: int) -> None:
    """A receiver that acknowledges what no disk has: what a test of durability must notice."""
    os.fsync = os.fdatasync = lambda _: None
    with running_node(folder, port=port, synchronous="OFF"):
        threading.Event().wait()


def data_set_bytes(path: Path) -> bytes:
    """The bytes of a DICOM file behind its file meta group, as they stand there."""
    length = int(read_file_meta_info(path).FileMetaInformationGroupLength)
    return path.read_bytes()[132 + 12 + length :]


@contextmanager
def association(
    port: int, contexts: Sequence[tuple[str, str]], *, called: str = "SPINEAI", calling: str = "PYNETDICOM"
) -> Iterator[Association]:
    """A pynetdicom association with one presentation context for each SOP class and transfer syntax; then released."""
    entity = AE(ae_title=calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
    wanted = [build_context(sop_class, transfer_syntax) for sop_class, transfer_syntax in contexts]
    peer = entity.associate(LOOPBACK, port, contexts=wanted, ae_title=called)
    assert peer.is_established, "the association was not accepted"
    try:
        yield peer
    finally:
        if peer.is_established:
            peer.release()


def store_bytes(peer: Association, data_set: bytes, *, sop_class: str, sop_instance: str, syntax: str) -> Dataset:
    """Send raw data set bytes by C-STORE on a pynetdicom association; the status data set of the response."""
    context = next(
        context
        for context in peer.accepted_contexts
        if (context.abstract_syntax, context.transfer_syntax[0]) == (sop_class, syntax)
    )
    return store_on_context(
        peer, data_set, sop_class=sop_class, sop_instance=sop_instance, context_id=int(context.context_id or 0)
    )


def store_on_context(
    peer: Association, data_set: bytes, *, sop_class: str, sop_instance: str, context_id: int
) -> Dataset:
    """Send raw bytes on a given presentation context, whether it fits or not."""
    request = C_STORE()
    request.MessageID = 1
    request.AffectedSOPClassUID = UID(sop_class)
    request.AffectedSOPInstanceUID = UID(sop_instance)
    request.Priority = 0x0000
    request.DataSet = BytesIO(data_set)
    peer._reactor_checkpoint.clear()
    while not peer._is_paused:
        continue
    peer.dimse.send_msg(request, context_id)
    _, response = peer.dimse.get_msg(block=True)
    peer._reactor_checkpoint.set()
    status = Dataset()
    if response is not None:
        status.Status = response.Status
        status.ErrorComment = response.ErrorComment
    return status


def store_file(peer: Association, path: Path) -> Dataset:
    """Send a DICOM file's data set bytes exactly as they are; the status data set of the response."""
    meta = read_file_meta_info(path)
    return store_bytes(
        peer,
        data_set_bytes(path),
        sop_class=meta.MediaStorageSOPClassUID,
        sop_instance=meta.MediaStorageSOPInstanceUID,
        syntax=meta.TransferSyntaxUID,
    )


def association_request(
    sop_class: str,
    transfer_syntax: str,
    *,
    called: str = "SPINEAI",
    calling: str = "RAW",
    max_pdu: int = 16384,
    user: UserIdentityNegotiation | None = None,
) -> bytes:
    """The bytes of an A-ASSOCIATE-RQ with one presentation context, ID 1."""
    return association_request_of(
        [build_context(sop_class, transfer_syntax)], called=called, calling=calling, max_pdu=max_pdu, user=user
    )


def association_request_of(
    contexts: Sequence[PresentationContext],
    *,
    called: str = "SPINEAI",
    calling: str = "RAW",
    max_pdu: int = 16384,
    user: UserIdentityNegotiation | None = None,
) -> bytes:
    """The bytes of an A-ASSOCIATE-RQ with these presentation contexts, which get the IDs 1, 3, 5..."""
    length = MaximumLengthNotification()
    length.maximum_length_received = max_pdu
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = UID("1.2.3.4")
    for index, context in enumerate(contexts):
        context.context_id = 2 * index + 1
    request = A_ASSOCIATE()
    request.application_context_name = UID("1.2.840.10008.3.1.1.1")
    request.called_ae_title, request.calling_ae_title = called, calling
    request.presentation_context_definition_list = list(contexts)
    request.user_information = [length, implementation, *([user] if user else [])]
    unit = A_ASSOCIATE_RQ()
    unit.from_primitive(request)
    return unit.encode()


class RawPeer:
    """A sender on a plain socket, for bytes that no library would send."""

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        """Connect, and shake hands where a context is given."""
        self.socket = socket.create_connection((LOOPBACK, port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname=LOOPBACK)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.socket.sendall(data)

    def read_pdu(self) -> tuple[int, bytes] | None:
        """The next unit's type and body; None when the server has closed."""
        header = self._exactly(6)
        if header is None:
            return None
        kind, length = struct.unpack(">BxI", header)
        return kind, self._exactly(length) or b""

    def associate(self, sop_class: str, transfer_syntax: str, **keywords: Any) -> None:
        """Be accepted."""
        self.send(association_request(sop_class, transfer_syntax, **keywords))
        answer = self.read_pdu()
        assert answer is not None
        assert answer[0] == 2, f"not accepted: {answer}"

    def _exactly(self, count: int) -> bytes | None:
        data = b""
        while len(data) < count:
            try:
                more = self.socket.recv(count - len(data))
            except ConnectionResetError:
                return None
            if not more:
                return None
            data += more
        return data


def pdata(*values: tuple[int, int, bytes]) -> bytes:
    """A P-DATA-TF of presentation data values: context ID, message control header, bytes."""
    body = b"".join(struct.pack(">IBB", len(data) + 2, context, control) + data for context, control, data in values)
    return struct.pack(">BxI", 4, len(body)) + body


def store_command(
    sop_class: str, sop_instance: str, *, message_id: int = 7, data_set_type: int = 0x0001, field: int = 0x0001
) -> bytes:
    """An encoded C-STORE-RQ command set, implicit VR little endian."""

    def element(number: int, value: bytes) -> bytes:
        return struct.pack("<HHI", 0, number, len(value)) + value

    def uid(value: str) -> bytes:
        return value.encode() + b"\0" * (len(value) % 2)

    body = (
        element(0x0002, uid(sop_class))
        + element(0x0100, struct.pack("<H", field))
        + element(0x0110, struct.pack("<H", message_id))
        + element(0x0700, struct.pack("<H", 0))
        + element(0x0800, struct.pack("<H", data_set_type))
        + element(0x1000, uid(sop_instance))
    )
    return element(0x0000, struct.pack("<I", len(body))) + body
