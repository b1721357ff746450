"""A backup while instances arrive, then kill -9 and the loss of everything: what is restored goes on where it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import Comprehensive3DSRStorage, ExplicitVRLittleEndian, MRImageStorage, SegmentationStorage
from sqlalchemy import Engine, select

from builders.archive import Archive, archive
from builders.dicom import T2_TSE, SeriesPlan, write_series
from builders.node import Node as RunningNode
from builders.node import send
from builders.peers import LOOPBACK, free_tcp_port, is_listening, peer_environment, require_peers, wait_until
from builders.postgres import PostgresCluster
from builders.receiving import association, store_file
from dicom_node.spool import Spool
from dicom_node.tables import deliveries, instances, results
from server.backup.take import take_backup
from server.compose import Node
from server.database import make_engine, reading
from server.settings import Settings
from server.tables import runs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    # pynetdicom leaves the socket of an association that was cut off to the garbage collector
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"),
]
SLICES = 5


@contextmanager
def databases(kind: str) -> Iterator[tuple[str, str]]:
    """Two empty databases of one kind; empty URLs for SQLite files in the data folders."""
    if kind == "sqlite":
        yield "", ""
        return
    require_peers("postgresql")
    with PostgresCluster.started() as cluster:
        yield cluster.new_database(), cluster.new_database()


def study(folder: Path, number: int) -> list[Path]:
    noise = np.random.default_rng(number)
    voxels = (noise.random((SLICES, 48, 48)) * 500).astype(np.int16)
    return write_series(folder, SeriesPlan(voxels=voxels, study=f"backup {number}", attributes=dict(T2_TSE)))


class Sender(threading.Thread):
    """Sends instances one by one, and remembers which were acknowledged."""

    def __init__(self, port: int, paths: list[Path]) -> None:
        super().__init__(daemon=True)
        self._port, self._paths = port, paths
        self.acknowledged: list[str] = []

    def run(self) -> None:
        with association(self._port, [(MRImageStorage, ExplicitVRLittleEndian)]) as peer:
            for path in self._paths:
                if store_file(peer, path).get("Status") != 0:
                    return  # killed meanwhile
                self.acknowledged.append(str(dcmread(path, stop_before_pixels=True).SOPInstanceUID))
                time.sleep(0.1)


def words(command: str, *positional: object, **options: object) -> list[str]:
    named = [word for key, value in options.items() if value for word in (f"--{key.replace('_', '-')}", str(value))]
    return [sys.executable, "-m", "server.cli", command, *map(str, positional), *named]


def command(*arguments: str) -> str:
    done = subprocess.run(arguments, env=peer_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def is_delivered(engine: Engine) -> bool:
    """Whether the node knows that everything it made has arrived: what it does not know, it would send again."""
    with reading(engine) as connection:
        return set(connection.execute(select(deliveries.c.state)).scalars()) == {"delivered"}


def reports(archived: Archive) -> Counter[str]:
    return Counter(str(dataset.SOPInstanceUID) for dataset in archived.of("SR"))


def reports_made(engine: Engine) -> set[str]:
    with reading(engine) as connection:
        query = select(results.c.sop_instance_uid).where(results.c.role == "sr")
        return set(connection.execute(query).scalars())


def is_settled(engine: Engine, archived: Archive) -> bool:
    """Whether all three studies are read with everything that came, and every report has arrived."""
    with reading(engine) as connection:
        revisions = connection.execute(select(runs.c.state, runs.c.study_instance_uid)).all()
        waiting = connection.execute(select(instances.c.path).where(instances.c.revision.is_(None))).all()
    is_read = {state for state, _ in revisions} == {"done"} and len({uid for _, uid in revisions}) == 3
    return is_read and not waiting and reports_made(engine) <= set(reports(archived))


@contextmanager
def killed_at_the_end(port: int, options: dict[str, object], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        running = subprocess.Popen(
            words("serve", **options, dicom_port=port, http_port=free_tcp_port()),
            env=peer_environment(),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until(lambda: is_listening(port), timeout_s=90, what="the node to listen")
        yield
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def back_up_while_instances_arrive(tmp_path: Path, common: dict[str, object], url: str) -> set[str]:
    """A node that delivered one study, was backed up while it received two more, and is gone; what it had by then."""
    first, later = study(tmp_path / "first", 1), [*study(tmp_path / "b", 2), *study(tmp_path / "c", 3)]
    settings = Settings(data_dir=tmp_path / "old", database_url=url)
    engine, port = make_engine(settings.resolved_database_url()), free_tcp_port()
    options = {**common, "data_dir": settings.data_dir, "database_url": url}
    with killed_at_the_end(port, options, tmp_path / "old.log"):
        send(first[0].parent, f"SPINEAI@{LOOPBACK}:{port}")
        wait_until(lambda: is_delivered(engine), timeout_s=120, what="the first SR")
        sender = Sender(port, later)
        sender.start()
        wait_until(lambda: len(sender.acknowledged) >= SLICES + 1, timeout_s=60, what="instances")
        acknowledged = set(sender.acknowledged)
        take_backup(Node(settings=settings, engine=engine, spool=Spool(settings.data_dir)), tmp_path / "backup")
    sender.join(60)
    engine.dispose()
    settings.data_dir.rename(tmp_path / "gone")
    return acknowledged


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.peer("postgresql"))])
def test_a_node_goes_on_elsewhere_after_everything_was_lost(tmp_path: Path, kind: str) -> None:
    archive_port = free_tcp_port()
    common: dict[str, object] = {
        "dicom_host": LOOPBACK,
        "quiet_period": 5,
        "threads": 1,
        "disk_reserve_gib": "0",
        "disk_reserve_percent": "0",
        "destination": f"PACS=ARCHIVE@{LOOPBACK}:{archive_port}",
    }
    classes = [Comprehensive3DSRStorage, SegmentationStorage]
    with archive(archive_port, classes) as archived, databases(kind) as (lost, found):
        acknowledged = back_up_while_instances_arrive(tmp_path, common, lost)
        delivered = reports(archived)
        place = tmp_path / "node" / "data"
        command(*words("restore", tmp_path / "backup", data_dir=place, database_url=found))
        options = {key.replace("_", "-"): value for key, value in common.items()}
        options |= {"database-url": found} if found else {}
        with RunningNode.started(tmp_path / "node", options=options) as node:
            engine = make_engine(Settings(data_dir=place, database_url=found).resolved_database_url())
            with reading(engine) as connection:
                assert set(connection.execute(select(instances.c.sop_instance_uid)).scalars()) >= acknowledged
            for folder in ("b", "c"):
                send(tmp_path / folder, f"SPINEAI@{LOOPBACK}:{node.dicom_port}")
            wait_until(lambda: is_settled(engine, archived), timeout_s=240, what="every study to end", poll_s=0.5)
            with reading(engine) as connection:
                revisions = connection.execute(select(runs)).all()
            made = reports_made(engine)
            engine.dispose()
    assert len(made) == len(revisions)
    assert set(reports(archived)) == made
    assert set(reports(archived).values()) == {1}
    assert len(delivered) == 1
