"""Rows are committed beside writers that hardly ever leave the database alone, or are refused within the deadline."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from builders.receiving import sqlite_engine
from dicom_node.recorder import Recorder
from dicom_node.store import Instance
from dicom_node.tables import metadata
from dicom_node.verdicts import Verdict
from inference.errors import StorageFailure

HELD_S, FREE_S = 0.03, 0.001
ROWS = 20
MOST_S = 5.0
"""With SQLite's own looks, 100 ms apart, it takes twice as long or more; with ours a second."""


def instance(number: int) -> Instance:
    return Instance(
        sop_instance_uid=f"1.2.3.{number}",
        study_instance_uid="1.2",
        series_instance_uid="1.2.3",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.4",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=f"received/{number}",
        size_bytes=1,
        sha256="0" * 64,
        received_at=float(number),
        source_ae_title="SENDER",
    )


@contextmanager
def recording(database: Path, *, deadline_s: float) -> Iterator[Recorder]:
    engine = sqlite_engine(database)
    metadata.create_all(engine)
    recorder = Recorder(engine, deadline_s=deadline_s)
    recorder.start()
    try:
        yield recorder
    finally:
        recorder.stop(20)
        engine.dispose()


@contextmanager
def writing(database: Path, *, held_s: float, free_s: float) -> Iterator[None]:
    """Another writer, which holds the lock and leaves it free in turn."""
    stopping, has_it = threading.Event(), threading.Event()

    def run() -> None:
        with closing(sqlite3.connect(database, isolation_level=None, timeout=30)) as connection:
            while not stopping.is_set():
                connection.execute("BEGIN IMMEDIATE")
                has_it.set()
                stopping.wait(held_s)
                connection.execute("COMMIT")
                time.sleep(free_s)

    thread = threading.Thread(target=run)
    thread.start()
    has_it.wait(20)
    try:
        yield
    finally:
        stopping.set()
        thread.join(20)


def test_rows_are_committed_in_the_pauses_of_a_busy_writer(tmp_path: Path) -> None:
    database = tmp_path / "node.sqlite"
    with recording(database, deadline_s=15) as recorder, writing(database, held_s=HELD_S, free_s=FREE_S):
        began = time.monotonic()
        for number in range(ROWS):
            assert recorder.record(instance(number)) is Verdict.STORED
            time.sleep(2 * FREE_S)  # the next one does not come in the same pause
        assert time.monotonic() - began < MOST_S


def test_a_lock_that_stays_is_a_failure_at_the_deadline(tmp_path: Path) -> None:
    database = tmp_path / "node.sqlite"
    with recording(database, deadline_s=0.3) as recorder:
        with (
            writing(database, held_s=20, free_s=0),
            pytest.raises(StorageFailure, match=r"refused the row \(OperationalError\)"),
        ):
            recorder.record(instance(1))
        assert recorder.record(instance(1)) is Verdict.STORED


def test_who_waits_behind_another_fails_at_its_deadline_and_its_row_may_come_later(tmp_path: Path) -> None:
    database = tmp_path / "node.sqlite"
    with recording(database, deadline_s=1.5) as recorder, writing(database, held_s=20, free_s=0):
        failures: list[str] = []

        def send(number: int) -> None:
            try:
                recorder.record(instance(number))
            except StorageFailure as failure:
                failures.append(str(failure))

        threads = [threading.Thread(target=send, args=(number,)) for number in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert sorted(failures) == [
        "the database did not commit within 1.5 s",
        "the database refused the row (OperationalError)",
    ]
