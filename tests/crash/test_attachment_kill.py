"""kill -9 of the worker around the answer of a payer: each attachment is with the payer once, and we know it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from builders.claim_attachments import attachment, report
from builders.claim_submission import submission
from builders.payer import Payer, acknowledge, destinations_file, payer, say, stay_silent, x12_table
from builders.peers import LOOPBACK, wait_until
from builders.roles import Role
from server.attachments import attachments_of, queue_attachment
from server.compose import Node, open_node
from server.settings import Settings
from server.work_queue import make_client

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
WITHIN_S = 240.0


def killing(worker: Role, killed: threading.Event, before: Callable[..., None] | None) -> Callable[..., None]:
    """An answer in whose moment the worker dies: after it was given, or without one."""

    def answer(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        if before is not None:
            before(handler, body)
        worker.kill()
        killed.set()

    return answer


def accepted_once(made: Payer, node: Node, count: int) -> None:
    """Every attachment is one submission for the payer, whose every copy has the same bytes."""
    assert len(made.accepted) == count
    assert len(set(made.bodies)) == count
    assert {status.state for status in attachments_of(node.engine, "CLAIM-42")} == {"acknowledged"}


def test_each_attachment_is_with_the_payer_once(tmp_path: Path) -> None:
    with payer(tmp_path) as listening:
        file = destinations_file(tmp_path, acme=x12_table(listening))
        options: dict[str, object] = {
            "data-dir": tmp_path / "data",
            "dicom-host": LOOPBACK,
            "claim-destinations-file": file,
            "delivery-backoff": 1,
            "delivery-backoff-max": 2,
            "delivery-timeout": 2,
            "threads": 1,
        }
        worker, killed = Role("work", options, tmp_path / "work.log"), threading.Event()
        node = open_node(Settings(data_dir=tmp_path / "data", claim_destinations_file=file))
        client = make_client(node.engine)
        listening.answers = [
            killing(worker, killed, None),
            killing(worker, killed, acknowledge),
            stay_silent(4.0),
            say(503),
        ]
        worker.start()
        try:
            queue_attachment(node, client, submission())
            for _ in range(2):
                wait_until(killed.is_set, timeout_s=WITHIN_S, what="the worker to be killed", poll_s=0.2)
                killed.clear()
                worker.start()
            second = attachment(control_number="SECOND-1", documents=(report(b"%PDF-second"),))
            queue_attachment(node, client, submission(attachment=second))
            wait_until(lambda: _is_settled(node), timeout_s=WITHIN_S, what="both acknowledged", poll_s=0.5)
        finally:
            worker.kill()
        assert len(listening.bodies) >= 5, "killed twice, silent, failed, and acknowledged"
        accepted_once(listening, node, 2)


def _is_settled(node: Node) -> bool:
    return {status.state for status in attachments_of(node.engine, "CLAIM-42")} == {"acknowledged"}
