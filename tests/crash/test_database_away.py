"""PostgreSQL that crashes and comes back, and then for good, a standby in its place: nothing lost, nothing doubled."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest
from pydicom.uid import Comprehensive3DSRStorage

from builders.archive import archive
from builders.kills import (
    Sender,
    assert_every_instance_is_there,
    assert_one_report_per_revision,
    is_settled,
    write_studies,
)
from builders.node import Node
from builders.peers import LOOPBACK, free_tcp_port, wait_until
from builders.postgres import PostgresCluster
from dicom_node.spool import Spool
from server.database import make_engine

pytestmark = [pytest.mark.peer("postgresql"), pytest.mark.slow, pytest.mark.timeout(600)]

STUDIES = 12
AWAY_S = 9.0
"""Longer than the five tries of a step take (7.5 s)."""


def database_check(node: Node) -> tuple[int, str]:
    answer = httpx.get(f"{node.url}/readyz", timeout=30)
    return answer.status_code, answer.text


def test_the_node_outlives_a_crash_of_the_database_and_a_fail_over(tmp_path: Path) -> None:
    archive_port = free_tcp_port()
    with (
        PostgresCluster.started() as primary,
        archive(archive_port, [Comprehensive3DSRStorage]) as archived,
    ):
        database = primary.new_database().rpartition("/")[2]
        with primary.standby() as standby:
            hosts = "&".join(f"host={LOOPBACK}:{one.port}" for one in (primary, standby))
            url = f"postgresql://postgres@/{database}?{hosts}&target_session_attrs=read-write"
            options = {
                "database-url": url,
                "quiet-period": 1,
                "lease-ttl": 6,
                "lease-beat": 1,
                "delivery-backoff": 1,
                "threads": 1,
                "model": "mr_sagittal_segmentation",
                "inference-engine": "onnxruntime",
                "destination": f"PACS=ARCHIVE@{LOOPBACK}:{archive_port}",
            }
            with Node.started(tmp_path / "node", options=options) as node:
                sender = Sender(node.dicom_port, write_studies(tmp_path / "source", STUDIES))
                sender.start()
                wait_until(lambda: len(archived.received) >= 1, timeout_s=90, what="the first study to be read")

                primary.stop("immediate")
                status, said = database_check(node)
                assert (status, "does not answer" in said) == (503, True)
                acknowledged = len(sender.acknowledged)
                time.sleep(AWAY_S)
                assert len(sender.acknowledged) == acknowledged, "acknowledged without a database"
                primary.start()
                wait_until(node.is_ready, timeout_s=60, what="the node to be ready again")
                wait_until(lambda: len(sender.acknowledged) > acknowledged, timeout_s=60, what="sending to go on")

                primary.stop("immediate")
                standby.promote()
                wait_until(node.is_ready, timeout_s=60, what="the node to be ready after the fail-over")
                sender.join(120)
                assert not sender.is_alive()
                engine = make_engine(url.replace("postgresql:", "postgresql+psycopg:"))
                wait_until(lambda: is_settled(engine, STUDIES), timeout_s=180, what="every study to end", poll_s=0.5)
                assert_every_instance_is_there(engine, Spool(node.data_dir), sender.acknowledged)
                assert_one_report_per_revision(engine, archived)
                assert len(archived.received) == len({str(one.SOPInstanceUID) for one in archived.received})
                assert "process_ended" not in node.log.read_text(), "no process had to be started again"
                engine.dispose()
