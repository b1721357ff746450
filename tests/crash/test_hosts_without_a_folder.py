"""Three hosts that share a database and a bucket, no folder; receiver and web role are killed while something waits."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage
from sqlalchemy import func, select

from builders.archive import archive
from builders.dicom import T2_TSE, SeriesPlan, small_voxels, write_series
from builders.dicomweb import take_in
from builders.peers import LOOPBACK, free_tcp_port, is_listening, running, store_with_storescu, wait_until
from builders.postgres import PostgresCluster
from builders.seaweed import Seaweed
from dicom_node.spool import Spool
from dicom_node.tables import deliveries, instances
from dicom_node.uploads import waiting_uploads
from server.compose import Node
from server.database import make_engine, prepare, reading
from server.settings import Settings

pytestmark = [pytest.mark.peer("dcmtk", "postgresql", "seaweedfs"), pytest.mark.slow, pytest.mark.timeout(300)]
PLAN = SeriesPlan(voxels=small_voxels(10, 256, 256), study="bucket", attributes=dict(T2_TSE))
LATE = SeriesPlan(voxels=small_voxels(2), study="stored to the web role")


def test_what_was_acknowledged_reaches_the_worker_of_another_host(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "study", PLAN)
    archive_port, dicom_port, http_port = free_tcp_port(), free_tcp_port(), free_tcp_port()
    with ExitStack() as site:
        cluster = site.enter_context(PostgresCluster.started())
        archived = site.enter_context(archive(archive_port, [Comprehensive3DSRStorage, SegmentationStorage]))
        bucket = site.enter_context(Seaweed.started())
        url = cluster.new_database().replace("postgresql:", "postgresql+psycopg:")
        options: dict[str, object] = {
            "database-url": url,
            "object-store": bucket.new_bucket(),
            "object-store-key-file": bucket.key_file(tmp_path),
            "dicom-host": LOOPBACK,
            "dicom-port": dicom_port,
            "http-port": http_port,
            "quiet-period": 1,
            "disk-reserve-gib": 0,
            "disk-reserve-percent": 0,
            "inference-engine": "onnxruntime",
            "model": "mr_sagittal_segmentation",
            "destination": f"PACS=ARCHIVE@{LOOPBACK}:{archive_port}",
        }

        @contextmanager
        def host(role: str) -> Iterator[subprocess.Popen[bytes]]:
            words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
            command = [sys.executable, "-m", "server.cli", role, "--data-dir", str(tmp_path / role), *words]
            with running(command, log=tmp_path / f"{role}.log") as process:
                yield process

        engine = make_engine(url)
        receiver = site.enter_context(host("receive"))
        wait_until(lambda: is_listening(dicom_port), timeout_s=90, what="the receiver to listen")
        bucket.stop()
        assert store_with_storescu(paths, dicom_port).returncode == 0
        receiver.send_signal(signal.SIGKILL)
        receiver.wait(20)
        with reading(engine) as connection:
            assert waiting_uploads(connection).instances == len(paths)

        bucket.start()
        started = {role: site.enter_context(host(role)) for role in ("receive", "work", "web")}
        wait_until(lambda: len(archived.of("SR")) == 1, timeout_s=150, what="the SR", poll_s=0.2)
        with reading(engine) as connection:
            assert waiting_uploads(connection).instances == 0
            assert connection.execute(select(func.count()).select_from(instances)).scalar_one() == len(paths)

        def is_sent() -> bool:
            with reading(engine) as connection:
                return set(connection.execute(select(deliveries.c.state)).scalars()) == {"delivered"}

        wait_until(is_sent, timeout_s=60, what="the deliveries")
        web = f"http://{LOOPBACK}:{http_port}/dicom-web/studies/{PLAN.study_instance_uid}"
        wait_until(
            lambda: httpx.get(web + "/series", timeout=60).status_code == httpx.codes.OK, timeout_s=60, what="web"
        )
        assert len(httpx.get(web + "/instances", timeout=60).json()) == len(paths) + 2
        (report,) = archived.of("SR")
        where = f"{web}/series/{report.SeriesInstanceUID}/instances/{report.SOPInstanceUID}"
        got = httpx.get(where, headers={"Accept": "application/dicom"}, timeout=60)
        assert got.status_code == httpx.codes.OK
        for role in ("receive", "work", "web"):
            assert not list((tmp_path / role / "received").rglob("*.dcm"))

        started["web"].kill()
        started["web"].wait(20)
        late = store_without_rows(tmp_path)
        site.enter_context(host("web"))

        def is_taken_up() -> bool:
            with reading(engine) as connection:
                count = connection.execute(select(func.count()).select_from(instances)).scalar_one()
                return count == len(paths) + late and waiting_uploads(connection).instances == 0

        wait_until(is_taken_up, timeout_s=60, what="what a killed STOW-RS left to be taken up")
        engine.dispose()


def store_without_rows(folder: Path) -> int:
    """Leave on the web role's disk what a kill between the files and their rows leaves there; how many instances."""
    settings = Settings(data_dir=folder / "elsewhere")
    settings.data_dir.mkdir()
    elsewhere = make_engine(settings.resolved_database_url())
    prepare(elsewhere)
    take_in(Node(settings=settings, engine=elsewhere, spool=Spool(folder / "web")), write_series(folder / "late", LATE))
    elsewhere.dispose()
    left = list((folder / "web" / "received").rglob("*.dcm"))
    return len(left)
