"""Notices of changed evidence, to a real receiver: what they hold, that they are signed, and that none is lost."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from sqlalchemy import select, update

from builders.posted_claims import claim_json
from inference.errors import SettingRefusal
from server.auth.roles import LOOPBACK
from server.claims.desk import hand_in
from server.claims.notices import SIGNATURE, NoticeState, send_notices, webhook_of
from server.compose import Node
from server.http.app import create
from server.settings import Settings
from server.tables import claim_notices


@dataclass
class Receiver:
    """Answers with the statuses that it is told, the last one for ever, and keeps what came."""

    statuses: list[int] = field(default_factory=lambda: [204])
    came: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    told = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.came.append((dict(self.headers), body))
            self.send_response(told.statuses.pop(0) if len(told.statuses) > 1 else told.statuses[0])
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_port}/notices"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield told
    server.shutdown()
    server.server_close()


@pytest.fixture
def telling(node: Node, receiver: Receiver, settings: Callable[..., Settings], tmp_path: Path) -> Node:
    """A node that tells the receiver, with a secret."""
    secret = tmp_path / "secret"
    secret.write_text("shared\n")
    made = settings(claim_webhook=receiver.url, claim_webhook_secret_file=secret)
    return Node(settings=made, engine=node.engine, spool=node.spool)


def claim(node: Node) -> str:
    application = create(node)
    made, _ = hand_in(node, application.state.dicomweb.index, json.dumps(claim_json("study")).encode(), "k", LOOPBACK)
    application.state.dicomweb.door.close()
    application.state.client.destroy()
    return made[0]


def states(node: Node) -> list[tuple[str, int]]:
    with node.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(select(claim_notices.c.state, claim_notices.c.attempts))]


def due_now(node: Node) -> None:
    with node.engine.begin() as connection:
        connection.execute(update(claim_notices).values(next_try_at=0.0))


def test_a_notice_is_signed_and_names_nobody(telling: Node, receiver: Receiver) -> None:
    made = claim(telling)
    hook = webhook_of(telling.settings)
    assert hook is not None
    assert [send_notices(telling, hook) for _ in range(2)] == [1, 0]

    ((headers, body),) = receiver.came
    assert headers[SIGNATURE] == "sha256=" + hmac.new(b"shared", body, hashlib.sha256).hexdigest()
    told = json.loads(body)
    assert (told["claim"], told["evaluation"], told["verdict"]) == (made, 1, "NO_EVIDENCE")
    for identity in ("TEST-", "Invented", "1960", "A-1001"):
        assert identity not in body.decode()
    assert states(telling) == [(NoticeState.SENT, 1)]


def test_a_receiver_that_fails_is_told_again_later(telling: Node, receiver: Receiver) -> None:
    receiver.statuses = [500, 302, 204]
    claim(telling)
    hook = webhook_of(telling.settings)
    assert hook is not None
    send_notices(telling, hook)
    assert send_notices(telling, hook) == 0  # not yet
    assert states(telling) == [(NoticeState.PENDING, 1)]
    for _ in range(2):
        due_now(telling)
        send_notices(telling, hook)
    assert states(telling) == [(NoticeState.SENT, 3)]
    assert len({body for _, body in receiver.came}) == 1


def test_one_that_was_paused_sends_nothing_that_another_may_have_taken(
    telling: Node, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim(telling)
    hook = webhook_of(telling.settings)
    assert hook is not None
    clock = iter([0.0, 30.0])
    monkeypatch.setattr("server.claims.notices.boot_clock", lambda: next(clock))

    assert send_notices(telling, hook) == 0

    assert receiver.came == []
    assert states(telling) == [(NoticeState.PENDING, 1)]


def test_several_processes_send_a_notice_once(telling: Node, receiver: Receiver) -> None:
    claim(telling)
    hook = webhook_of(telling.settings)
    assert hook is not None
    threads = [threading.Thread(target=send_notices, args=(telling, hook)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(receiver.came) == 1


def test_a_receiver_that_is_not_there_loses_nothing(telling: Node, settings: Callable[..., Settings]) -> None:
    claim(telling)
    gone = webhook_of(settings(claim_webhook="http://127.0.0.1:9/"))
    assert gone is not None
    assert send_notices(telling, gone) == 1
    assert states(telling) == [(NoticeState.PENDING, 1)]


@pytest.mark.parametrize("url", ["http://billing.example/x", "ftp://127.0.0.1/", "https://user:pw@host/", "nonsense"])
def test_an_address_that_is_not_safe_is_refused(settings: Callable[..., Settings], url: str) -> None:
    with pytest.raises(SettingRefusal, match="claim_webhook"):
        webhook_of(settings(claim_webhook=url))


def test_a_secret_that_cannot_be_read_is_refused(settings: Callable[..., Settings], tmp_path: Path) -> None:
    with pytest.raises(SettingRefusal, match="cannot be read"):
        webhook_of(settings(claim_webhook="https://h/", claim_webhook_secret_file=tmp_path / "none"))
