"""What a kill between two steps leaves behind, step by step, and what the next start makes of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from sqlalchemy import Engine

from builders.dicom import SeriesPlan, slice_dataset, small_voxels
from builders.receiving import data_set_bytes
from dicom_node import store
from dicom_node.file_meta import FileMeta
from dicom_node.recovery import Recovered, recover
from dicom_node.spool import Spool, key_of, quarantine_path, received_path
from dicom_node.verdicts import Verdict

PLAN = SeriesPlan(voxels=small_voxels())
EXPLICIT = "1.2.840.10008.1.2.1"


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def publish(spool: Spool, folder: Path, *, comment: str = "", quarantined: str = "") -> tuple[str, bytes]:
    """Do what the receiver does up to the rename, and not what it does after."""
    dataset = slice_dataset(PLAN, 0)
    dataset.ImageComments = comment
    dataset.save_as(folder / "one.dcm", enforce_file_format=True)
    data = data_set_bytes(folder / "one.dcm")
    meta = FileMeta(
        sop_class_uid=dataset.SOPClassUID,
        sop_instance_uid=dataset.SOPInstanceUID,
        transfer_syntax_uid=EXPLICIT,
        source_ae_title="MODALITY",
    )
    incoming = spool.receive_file(meta)
    incoming.write(memoryview(data))
    relative = received_path(PLAN.study_instance_uid, dataset.SOPInstanceUID, key_of(incoming))
    relative = quarantine_path(key_of(incoming)) if quarantined else relative
    incoming.publish(spool.path(relative))
    return relative, data


def run(engine: Engine, spool: Spool) -> Recovered:
    return recover(engine, spool, clock=lambda: 77.0)


def test_nothing_to_do_is_nothing_done(engine: Engine, spool: Spool) -> None:
    assert run(engine, spool) == Recovered()


def test_whole_file_without_row_is_adopted_as_received(engine: Engine, spool: Spool, tmp_path: Path) -> None:
    relative, data = publish(spool, tmp_path)
    assert run(engine, spool) == Recovered(adopted=1)
    with engine.connect() as connection:
        (row,) = store.instances_of(connection, PLAN.study_instance_uid)
    assert (row.path, row.size_bytes, row.received_at) == (relative, len(data), 77.0)
    assert (row.source_ae_title, row.transfer_syntax_uid) == ("MODALITY", EXPLICIT)
    assert row.sha256 == hashlib.sha256(data).hexdigest()
    assert run(engine, spool) == Recovered()


def test_torn_file_without_row_is_set_aside(engine: Engine, spool: Spool, tmp_path: Path) -> None:
    relative, _ = publish(spool, tmp_path)
    whole = spool.path(relative).read_bytes()
    spool.path(relative).write_bytes(whole[:-100])
    assert run(engine, spool) == Recovered(set_aside=1)
    with engine.connect() as connection:
        assert store.list_studies(connection) == []
        (entry,) = store.list_quarantine(connection)
    assert entry.verdict is Verdict.UNREADABLE
    assert "not whole" in entry.reason
    assert spool.path(entry.path).read_bytes() == whole[:-100]


@pytest.mark.parametrize("content", [b"", b"noise", bytes(128) + b"DICM", bytes(128) + b"DICM" + b"\2\0\0\0UL\4\0"])
def test_file_that_is_no_dicom_is_set_aside(engine: Engine, spool: Spool, content: bytes) -> None:
    path = spool.path("received/aa/1.2/1.2.3-key.dcm")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert run(engine, spool) == Recovered(set_aside=1)
    assert spool.path("quarantine/key.dcm").read_bytes() == content
    assert run(engine, spool) == Recovered()


def test_file_whose_uid_is_held_with_other_bytes_is_set_aside(engine: Engine, spool: Spool, tmp_path: Path) -> None:
    first, _ = publish(spool, tmp_path)
    run(engine, spool)
    publish(spool, tmp_path, comment="other")
    assert run(engine, spool) == Recovered(set_aside=1)
    with engine.connect() as connection:
        assert [row.path for row in store.instances_of(connection, PLAN.study_instance_uid)] == [first]
        assert [entry.verdict for entry in store.list_quarantine(connection)] == [Verdict.CONFLICT]


def test_quarantined_file_without_row_is_listed(engine: Engine, spool: Spool, tmp_path: Path) -> None:
    relative, data = publish(spool, tmp_path, quarantined="yes")
    assert run(engine, spool) == Recovered(set_aside=1)
    with engine.connect() as connection:
        (entry,) = store.list_quarantine(connection)
    assert entry.path == relative
    assert data_set_bytes(spool.path(entry.path)) == data


def test_more_files_than_one_query_takes(engine: Engine, spool: Spool, tmp_path: Path) -> None:
    relative, _ = publish(spool, tmp_path)
    for number in range(230):
        spool.path(f"received/bb/{number}-key{number}.dcm").parent.mkdir(parents=True, exist_ok=True)
        spool.path(f"received/bb/{number}-key{number}.dcm").write_bytes(b"noise")
    assert run(engine, spool) == Recovered(adopted=1, set_aside=230)
    assert list(spool.files("received")) == [relative]


def test_recovery_ends_early_when_the_receiver_stops(engine: Engine, spool: Spool, tmp_path: Path) -> None:
    publish(spool, tmp_path)
    assert recover(engine, spool, clock=lambda: 1.0, should_stop=lambda: True) == Recovered()
