"""A thread that sends the audit trail to the site's audit record repository, in order, until every row is there."""

from __future__ import annotations

import os
import socket
import threading
import time

from dicom_node.tls import client_context
from inference.errors import PeerFailure, SettingRefusal
from server.auth.audit.shipment import hold, note_fault, note_sent
from server.auth.audit.syslog import encode, send
from server.auth.audit.trail import entries_after
from server.compose import Node
from server.database import reading
from server.dicom_trust import repository_address, tls_files
from server.events import event, fault

LOOK_S = 2.0
LONGEST_WAIT_S = 60.0
BATCH = 200
"""Rows on one connection: about 200 KiB."""
HOLD_S = 120.0
"""For so long no other process sends; longer than a batch may take."""
TIMEOUT_S = 20.0


class AuditShipping:
    """Sends what is new; one process of the node at a time."""

    def __init__(self, node: Node) -> None:
        """Nothing runs before ``start``."""
        self._node = node
        self._repository = node.settings.audit_repository
        self._holder = f"{socket.gethostname()}:{os.getpid()}"
        self._stopping = threading.Event()
        self._has_failed = False
        self._thread = threading.Thread(target=self._run, name="audit-shipping", daemon=True)

    def start(self) -> None:
        """Begin, where a repository is set."""
        if self._repository:
            self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def ship(self) -> int:
        """Send one batch; returns how many rows the repository has taken.

        Raises:
            PeerFailure: it did not take them.
        """
        now = time.time()
        with self._node.engine.begin() as connection:
            last = hold(connection, self._repository, self._holder, now=now, until=now + HOLD_S)
        if last is None:
            return 0
        with reading(self._node.engine) as connection:
            rows = entries_after(connection, last, limit=BATCH)
        if not rows:
            return 0
        source, host = self._node.settings.ae_title, socket.gethostname()
        messages = [encode(row, source=source, host=host) for row in rows]
        try:
            context = client_context(tls_files(self._node.settings))
            send(messages, repository_address(self._repository), context, timeout_s=TIMEOUT_S)
        except (PeerFailure, SettingRefusal) as error:
            with self._node.engine.begin() as connection:
                note_fault(connection, self._repository, str(error), now=time.time())
            raise PeerFailure(str(error)) from error
        with self._node.engine.begin() as connection:
            note_sent(connection, self._repository, rows[-1].number, now=time.time())
        return len(rows)

    def _run(self) -> None:
        wait = LOOK_S
        while not self._stopping.wait(wait):
            try:
                count = self.ship()
            except PeerFailure as failure:
                if not self._has_failed:  # said once; readiness goes on saying it
                    fault("audit_repository_fault", reason=str(failure))
                self._has_failed, wait = True, min(wait * 2, LONGEST_WAIT_S)
            except Exception as error:  # noqa: BLE001 - a boundary: a lost database must not end the thread
                fault("audit_shipping_fault", error)
                wait = min(wait * 2, LONGEST_WAIT_S)
            else:
                if count and self._has_failed:
                    event("audit_repository_takes_records", count=count)
                self._has_failed = self._has_failed and not count
                wait = 0.0 if count == BATCH else LOOK_S
