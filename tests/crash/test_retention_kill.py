"""kill -9 while images expire: each study is afterwards whole or gone, and nothing that went comes back."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from builders.dicom import SeriesPlan, small_voxels
from builders.findings import refused_findings
from builders.peers import wait_until
from builders.read_study import headers_of, keep_results
from dicom_node.recovery import recover
from dicom_node.spool import GOING, Spool
from dicom_node.tables import expirations, instances, removals, studies
from inference.findings.encode import encode
from server.auth.audit.record import AuditKind
from server.auth.audit.trail import entries, verify
from server.compose import Node
from server.database import make_engine, prepare
from server.retention import delete_expired
from server.settings import Settings

STUDIES, SLICES, ROUNDS = 8, 30, 4
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["server.retention", "builders.read_study"])


@pytest.mark.slow
def test_every_study_is_whole_or_gone_after_kill_9(tmp_path: Path) -> None:
    generator = random.Random(14)  # noqa: S311 - repeatable moments
    node = opened(tmp_path)
    prepare(node.engine)
    for number in range(STUDIES):
        add_study(node, f"study {number}")
    total = STUDIES * SLICES
    for _ in range(ROUNDS):
        left = count(node)
        if not left:
            break
        process = PROCESSES.Process(target=expire_all, args=(tmp_path,), daemon=True)
        process.start()
        goal = left - generator.randint(1, max(1, total // ROUNDS))
        wait_until(lambda goal=goal: count(node) <= max(goal, 0), timeout_s=60, what="files to go", poll_s=0.0005)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join(10)
        assert_whole_or_gone(node)
    expire_all(tmp_path)
    assert count(node) == 0
    with node.engine.connect() as connection:
        assert connection.execute(select(removals)).all() == []
        gone = [entry.record.studies for entry in entries(connection, limit=1000)]
        assert len(gone) == len(set(gone)) == STUDIES, "each deletion is audited once"
        assert {entry.record.kind for entry in entries(connection, limit=1000)} == {AuditKind.STUDY_DELETED}
        assert verify(connection).fault is None
        assert {row.state for row in connection.execute(select(studies))} == {"expired"}
        assert len(connection.execute(select(expirations)).all()) == STUDIES
    assert not list(node.spool.path("received").rglob("*.dcm*"))
    assert len(list(node.spool.files("results"))) == STUDIES, "findings.json of each"


def assert_whole_or_gone(node: Node) -> None:
    """After a restart of the receiver; a file of a study that expired may wait to be unlinked, and has no row."""
    assert recover(node.engine, node.spool, clock=lambda: 1.0).adopted == 0
    with node.engine.connect() as connection:
        state = {row.study_instance_uid: row.state for row in connection.execute(select(studies))}
        rows = connection.execute(select(instances)).all()
        waiting = {row.path for row in connection.execute(select(removals))}
    kept = [uid for uid, value in state.items() if value == "done"]
    assert sorted(row.study_instance_uid for row in rows) == sorted(kept * SLICES)
    assert all(node.spool.path(row.path).is_file() for row in rows)
    files = {str(path.relative_to(node.spool.root)) for path in node.spool.path("received").rglob("*.dcm*")}
    assert {path.removesuffix(GOING) for path in files} - {row.path for row in rows} <= waiting


def opened(folder: Path) -> Node:
    settings = Settings(data_dir=folder / "data", retention_days=1)
    settings.data_dir.mkdir(exist_ok=True)
    return Node(settings=settings, engine=make_engine(settings.resolved_database_url()), spool=Spool(settings.data_dir))


def add_study(node: Node, name: str) -> None:
    plan = SeriesPlan(voxels=small_voxels(1), study=name)
    keep_results(node, headers_of([plan]), encode(refused_findings(plan.study_instance_uid)), [])
    with node.engine.begin() as connection:
        row = connection.execute(
            select(instances).where(instances.c.study_instance_uid == plan.study_instance_uid)
        ).one()
        for number in range(1, SLICES):
            path = row.path.replace(".dcm", f"-{number}.dcm")
            node.spool.path(path).write_bytes(b"some bytes")
            values = {**row._mapping, "sop_instance_uid": f"{row.sop_instance_uid}.{number}", "path": path}
            connection.execute(insert(instances).values(values))


def count(node: Node) -> int:
    return sum(1 for _ in node.spool.files("received"))


def expire_all(folder: Path) -> None:
    node = opened(folder)
    while delete_expired(node, at_once=1):
        pass
    node.engine.dispose()
