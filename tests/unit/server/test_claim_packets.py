"""The process that makes packets: it may die, and it keeps nobody waiting who is too many."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from builders.claim_office import Office, open_office
from builders.peers import wait_until
from inference.errors import Failure
from server.claims import packet_maker
from server.claims.packet_maker import Packets
from server.compose import Node


@pytest.fixture
def office(node: Node, tmp_path: Path) -> Iterator[Office]:
    with open_office(node, tmp_path / "series") as opened:
        yield opened


def test_a_packet_whose_process_dies_is_made_when_it_is_asked_for_again(office: Office) -> None:
    claim, packets = office.kept(), Packets(office.node)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(packets.of, claim)
        wait_until(lambda: packets._kernel.pid is not None, timeout_s=60, what="the process", poll_s=0.01)
        assert packets._kernel.pid is not None
        os.kill(packets._kernel.pid, signal.SIGKILL)
        with pytest.raises(Failure, match="the process that makes it ended"):
            first.result()
    folder = office.node.spool.path(f"claims/{claim}")
    assert not list(folder.rglob("manifest.json"))
    made = packets.of(claim)
    assert {path.name for path in (folder / "packet-1").iterdir()} == {*made.names, "manifest.json", "sealed"}
    packets.stop()


def test_who_would_wait_behind_too_many_is_told_so(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = office.kept()
    monkeypatch.setattr(packet_maker, "MOST_WAITING", 0)
    with pytest.raises(Failure, match="ask again in a minute"):
        Packets(office.node).of(claim)
