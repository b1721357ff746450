"""A bucket that takes connections and answers nothing: who waits for it, and who does not."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, insert, select, update

from builders.dicom import SeriesPlan, small_voxels, write_series
from builders.dicomweb import take_in
from builders.peers import LOOPBACK
from builders.web import serving
from dicom_node.object_store import ObjectStoreFailure
from dicom_node.tables import instances
from server.claims.retention import delete_old_reports
from server.compose import Node, open_spool, uploader
from server.tables import received_reports

PLAN = SeriesPlan(voxels=small_voxels(3))
THREADS = 40
"""Of all requests together (anyio's limit)."""


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    with socket.create_server((LOOPBACK, 0), backlog=100) as listener:
        yield listener


@pytest.fixture
def here(engine: Engine, settings: Callable[..., Any], silent: socket.socket, tmp_path: Path) -> Iterator[Node]:
    (tmp_path / "keys").write_text("key\nsecret\n")
    address = f"http://{LOOPBACK}:{silent.getsockname()[1]}/spine"
    chosen = settings(data_dir=tmp_path / "host", object_store=address, object_store_key_file=tmp_path / "keys")
    made = Node(settings=chosen, engine=engine, spool=open_spool(chosen))
    take_in(made, write_series(tmp_path / "study", PLAN))
    yield made
    made.spool.close()


def test_neither_the_end_of_a_process_nor_the_room_of_copies(here: Node, silent: socket.socket, tmp_path: Path) -> None:
    assert here.spool.objects is not None
    (tmp_path / "old").write_bytes(b"old")
    os.utime(here.spool.objects.keep("results/a/r1/1/old", tmp_path / "old"), (1, 1))
    others = {one for one in threading.enumerate() if not one.daemon}
    thread = uploader(here)
    assert thread is not None
    thread.start()
    asked, _ = silent.accept()
    asked.close()
    assert not (here.spool.root / "cache" / "results").exists()
    assert {one for one in threading.enumerate() if not one.daemon} == others
    began = time.monotonic()
    thread.stop(1.0)
    assert time.monotonic() - began < 3


def test_the_process_is_alive_while_every_thread_waits(here: Node, silent: socket.socket) -> None:
    with here.engine.begin() as connection:
        connection.execute(update(instances).values(waits_for_upload=False))
    for relative in list(here.spool.files("received")):
        (here.spool.root / relative).unlink()
    with serving(here) as url, ThreadPoolExecutor(THREADS + 1) as pool:
        study = f"{url}/dicom-web/studies/{PLAN.study_instance_uid}"
        accept = {"Accept": 'multipart/related; type="application/dicom"'}
        asking = [pool.submit(httpx.get, study, headers=accept, timeout=60) for _ in range(THREADS + 1)]
        silent.accept()[0].close()
        time.sleep(0.5)  # so that the others are here too
        assert httpx.get(f"{url}/healthz", timeout=5).status_code == httpx.codes.OK
        silent.close()
        assert {one.result().status_code for one in asking} == {httpx.codes.SERVICE_UNAVAILABLE}


def test_no_row_goes_whose_file_would_stay(here: Node, silent: socket.socket, tmp_path: Path) -> None:
    row = {
        "identity": "one",
        "sha256": "",
        "path": "reports/one",
        "medical_record_number": "1",
        "report": "{}",
    }
    with here.engine.begin() as connection:
        connection.execute(insert(received_reports).values(**row, withdraws=False, received_at=1.0))
    silent.close()
    assert here.spool.objects is not None
    (tmp_path / "report").write_bytes(b"{}")
    here.spool.objects.keep("reports/one", tmp_path / "report")
    with pytest.raises(ObjectStoreFailure):
        delete_old_reports(here, 1)
    with here.engine.connect() as connection:
        assert connection.execute(select(received_reports.c.path)).scalars().all() == ["reports/one"]
