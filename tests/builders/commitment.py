"""A node that serves Storage Commitment, and a modality that asks it, by pynetdicom."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE, build_context, evt
from pynetdicom.sop_class import StorageCommitmentPushModel
from sqlalchemy import select

from builders.peers import LOOPBACK, free_tcp_port, wait_until
from dicom_node.commitment import (
    CommitmentReport,
    CommitmentRequest,
    Item,
    encode_dataset,
    read_report,
    request_dataset,
)
from dicom_node.delivery import BackOff
from dicom_node.scp import Receiver
from dicom_node.storage_classes import COMMITMENT_SOP_INSTANCE_UID
from server.commitments import Commitments
from server.compose import Node, receiver_settings
from server.work_queue import make_client

TRANSACTION = "2.25.1234567"
ELSEWHERE = Item(MRImageStorage, "2.25.999")
"""An instance that the node has not got."""


@contextmanager
def receiving(node: Node) -> Iterator[tuple[Receiver, Commitments]]:
    """A receiver that serves Storage Commitment on the node's database and queue."""
    back_off = BackOff(first_s=0.01, longest_s=0.1, attempts=4)
    commitments = Commitments(engine=node.engine, spool=node.spool, client=make_client(node.engine), back_off=back_off)
    receiver = Receiver(receiver_settings(node.settings), node.engine, node.spool, commitment=commitments)
    receiver.start()
    try:
        yield receiver, commitments
    finally:
        receiver.stop(5.0)


def rows(node: Node, table: Any) -> list[Any]:
    """All rows of a table, by id."""
    with node.engine.connect() as connection:
        return list(connection.execute(select(table).order_by(table.c.id)))


class Modality:
    """Asks by pynetdicom, and takes reports on the association of its request or as a listener."""

    def __init__(self) -> None:
        """Ask nothing yet."""
        self.reports: list[tuple[int, CommitmentReport]] = []
        self.port = free_tcp_port()

    def took(self, event: Any) -> tuple[int, None]:
        """Keep a report, read from bytes."""
        dataset = event.event_information
        encoded = encode_dataset(dataset, ExplicitVRLittleEndian)
        self.reports.append((event.event_type, read_report(encoded, ExplicitVRLittleEndian)))
        return 0x0000, None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take reports on the port, too."""
        entity = AE(ae_title="MODALITY")
        entity.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        server = entity.start_server(
            (LOOPBACK, self.port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, self.took)]
        )
        try:
            yield
        finally:
            server.shutdown()

    def ask(self, port: int, *items: Item, transaction: str = TRANSACTION, stays: bool = True, action: int = 1) -> int:
        """The status of the response; `stays`: the association is kept until the report is there."""
        entity = AE(ae_title="MODALITY")
        peer = entity.associate(
            LOOPBACK,
            port,
            contexts=[build_context(StorageCommitmentPushModel, ImplicitVRLittleEndian)],
            ae_title="SPINEAI",
            evt_handlers=[(evt.EVT_N_EVENT_REPORT, self.took)],
        )
        assert peer.is_established
        dataset = request_dataset(CommitmentRequest(transaction_uid=transaction, items=items))
        answer, _ = peer.send_n_action(dataset, action, StorageCommitmentPushModel, COMMITMENT_SOP_INSTANCE_UID)
        before = len(self.reports)
        if stays and answer.Status == 0:
            wait_until(lambda: len(self.reports) > before, timeout_s=10, what="the report")
            time.sleep(0.1)
        peer.release()
        return int(answer.Status)
