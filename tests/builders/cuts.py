"""Cut the power again and again while instances arrive, and count what was acknowledged and is not there."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from builders.peers import free_tcp_port, wait_until
from builders.power import make_image, powered
from builders.receiving import Node, running_node
from builders.senders import BATCH, Sender, batch, has_answers, receiver_process, template_bytes

SENDERS = 3
SHARES = (0.0, 0.5, 0.9)
"""Of the blocks that were not flushed: what the disk kept of them, in turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutResult:
    """What came of it."""

    acknowledged: int
    lost: tuple[str, ...]
    """SOP Instance UIDs that were acknowledged and have no row, or other bytes."""


def cut_again_and_again(
    work: Path, serve: Callable[[Path, int], None], *, cuts: int, seed: int, say: Callable[[str], None] = lambda _: None
) -> CutResult:
    """Receive, cut the power at a random acknowledgement, start again on what the disk kept; look at the end.

    Raises:
        AssertionError: the database is damaged, or a file has no row after the recovery.
    """
    generator = random.Random(seed)  # noqa: S311 - repeatable moments
    image, template = work / "image", template_bytes(work)
    make_image(image)
    acknowledged: dict[str, bytes] = {}
    for number in range(cuts):
        with powered(image, work) as power:
            port = free_tcp_port()
            with receiver_process(power.folder / "node", port, serve) as pid:
                senders = [Sender(port, batch(template, number, index)) for index in range(SENDERS)]
                for sender in senders:
                    sender.start()
                enough = generator.randint(1, SENDERS * BATCH // 2)
                wait_until(partial(has_answers, senders, enough), timeout_s=120, what="answers", poll_s=0.001)
                power.cut(generator.getrandbits(32), SHARES[number % len(SHARES)])
                os.kill(pid, signal.SIGKILL)
                for sender in senders:
                    sender.join(20)
                    acknowledged |= {uid: sender.instances[uid] for uid in sender.acknowledged}
        say(f"cut {number + 1} of {cuts}: {len(acknowledged)} acknowledged so far")
    with powered(image, work) as power, running_node(power.folder / "node") as node:
        wait_until(lambda: not node.receiver._threads[1].is_alive(), timeout_s=60, what="the recovery to end")
        return CutResult(acknowledged=len(acknowledged), lost=tuple(_lost(node, acknowledged)))


def _lost(node: Node, acknowledged: Mapping[str, bytes]) -> Iterator[str]:
    with node.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    known = {row["sop_instance_uid"] for row in node.rows()}
    for uid, data in acknowledged.items():
        if uid not in known or not _is_there(node, uid, data):
            yield uid


def _is_there(node: Node, uid: str, data: bytes) -> bool:
    try:
        return node.stored(uid) == data
    except (OSError, AttributeError):  # no file, or one without a file meta group
        return False
