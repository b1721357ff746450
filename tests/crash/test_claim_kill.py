"""kill -9 of the web role while claims are handed in, judged, drawn and attached, and reports come by the feed.

Every client asks again until it was answered, as a billing system and a RIS do. Afterwards what was acknowledged is
there once, every chain is whole, and every packet that has a manifest is complete.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from builders.claim_office import PERSON, PLAN, STUDY, UID
from builders.payer import destinations_file, payer, x12_table
from builders.peers import LOOPBACK, free_tcp_port, wait_until
from builders.posted_claims import claim_json, patient_json
from builders.received_reports import Sender, answer_of, oru
from builders.reviews import add_reviewable_study
from builders.roles import Role
from inference.findings import StudyFindings
from server.attachment_rows import AttachmentState
from server.auth.audit.trail import verify
from server.claims.history import Action, actions_of, fault_of
from server.claims.packets import manifest_path
from server.claims.seals import seal_fault
from server.compose import Node, open_node
from server.database import reading
from server.settings import Settings
from server.tables import claim_attachments, claim_reports, claims, received_reports
from server.work_queue import make_client

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
MOMENTS_S = (0.2, 1.0, 4.0)
"""After the web role answers."""
PAUSE_S = 0.7
"""Between two things that one client asks: each report is put to each open claim of the patient."""
TRY_FOR_S = 600.0


class Client(threading.Thread):
    """Does one thing after the other, each until it was answered, until it is told to stop."""

    def __init__(self, one: Callable[[int], bool], stopping: threading.Event) -> None:
        super().__init__(daemon=True)
        self.one, self.stopping, self.done = one, stopping, 0
        self.failed: Exception | None = None

    def run(self) -> None:
        try:
            while not self.stopping.is_set() or self.done == 0:
                self._until_answered(self.done)
                self.done += 1
                time.sleep(PAUSE_S)
        except Exception as error:  # noqa: BLE001 - told to the test
            self.failed = error

    def _until_answered(self, number: int) -> None:
        last = time.monotonic() + TRY_FOR_S
        while time.monotonic() < last:
            try:
                if self.one(number):
                    return
            except (httpx.TransportError, OSError):
                pass  # the web role is dead, or dies now
            time.sleep(0.1)
        raise TimeoutError(f"no answer to {self.one}")


class Clinic:
    """What is asked of the node."""

    def __init__(self, url: str, feed: int, findings: StudyFindings) -> None:
        self.url, self.feed = url, feed
        found = (f for f in findings.findings if f.question == "compression_fracture" and f.site.level == "L1")
        self.fracture, self.claim = next(found).id, ""

    def hand_in(self, number: int) -> bool:
        claim = claim_json(STUDY, number=f"C-{number}", provider_npi="1234567893")
        claim["patient"] = patient_json(STUDY) | {"member_id": "MEMBER-1"}
        made = self._post("/claims", claim, f"claim {number}")
        self.claim = self.claim or (made.json()["claims"][0]["id"] if made.is_success else "")
        return made.status_code in {200, 201}

    def report(self, number: int) -> bool:
        with Sender(self.feed) as sender:
            told = sender.send(oru(f"M-{number}"))
        return bool(told) and answer_of(told)[0] == "AA"

    def review(self, number: int) -> bool:
        """Accepted and corrected in turn, so that the claims come to something else each time."""
        decision = {"id": self.fracture, "action": "accept"}
        body = {"revision": 1, "accept_rest": True, "reviewer": PERSON, "findings": [decision]}
        return self._post(f"/studies/{UID}/reviews", body, f"review {number}").status_code in {200, 201}

    def packet(self, number: int) -> bool:
        if not self.claim:
            return False
        answer = httpx.get(f"{self.url}/claims/{self.claim}/packet", timeout=120)
        for file in answer.json()["manifest"]["files"] if answer.is_success else ():
            served = httpx.get(f"{self.url}/claims/{self.claim}/packet/{file['name']}", timeout=120)
            if served.is_success and answer.json()["evaluation"] == self._evaluation():
                assert hashlib.sha256(served.content).hexdigest() == file["sha256"], (number, file["name"])
        return answer.is_success

    def attach(self, number: int) -> bool:
        """The gate opens when report and review are there; then one attachment, asked for again and again."""
        if not self.claim:
            return False
        answer = self._post(f"/claims/{self.claim}/attachments", {"destination": "acme"}, "attach")
        return answer.status_code in {200, 201} or number > 0

    def _evaluation(self) -> Any:
        return httpx.get(f"{self.url}/claims/{self.claim}/evidence", timeout=60).json().get("number")

    def _post(self, path: str, body: dict[str, Any], key: str) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", json=body, headers={"Idempotency-Key": key}, timeout=120)


@contextmanager
def clients(clinic: Clinic) -> Iterator[dict[str, Client]]:
    """All of them at once, until the block ends and each has been answered."""
    stopping = threading.Event()
    ones = (clinic.hand_in, clinic.report, clinic.review, clinic.packet, clinic.attach)
    made = {one.__name__: Client(one, stopping) for one in ones}
    for client in made.values():
        client.start()
    yield made
    stopping.set()
    for name, client in made.items():
        client.join(TRY_FOR_S)
        assert client.failed is None, (name, client.failed)
        assert client.done > 0, name


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=5).is_success
    except httpx.TransportError:
        return False


def test_nothing_is_lost_and_nothing_is_there_twice(tmp_path: Path) -> None:
    port, feed = free_tcp_port(), free_tcp_port()
    url = f"http://{LOOPBACK}:{port}"
    with payer(tmp_path) as listening:
        file = destinations_file(tmp_path, acme=x12_table(listening))
    options: dict[str, object] = {"data-dir": tmp_path / "data", "http-port": port, "hl7-port": feed}
    options |= {"claim-destinations-file": file, "organisation": "General Hospital", "http-requests-per-minute": 0}
    node = open_node(Settings(data_dir=tmp_path / "data"))
    client = make_client(node.engine)
    findings = add_reviewable_study(node, client, tmp_path / "series", PLAN)
    client.destroy()
    web = Role("web", options, tmp_path / "web.log")
    web.start()
    try:
        with clients(Clinic(f"{url}/api/v1", feed, findings)) as made:
            for moment in MOMENTS_S:
                wait_until(lambda: is_up(url), timeout_s=300, what="the web role")
                time.sleep(moment)
                web.kill()
                web.start()
            wait_until(lambda: is_up(url), timeout_s=300, what="the web role")
        counts = {name: one.done for name, one in made.items()}
        assert_all_there_once(node, counts)
        assert_whole(node)
    finally:
        web.kill()
        node.engine.dispose()


def assert_all_there_once(node: Node, counts: dict[str, int]) -> None:
    with reading(node.engine) as connection:
        numbers = [row.number for row in connection.execute(select(claims.c.number))]
        assert sorted(numbers) == sorted(f"C-{n}" for n in range(counts["hand_in"])), counts
        messages = connection.execute(select(received_reports.c.sha256)).scalars().all()
        assert len(messages) == len(set(messages)) == counts["report"]
        reports = connection.execute(select(claim_reports.c.claim_id, claim_reports.c.source)).all()
        assert len(reports) == len(set(reports))
        (attachment,) = connection.execute(select(claim_attachments)).all()
        assert attachment.state == AttachmentState.QUEUED
        body = node.spool.path(attachment.path).read_bytes()
        assert hashlib.sha256(body).hexdigest() == attachment.sha256
        attached = [
            action["about"]
            for row in connection.execute(select(claims.c.id))
            for action in actions_of(connection, row.id)
            if action["action"] == Action.ATTACHED
        ]
        assert attached == [attachment.control_number]


def assert_whole(node: Node) -> None:
    with reading(node.engine) as connection:
        assert verify(connection).fault is None
        for claim in connection.execute(select(claims.c.id)).scalars():
            assert fault_of(connection, claim) is None
            assert seal_fault(connection, node.spool, claim, manifest_path(claim)) is None
            assert [a["action"] for a in actions_of(connection, claim)].count("received") == 1
    manifests = sorted((node.settings.data_dir / "claims").glob("*/packet-*/manifest.json"))
    assert manifests
    for manifest in manifests:
        for file in json.loads(manifest.read_bytes())["files"]:
            data = (manifest.parent / file["name"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == file["sha256"]
