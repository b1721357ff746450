"""``spine-node receive``: takes instances in, hands complete studies over; loads no model, decodes no pixel."""

from __future__ import annotations

from dicom_node.assembly import Assembler
from dicom_node.commitment_scp import CommitmentService, LateCommitments
from dicom_node.scp import Receiver
from inference.errors import SettingRefusal
from server.activity import record_activity
from server.auth.audit.record import AuditKind
from server.compose import Node, assembly_rules, back_off, open_node, receiver_settings, uploader
from server.dicom_audit import DicomAudit
from server.dicom_trust import live_context, live_peers, tls_files
from server.events import configure, event
from server.lease import first_free_slot
from server.processes import Presence, Role
from server.settings import Settings
from server.signals import StopSignal
from server.trust_watch import TrustWatch


def run(settings: Settings) -> None:
    """Receive until told to stop.

    Raises:
        SettingRefusal: the port is taken, or the address is not ours.
        UsageRefusal: too many receivers of this data folder run already.
    """
    configure(settings.log_level)
    stop = StopSignal()
    node = open_node(settings)
    slot = first_free_slot(settings.data_dir / "run", "receiver")
    tls, peers, audit = live_context(settings), live_peers(settings), DicomAudit(node.engine)
    commitment = LateCommitments(lambda: _commitments(node))
    rules = receiver_settings(settings, peers.current)
    receiver = Receiver(rules, node.engine, node.spool, tls=tls, witness=audit, commitment=commitment)
    try:
        receiver.start()
    except OSError as error:
        raise SettingRefusal(
            f"DICOM cannot listen on {settings.dicom_host}:{settings.dicom_port}"
            f"{f' and {settings.dicom_tls_port}' if tls else ''}: {error.strerror}."
        ) from error
    audit.start()
    assembler = _assembler(node, receiver)
    while not (receiver.is_replayed.wait(0.1) or stop.is_set()):
        continue
    assembler.start()
    uploads = uploader(node)
    if uploads is not None:
        uploads.start()
    watch = TrustWatch(
        files={"dicom": tls_files(settings)},
        warning_days=settings.tls_warning_days,
        live={"dicom_peers_unusable": peers} | ({} if tls is None else {"tls_files_unusable": tls}),
    )
    presence = Presence(
        node.engine,
        Role.RECEIVE,
        slot=slot.number,
        port=receiver.port,
        counters=receiver.metrics.snapshot,
        health=watch,
    )
    presence.start()
    record_activity(node.engine, AuditKind.NODE_STARTED, Role.RECEIVE)
    event("receiver_started", port=receiver.port)
    stop.wait()
    receiver.stop()
    if uploads is not None:
        uploads.stop()
    assembler.stop()
    audit.stop()
    record_activity(node.engine, AuditKind.NODE_STOPPED, Role.RECEIVE)
    presence.stop()


def _commitments(node: Node) -> CommitmentService:
    from server.commitments import Commitments  # noqa: PLC0415
    from server.work_queue import make_client  # noqa: PLC0415

    client = make_client(node.engine)
    return Commitments(engine=node.engine, spool=node.spool, client=client, back_off=back_off(node.settings))


def _assembler(node: Node, receiver: Receiver) -> Assembler:
    # The work queue's client, and the network client for C-FIND, load while the receiver listens already.
    from server.operations import HandOver  # noqa: PLC0415
    from server.work_queue import make_client  # noqa: PLC0415

    expected_count = None
    if node.settings.query_peers:
        from server import outbound  # noqa: PLC0415

        expected_count = outbound.expected_count(node.settings)
    return Assembler(
        node.engine,
        node.spool,
        assembly_rules(node.settings),
        HandOver(make_client(node.engine)),
        expected_count,
        arriving=receiver.arriving_studies,
    )
