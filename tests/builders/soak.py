"""Traffic at a running node while its peers fail at random, and what became of it."""

from __future__ import annotations

import random
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage
from sqlalchemy import Engine, select

from builders.archive import Archive, archive
from builders.kills import (
    SETTLE_S,
    assert_every_instance_is_there,
    assert_one_report_per_revision,
    is_settled,
    write_studies,
)
from builders.node import Node
from builders.peers import LOOPBACK, free_tcp_port, wait_until
from builders.receiving import data_set_bytes
from dicom_node.delivery import Verdict
from dicom_node.scu import Destination, send
from dicom_node.spool import Spool
from server.database import make_engine, reading
from server.tables import processes, runs

SENDERS = 4
RESULT_CLASSES = (Comprehensive3DSRStorage, SegmentationStorage)
LONGEST_OUTAGE = 0.1
"""Of the whole time: the archive is gone for up to so long at once."""
GARBAGE = (b"GET / HTTP/1.1\r\n\r\n", b"\x01\x00\x00\x00\x00\xff", b"\x04" * 40, b"")
"""What else comes to a DICOM port: web clients, cut requests, nonsense, probes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoakResult:
    """What came of it."""

    instances: int
    """Acknowledged; every one is there."""
    reports: int
    """One for each revision, once at the archive."""
    early_s: float
    """Median seconds from the hand-over to the end of the reading, in the first quarter of the studies."""
    late_s: float
    """The same in the last quarter."""
    memory_mib: dict[str, tuple[float, float]]
    """Resident memory by role, after a quarter of the time and at the end."""


class Traffic(threading.Thread):
    """One source: sends its studies at random moments of the time, each until every instance was acknowledged."""

    def __init__(self, node: Node, moments: Sequence[tuple[float, list[Path]]], *, seed: int) -> None:
        """Of moments in seconds from the begin, and the files of a study."""
        super().__init__(daemon=True)
        self._node, self._moments, self._seed = node, moments, seed
        self.acknowledged: dict[str, bytes] = {}

    def run(self) -> None:
        """Send, and be rude now and then."""
        chance = random.Random(self._seed)  # noqa: S311 - repeatable
        begun = time.monotonic()
        peer = Destination(
            name="node",
            ae_title=self._node.ae_title,
            host=LOOPBACK,
            port=self._node.dicom_port,
            calling_ae_title=f"SOURCE{self._seed}",
        )
        for moment, files in self._moments:
            time.sleep(max(0.0, begun + moment - time.monotonic()))
            if chance.random() < 0.5:
                self._be_rude(chance.choice(GARBAGE))
            waiting = {path: data_set_bytes(path) for path in files}
            while waiting:
                outcomes = send(list(waiting), peer)
                done = [p for p, o in zip(waiting, outcomes, strict=True) if o.verdict is Verdict.ACCEPTED]
                uids = {p: o.sop_instance_uid for p, o in zip(waiting, outcomes, strict=True)}
                self.acknowledged |= {uids[path]: waiting.pop(path) for path in done}

    def _be_rude(self, garbage: bytes) -> None:
        with socket.create_connection((LOOPBACK, self._node.dicom_port), timeout=10) as connection:
            connection.sendall(garbage)


def soak(folder: Path, *, minutes: float, count: int, seed: int = 1, say: Callable[[str], None]) -> SoakResult:
    """Send so many small studies in so many minutes to a node whose archive comes and goes.

    Raises:
        AssertionError: an acknowledged instance is lost or changed, a report is missing or doubled.
        TimeoutError: it did not settle.
    """
    port, chance = free_tcp_port(), random.Random(seed)  # noqa: S311 - repeatable
    options = {"quiet-period": 2, "delivery-backoff": 1, "delivery-backoff-max": 5, "threads": 1}
    options |= {"destination": f"PACS=ARCHIVE@{LOOPBACK}:{port}"}
    files = write_studies(folder, count)
    per_study = [files[start : start + len(files) // count] for start in range(0, len(files), len(files) // count)]
    with Node.started(folder / "node", options=options) as node, ExitStack() as stack:
        engine = make_engine(f"sqlite:///{node.data_dir / 'spine.sqlite'}")
        stack.callback(engine.dispose)
        sources = [Traffic(node, _moments(per_study[n::SENDERS], minutes * 60, chance), seed=n) for n in range(SENDERS)]
        archived = Archive(port=port)
        with _coming_and_going(archived, minutes * 60, chance):
            for source in sources:
                source.start()
            time.sleep(minutes * 15)
            early = _memory(engine)
            say("a quarter of the time is over")
            for source in sources:
                source.join(minutes * 60 + SETTLE_S)
                assert not source.is_alive()
            wait_until(lambda: is_settled(engine, count), timeout_s=SETTLE_S, what="every study to end", poll_s=0.5)
        late = _memory(engine)
        acknowledged = {uid: data for source in sources for uid, data in source.acknowledged.items()}
        assert len(acknowledged) == len(files)
        assert_every_instance_is_there(engine, Spool(node.data_dir), acknowledged)
        reports = assert_one_report_per_revision(engine, archived)
        first, last = _latencies(engine)
    memory = {role: (early[role], late[role]) for role in early}
    return SoakResult(instances=len(acknowledged), reports=reports, early_s=first, late_s=last, memory_mib=memory)


def _moments(
    studies_files: Sequence[list[Path]], seconds: float, chance: random.Random
) -> list[tuple[float, list[Path]]]:
    times = sorted(chance.uniform(0.0, seconds) for _ in studies_files)
    return list(zip(times, studies_files, strict=True))


@contextmanager
def _coming_and_going(archived: Archive, seconds: float, chance: random.Random) -> Iterator[None]:
    """The archive, up and down at random until the time is over, then up until the block ends."""
    over = threading.Event()

    def run() -> None:
        ends = time.monotonic() + seconds
        while not over.is_set():
            with archive(archived.port, RESULT_CLASSES) as running:
                over.wait(chance.uniform(0.0, seconds * LONGEST_OUTAGE) if time.monotonic() < ends else None)
            archived.received += running.received
            over.wait(chance.uniform(0.0, seconds * LONGEST_OUTAGE) if time.monotonic() < ends else None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)


def _latencies(engine: Engine) -> tuple[float, float]:
    with reading(engine) as connection:
        rows = connection.execute(select(runs.c.queued_at, runs.c.finished_at).order_by(runs.c.queued_at)).all()
    seconds = [row.finished_at - row.queued_at for row in rows]
    quarter = max(1, len(seconds) // 4)
    return statistics.median(seconds[:quarter]), statistics.median(seconds[-quarter:])


def _memory(engine: Engine) -> dict[str, float]:
    """Resident MiB by role."""
    with reading(engine) as connection:
        rows = connection.execute(select(processes.c.role, processes.c.pid)).all()
    return {row.role: _resident_mib(row.pid) for row in rows}


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]) / 1024
