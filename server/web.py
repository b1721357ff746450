"""``spine-node web``: answers HTTP, or HTTPS where a certificate is set."""

from __future__ import annotations

import socket
import threading
import time
import warnings

import pydicom.config
import uvicorn
from fastapi import FastAPI
from sqlalchemy.exc import SQLAlchemyError

from dicom_node.object_store import ObjectStoreFailure
from dicom_node.recovery import recover
from dicom_node.tls import LiveContext, TlsFiles, service_context
from inference.errors import SettingRefusal
from server.activity import record_activity
from server.audit_shipping import AuditShipping
from server.auth.audit.record import AuditKind
from server.claims.evaluation import tables_of
from server.claims.notices import webhook_of
from server.claims.watch import ClaimWatch
from server.compose import Node, open_node, uploader
from server.events import configure, event, fault
from server.hl7.listener import Listener
from server.http.app import create
from server.http.wire import BoundedProtocol
from server.indexing import Indexer
from server.processes import Presence, Role
from server.settings import Settings
from server.signals import StopSignal
from server.trust_watch import TrustWatch


def run(settings: Settings) -> None:
    """Serve until told to stop.

    Raises:
        SettingRefusal: the port is taken, the address is not ours, or the certificate or the webhook cannot be used.
        CriteriaRefusal: a criteria table of the site is at fault.
    """
    configure(settings.log_level)
    tls = http_tls(settings)
    warnings.simplefilter("ignore")  # pydicom's warnings quote values, which may identify a patient
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE  # what was received is served as it is
    stop = StopSignal()
    node = open_node(settings)
    webhook, _ = webhook_of(settings), tables_of(node)
    node.spool.sweep()
    feed = Listener(node) if settings.hl7_port else None
    listener = _listen(settings)
    port = int(listener.getsockname()[1])
    application = create(node)
    server = uvicorn.Server(
        server_config(application, settings, tls)
    )  # outside the main thread it leaves the signals alone
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="http", daemon=True)
    thread.start()
    trust = _trust(settings, tls, None if feed is None else feed.tls)
    counters = application.state.dicomweb.door.metrics.snapshot
    presence = Presence(node.engine, Role.WEB, port=port, counters=counters, health=trust)
    presence.start()
    record_activity(node.engine, AuditKind.NODE_STARTED, Role.WEB)
    shipping = AuditShipping(node)
    shipping.start()
    indexer = Indexer(application.state.dicomweb.index, application.state.worklist)
    indexer.start()
    watch = ClaimWatch(node, application.state.dicomweb.index, webhook)
    watch.start()
    uploads = uploader(node)
    for one in (feed, uploads):
        if one is not None:
            one.start()
    if node.spool.objects is not None:
        threading.Thread(target=_recover, args=(node, stop), name="recovery", daemon=True).start()
    event("web_started", port=port)
    stop.wait()
    for one in (feed, uploads):
        if one is not None:
            one.stop()
    watch.stop()
    indexer.stop()
    server.should_exit = True
    thread.join(timeout=settings.stop_grace)
    application.state.dicomweb.door.close()
    application.state.packets.stop()
    record_activity(node.engine, AuditKind.NODE_STOPPED, Role.WEB)
    shipping.stop()
    presence.stop()
    event("web_stopped", port=port)


def server_config(application: FastAPI, settings: Settings, tls: LiveContext | None) -> uvicorn.Config:
    """How uvicorn serves the application: quiet, over TLS where it is set, and believing the trusted proxies only."""
    proxies = list(settings.http_trusted_proxies)
    return uvicorn.Config(
        application,
        http=BoundedProtocol,
        loop="uvloop",
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        ws="none",
        proxy_headers=bool(proxies),  # uvicorn's default believes whatever runs on this machine
        forwarded_allow_ips=proxies,
        ssl_context_factory=None if tls is None else lambda _config, _default: tls.front(),
    )


def _recover(node: Node, stop: StopSignal) -> None:
    """Give its rows to what STOW-RS had put on this host's disk when the role was killed.

    Where hosts share no folder, a receiver elsewhere does not see it; one on this host does the same beside this.
    """
    try:
        recover(node.engine, node.spool, clock=time.time, should_stop=stop.is_set)
    except (SQLAlchemyError, OSError, ObjectStoreFailure) as error:
        fault("recovery_failed", error)  # the next start tries again


def http_tls(settings: Settings) -> LiveContext | None:
    """The certificate that browsers see; None where HTTP speaks no TLS.

    Raises:
        SettingRefusal: it cannot be used; uvicorn would end with a traceback, or stop and ask for a passphrase.
    """
    if settings.http_tls_certificate is None:
        return None
    return LiveContext(TlsFiles(certificate=settings.http_tls_certificate, key=settings.http_tls_key), service_context)


def _trust(settings: Settings, http: LiveContext | None, feed: LiveContext | None) -> TrustWatch:
    found = {use: live for use, live in (("http", http), ("hl7", feed)) if live is not None}
    return TrustWatch(
        files={use: live.files for use, live in found.items()},
        warning_days=settings.tls_warning_days,
        live={f"{use}_tls_files_unusable": live for use, live in found.items()},
    )


def _listen(settings: Settings) -> socket.socket:
    try:
        listener = socket.create_server((settings.http_host, settings.http_port))
    except OSError as error:
        raise SettingRefusal(
            f"HTTP cannot listen on {settings.http_host}:{settings.http_port}: {error.strerror}."
        ) from error
    # asyncio does this only for sockets that name their protocol; without it the end of each answer waits 40 ms
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
