"""kill -9 of the receiver at random moments: every acknowledged instance is there afterwards, with its exact bytes."""

from __future__ import annotations

import os
import random
import re
import signal
import threading
from functools import partial
from pathlib import Path

import pytest

from builders.dicom import SeriesPlan, small_voxels, write_series
from builders.peers import free_tcp_port, store_with_storescu, wait_until
from builders.receiving import data_set_bytes
from builders.senders import BATCH, Sender, assert_all_there, batch, has_answers, receiver_process, template_bytes

ROUNDS = 25
SENDERS = 3


@pytest.mark.slow
def test_every_acknowledged_instance_survives_kill_9(tmp_path: Path) -> None:
    generator = random.Random(9)  # noqa: S311 - repeatable moments
    folder, port = tmp_path / "node", free_tcp_port()
    template = template_bytes(tmp_path)
    acknowledged: dict[str, bytes] = {}
    for round_number in range(ROUNDS):
        with receiver_process(folder, port) as pid:
            senders = [Sender(port, batch(template, round_number, number)) for number in range(SENDERS)]
            for sender in senders:
                sender.start()
            # A number of acknowledgements, not a time: on any machine the kill then falls into the sending.
            enough = generator.randint(1, SENDERS * BATCH // 2)
            wait_until(partial(has_answers, senders, enough), timeout_s=60, what="answers", poll_s=0.001)
            assert any(sender.is_alive() for sender in senders)
            os.kill(pid, signal.SIGKILL)
            for sender in senders:
                sender.join(20)
                acknowledged |= {uid: sender.instances[uid] for uid in sender.acknowledged}
    assert len(acknowledged) > ROUNDS
    assert_all_there(folder, acknowledged)


@pytest.mark.slow
def test_every_acknowledged_instance_survives_kill_9_and_the_loss_of_every_row(tmp_path: Path) -> None:
    """More than a power cut takes from the database: what is durable is the log, and the files made of it."""
    folder, port = tmp_path / "node", free_tcp_port()
    template = template_bytes(tmp_path)
    acknowledged: dict[str, bytes] = {}
    with receiver_process(folder, port) as pid:
        senders = [Sender(port, batch(template, 0, number)) for number in range(SENDERS)]
        for sender in senders:
            sender.start()
        wait_until(partial(has_answers, senders, SENDERS * BATCH // 2), timeout_s=60, what="answers", poll_s=0.001)
        os.kill(pid, signal.SIGKILL)
        for sender in senders:
            sender.join(20)
            acknowledged |= {uid: sender.instances[uid] for uid in sender.acknowledged}
    for path in folder.glob("node.sqlite*"):
        path.unlink()
    assert_all_there(folder, acknowledged)


@pytest.mark.slow
@pytest.mark.peer("dcmtk")
def test_storescu_that_was_told_success_finds_its_instances_after_kill_9(tmp_path: Path) -> None:
    folder, port = tmp_path / "node", free_tcp_port()
    paths = write_series(tmp_path / "sent", SeriesPlan(voxels=small_voxels(150, 128, 128), study="storescu"))
    told: set[str] = set()
    for delay_s in (0.15, 0.3, 0.6):
        with receiver_process(folder, port) as pid:
            killer = threading.Timer(delay_s, os.kill, (pid, signal.SIGKILL))
            killer.start()
            done = store_with_storescu(paths, port, timeout_s=60)
            killer.cancel()
        successes = re.findall(
            r"Sending file: (\S+)(?:(?!Sending file).)*?Store Response \(Success\)", done.stderr, re.DOTALL
        )
        told |= set(successes)
    assert told
    assert_all_there(folder, {path: data_set_bytes(Path(path)) for path in told}, by_content=True)
