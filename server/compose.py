"""The composition root: the one place where settings become objects, and where the packages meet."""

from __future__ import annotations

import os
from dataclasses import dataclass

from sqlalchemy import Engine

from dicom_node.admission import PeerRules
from dicom_node.assembly import AssemblyRules
from dicom_node.delivery import BackOff
from dicom_node.inbox import InboxRules
from dicom_node.limits import PeerLimits
from dicom_node.receive_log import LogRules
from dicom_node.scp import ReceiverSettings
from dicom_node.spool import Spool
from dicom_node.uploads import Uploader
from server import database
from server.dicom_trust import live_peers, user_check
from server.object_store import object_store
from server.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What every role needs."""

    settings: Settings
    engine: Engine
    spool: Spool


def open_node(settings: Settings) -> Node:
    """Connect, and bring the database up to date.

    Raises:
        StorageFailure: the database cannot be prepared.
    """
    engine = database.make_engine(settings.resolved_database_url())
    database.prepare(engine)
    return Node(settings=settings, engine=engine, spool=open_spool(settings))


def open_spool(settings: Settings) -> Spool:
    """Where files are: in the data folder, and in the object store where hosts share one.

    Raises:
        SettingRefusal: the object store's client is not installed, or a file of its settings cannot be used.
    """
    return Spool(settings.data_dir, object_store(settings))


def uploader(node: Node) -> Uploader | None:
    """What puts received instances into the object store; None where hosts share none."""
    if node.spool.objects is None:
        return None
    return Uploader(node.engine, node.spool, cache_bytes=int(node.settings.object_cache_gib * 1024**3))


def receiver_settings(settings: Settings, peers: PeerRules | None = None) -> ReceiverSettings:
    """How the receiver listens, and to whom: where nothing is given, to those of the file of peers.

    Raises:
        SettingRefusal: the file of peers or of users cannot be used.
    """
    return ReceiverSettings(
        ae_title=settings.ae_title,
        host=settings.dicom_host,
        port=settings.dicom_port,
        calling_ae_titles=frozenset(settings.allowed_calling_ae_titles),
        max_associations=settings.dicom_max_associations,
        limits=peer_limits(settings),
        rules=inbox_rules(settings),
        log_rules=LogRules(budget_bytes=settings.receive_log_mib << 20),
        shares_port=settings.receivers > 1,
        peers=peers or live_peers(settings).current,
        check_user=user_check(settings),
        tls_port=settings.dicom_tls_port,
        is_plain_local=settings.dicom_tls_required,
    )


def peer_limits(settings: Settings) -> PeerLimits:
    """What each sender may take of the receiver."""
    return PeerLimits(
        associations_per_address=settings.dicom_max_per_address,
        associations_per_ae_title=settings.dicom_max_per_ae_title,
        bytes_per_second=settings.dicom_mib_per_second * 1024**2,
        bytes_per_day=int(settings.dicom_gib_per_day * 1024**3),
        least_bytes_per_second=settings.dicom_least_bytes_per_second,
    )


def inbox_rules(settings: Settings) -> InboxRules:
    """What is taken in, by C-STORE and by STOW-RS."""
    return InboxRules(
        min_free_bytes=int(settings.disk_reserve_gib * 1024**3),
        min_free_fraction=settings.disk_reserve_percent / 100,
        max_instance_bytes=int(settings.instance_max_gib * 1024**3),
    )


def assembly_rules(settings: Settings) -> AssemblyRules:
    """When a study is complete."""
    return AssemblyRules(
        quiet_period_s=settings.quiet_period,
        expected_wait_s=settings.expected_wait,
        ask_after_s=min(2.0, settings.quiet_period),
    )


def back_off(settings: Settings) -> BackOff:
    """When a delivery is tried again."""
    return BackOff(
        first_s=settings.delivery_backoff,
        longest_s=settings.delivery_backoff_max,
        attempts=settings.delivery_attempts,
    )


def threads_per_worker(settings: Settings) -> int:
    """CPU threads of one worker."""
    return settings.threads or max(1, (os.cpu_count() or 1) // settings.workers)
