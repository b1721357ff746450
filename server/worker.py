"""``spine-node work``: one inference slot: the durable engine, the lease, and the child that computes."""

from __future__ import annotations

import os
import sys
from typing import TypeAlias

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer

from server.activity import record_activity
from server.attachment_work import AttachmentSteps
from server.auth.audit.record import AuditKind
from server.claim_destinations import claim_destinations
from server.commitment_work import CommitmentSteps
from server.commitments import Commitments
from server.compose import Node, back_off, open_node, uploader
from server.database import dbos_url
from server.delivery_work import DeliverySteps
from server.events import configure, event
from server.inference_server import REMOTE
from server.kernel import Kernel
from server.lease import Lease, Slot, first_free_slot
from server.outbound import commitment_peers, committing_destinations, destinations
from server.processes import Presence, Role
from server.retention import RetentionWatch
from server.review_work import ReviewSteps
from server.settings import Settings
from server.signals import StopSignal
from server.study_kernel import ReaderFactory
from server.study_work import StudySteps
from server.sweep import Sweep
from server.work_queue import (
    APPLICATION,
    COMMITMENT_KIND,
    DELIVERY_KIND,
    READ_QUEUES,
    STUDY_KIND,
    VERSION,
    disable_pickle,
    make_client,
    queues_of,
)
from server.workflow import register

DELIVERIES_AT_ONCE = 4
ENGINES_BY_NAME = frozenset({"openvino", REMOTE})
"""Values of ``inference_engine`` that are refused where they cannot be used."""
LOST_EXIT_CODE = 70
"""Exit code of a worker that was declared dead and cannot begin anew (sysexits.h EX_SOFTWARE)."""


def run(settings: Settings) -> None:
    """Work until told to stop. Does not return: running steps must not outlive the engine (workflow.md 5).

    Raises:
        UsageRefusal: every slot of this data folder is taken.
        SettingRefusal: the engine that the settings name cannot be used on this machine, or a claim destination may
            not be used.
    """
    configure(settings.log_level)
    _check_engine(settings)
    payers = claim_destinations(settings)
    stop = StopSignal()
    node = open_node(settings)
    slot = first_free_slot(settings.data_dir / "run")
    client = make_client(node.engine)
    sweep = Sweep(node.engine, client)
    kernel = Kernel(ReaderFactory(settings), timeout=settings.study_timeout)
    kernel.start()
    lease = Lease(
        node.engine,
        slot,
        ttl=settings.lease_ttl,
        beat=settings.lease_beat,
        on_lost=lambda: _begin_anew(kernel),
        after_beat=sweep,
    )
    presence = Presence(node.engine, Role.WORK, slot=slot.number, counters=lease.counters)
    targets = destinations(settings)
    steps = (
        StudySteps(
            engine=node.engine,
            client=client,
            kernel=kernel,
            destinations=tuple(targets),
            attempts=settings.study_attempts,
            tenure=lease,
            kept_roles=settings.kept_roles(),
            report_fault=presence.report_fault,
        ),
        DeliverySteps(
            engine=node.engine,
            client=client,
            spool=node.spool,
            destinations=targets,
            back_off=back_off(settings),
            tenure=lease,
            asked=frozenset(settings.commitment_destinations),
        ),
        ReviewSteps(node=node, client=client, destinations=tuple(targets), tenure=lease),
        AttachmentSteps(node=node, client=client, destinations=payers, tenure=lease),
        CommitmentSteps(
            commitments=Commitments(engine=node.engine, spool=node.spool, client=client, back_off=back_off(settings)),
            destinations=committing_destinations(settings),
            peers=commitment_peers(settings),
            wait_s=settings.commitment_wait,
            tenure=lease,
        ),
    )
    _launch(node, slot, steps)
    lease.start()
    if slot.number == 0:
        RetentionWatch(node).start()
    uploads = uploader(node)
    if uploads is not None:
        uploads.start()
    presence.start()
    record_activity(node.engine, AuditKind.NODE_STARTED, Role.WORK)
    event("worker_started", executor_id=slot.executor_id)
    stop.wait()
    DBOS.destroy(workflow_completion_timeout_sec=int(settings.stop_grace))
    kernel.stop()
    lease.stop()
    record_activity(node.engine, AuditKind.NODE_STOPPED, Role.WORK)
    presence.stop()
    event("worker_stopped", executor_id=slot.executor_id)
    os._exit(0)


def _check_engine(settings: Settings) -> None:
    if settings.inference_engine in ENGINES_BY_NAME:
        from server.detectors import check_engine  # noqa: PLC0415 - loads the runtimes, which only the child needs

        check_engine(settings)


def _begin_anew(kernel: Kernel) -> None:
    """Become a fresh worker in this very process: whatever thread still holds old work, or a socket, ends with it."""
    try:
        kernel.stop()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - ourselves, as we were started
    finally:
        os._exit(LOST_EXIT_CODE)  # the program is not where it was: whoever supervises us starts what is there now


Steps: TypeAlias = tuple[StudySteps, DeliverySteps, ReviewSteps, AttachmentSteps, CommitmentSteps]


def _launch(node: Node, slot: Slot, steps: Steps) -> None:
    disable_pickle()
    config = DBOSConfig(
        name=APPLICATION,
        system_database_url=dbos_url(node.engine),
        application_version=VERSION,
        executor_id=slot.executor_id,
        serializer=DBOSPortableJSONSerializer(),
        log_level="WARNING",
        run_migrations=False,
    )
    DBOS(config=config)
    DBOS.listen_queues(sorted(READ_QUEUES))
    register(*steps)
    DBOS.launch()
    interval = node.settings.poll_interval
    # Registered alike by every worker: the queue's rules are rows that all of them read again at each look.
    sending = ((DELIVERY_KIND, DELIVERIES_AT_ONCE), (COMMITMENT_KIND, DELIVERIES_AT_ONCE))
    for kind, at_once in ((STUDY_KIND, 1), *sending):
        for name in queues_of(kind):
            DBOS.register_queue(
                name, worker_concurrency=at_once, polling_interval_sec=interval, on_conflict="always_update"
            )
