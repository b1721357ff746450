"""``spine-node work``: one inference slot: the durable engine, the lease, and the child that computes."""

from __future__ import annotations

import os

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer

from server.attachment_work import AttachmentSteps
from server.claim_destinations import claim_destinations
from server.compose import Node, back_off, open_node
from server.database import dbos_url
from server.delivery_work import DeliverySteps
from server.events import configure, event
from server.kernel import Kernel
from server.lease import LOST_EXIT_CODE, Lease, Slot, first_free_slot
from server.outbound import destinations
from server.processes import Presence, Role
from server.review_work import ReviewSteps
from server.settings import Settings
from server.signals import StopSignal
from server.study_kernel import ReaderFactory, check_engine
from server.study_work import StudySteps
from server.sweep import Sweep
from server.work_queue import APPLICATION, DELIVERY_QUEUE, STUDY_QUEUE, VERSION, disable_pickle, make_client
from server.workflow import register

DELIVERIES_AT_ONCE = 4


def run(settings: Settings) -> None:
    """Work until told to stop. Does not return: running steps must not outlive the engine (workflow.md 5).

    Raises:
        UsageRefusal: every slot of this data folder is taken.
        SettingRefusal: the engine that the settings name cannot be used on this machine, or a claim destination may
            not be used.
    """
    configure(settings.log_level)
    check_engine(settings)
    payers = claim_destinations(settings)
    stop = StopSignal()
    node = open_node(settings)
    slot = first_free_slot(settings.data_dir / "run")
    client = make_client(node.engine)
    sweep = Sweep(node.engine, client)
    lease = Lease(node.engine, slot, ttl=settings.lease_ttl, beat=settings.lease_beat, after_beat=sweep)
    kernel = Kernel(ReaderFactory(settings), timeout=settings.study_timeout)
    kernel.start()

    def leave_if_lost() -> None:
        if not lease.held():
            os._exit(LOST_EXIT_CODE)

    targets = destinations(settings)
    steps = (
        StudySteps(
            engine=node.engine,
            client=client,
            kernel=kernel,
            destinations=tuple(targets),
            attempts=settings.study_attempts,
            leave_if_lost=leave_if_lost,
            kept_roles=settings.kept_roles(),
        ),
        DeliverySteps(
            engine=node.engine,
            client=client,
            spool=node.spool,
            destinations=targets,
            back_off=back_off(settings),
            leave_if_lost=leave_if_lost,
        ),
        ReviewSteps(node=node, client=client, destinations=tuple(targets), leave_if_lost=leave_if_lost),
        AttachmentSteps(node=node, client=client, destinations=payers, leave_if_lost=leave_if_lost),
    )
    _launch(node, slot, steps)
    lease.start()
    presence = Presence(node.engine, Role.WORK, slot=slot.number)
    presence.start()
    event("worker_started", executor_id=slot.executor_id)
    stop.wait()
    DBOS.destroy(workflow_completion_timeout_sec=int(settings.stop_grace))
    kernel.stop()
    lease.stop()
    presence.stop()
    event("worker_stopped", executor_id=slot.executor_id)
    os._exit(0)


def _launch(node: Node, slot: Slot, steps: tuple[StudySteps, DeliverySteps, ReviewSteps, AttachmentSteps]) -> None:
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
    DBOS.listen_queues([STUDY_QUEUE, DELIVERY_QUEUE])
    register(*steps)
    DBOS.launch()
    interval = node.settings.poll_interval
    # Registered alike by every worker: the queue's rules are rows that all of them read again at each look.
    DBOS.register_queue(STUDY_QUEUE, worker_concurrency=1, polling_interval_sec=interval, on_conflict="always_update")
    DBOS.register_queue(
        DELIVERY_QUEUE,
        worker_concurrency=DELIVERIES_AT_ONCE,
        polling_interval_sec=interval,
        on_conflict="always_update",
    )
