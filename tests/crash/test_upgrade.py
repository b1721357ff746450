"""Hosts that are upgraded one by one: a worker of an earlier commit of this project on the database of this one."""

from __future__ import annotations

import signal
import subprocess
import sys
import tarfile
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from dbos import DBOSClient, EnqueueOptions
from pydicom.uid import Comprehensive3DSRStorage
from sqlalchemy import Engine, select

from builders.archive import archive
from builders.dicom import T2_TSE, SeriesPlan, write_series
from builders.kills import is_settled
from builders.node import Node
from builders.peers import LOOPBACK, REPOSITORY, free_tcp_port, is_listening, running, store_with_storescu, wait_until
from builders.postgres import PostgresCluster
from server.database import Standing, make_engine, reading, standing
from server.tables import executor_lease, runs
from server.work_queue import STUDY_KIND, STUDY_WORKFLOW, WORK_FORMAT, make_client, queue_name

pytestmark = [pytest.mark.peer("dcmtk", "postgresql"), pytest.mark.slow, pytest.mark.timeout(600)]

EARLIER = "533fd35f29ce3ffd92ab4f9df502918d702560f8"
"""The last commit before migration 0015."""
QUICK = {
    "lease-ttl": 3,
    "lease-beat": 1,
    "threads": 1,
    "quiet-period": 1,
    "inference-engine": "onnxruntime",
    "model": "mr_sagittal_segmentation",
}
NEWER_WORK = "work of a newer format"


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the earlier commit."""
    packed = subprocess.run(["git", "archive", EARLIER], cwd=REPOSITORY, capture_output=True, check=False)
    if packed.returncode != 0:
        pytest.skip(f"needs commit {EARLIER}, which this checkout does not hold (a shallow clone)")
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(fileobj=BytesIO(packed.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


def test_an_earlier_worker_goes_on_and_leaves_newer_work_alone(tmp_path: Path, earlier: Path) -> None:
    archive_port = free_tcp_port()
    with ExitStack() as stack:
        url = stack.enter_context(PostgresCluster.started()).new_database()
        archived = stack.enter_context(archive(archive_port, [Comprehensive3DSRStorage]))
        options: dict[str, object] = {**QUICK, "database-url": url}
        options["destination"] = f"PACS=ARCHIVE@{LOOPBACK}:{archive_port}"
        data = {"data-dir": tmp_path / "node" / "data"}
        words = [word for key, value in (options | data).items() for word in (f"--{key}", str(value))]
        work = [sys.executable, "-m", "server.cli", "work", *words]
        engine = make_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        old_log, new_log = tmp_path / "old.log", tmp_path / "new.log"
        old = stack.enter_context(running(["env", f"PYTHONPATH={earlier}", *work], log=old_log))
        wait_until(lambda: b"worker_started" in old_log.read_bytes(), timeout_s=120, what="the earlier worker")
        assert standing(engine) is Standing.OLDER

        node = stack.enter_context(Node.started(tmp_path / "node", role="receive", options=options))
        wait_until(lambda: is_listening(node.dicom_port), timeout_s=120, what="the receiver to listen")
        assert standing(engine) is Standing.CURRENT
        client = make_client(engine)
        enqueue_newer(client, engine)
        send(node, tmp_path / "first", 1)
        wait_until(lambda: is_settled(engine, 1), timeout_s=120, what="the earlier worker to read a study", poll_s=0.2)

        send(node, tmp_path / "second", 2)
        wait_until(lambda: is_begun(client), timeout_s=60, what="the earlier worker to begin", poll_s=0.01)
        old.send_signal(signal.SIGKILL)
        stack.enter_context(running(work, log=new_log))
        wait_until(lambda: is_settled(engine, 2), timeout_s=120, what="the takeover by this version", poll_s=0.2)

        with reading(engine) as connection:
            folders = [path.rsplit("/", 2)[1] for path in connection.execute(select(runs.c.findings_path)).scalars()]
            executors = connection.execute(select(executor_lease.c.executor_id)).scalars().all()
        assert sorted(folders) == ["1", "r1"], "the second study was read by this version, in a folder of its own"
        assert len(executors) == 2
        assert len({str(one.SOPInstanceUID) for one in archived.received}) == len(archived.received) == 2
        newer = client.list_workflows(workflow_ids=[NEWER_WORK], load_input=False)
        assert [flow.status for flow in newer] == ["ENQUEUED"]
        client.destroy()
        engine.dispose()


def enqueue_newer(client: DBOSClient, engine: Engine) -> None:
    """Work as the version after this one would queue it, with an argument that nobody knows yet."""
    queue = queue_name(STUDY_KIND, WORK_FORMAT + 1)
    options = EnqueueOptions(workflow_name=STUDY_WORKFLOW, queue_name=queue, workflow_id=NEWER_WORK)
    with engine.begin() as connection:
        client.enqueue_in_transaction(connection, options, "1.2.3", 1, 1, 0, "new")


def send(node: Node, folder: Path, number: int) -> None:
    voxels = (np.random.default_rng(number).random((5, 48, 48)) * 500).astype(np.int16)
    paths = write_series(folder, SeriesPlan(voxels=voxels, study=f"upgrade {number}", attributes=dict(T2_TSE)))
    assert store_with_storescu(paths, node.dicom_port).returncode == 0


def is_begun(client: DBOSClient) -> bool:
    return bool(client.list_workflows(status="PENDING", name=STUDY_WORKFLOW, load_input=False))
