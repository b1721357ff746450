"""Backups of a node on SQLite: what is in them, what is refused, what is noticed."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import insert

from builders.dicom import SeriesPlan, small_voxels, write_series
from builders.peers import LOOPBACK
from dicom_node import scu
from dicom_node.scp import Receiver
from dicom_node.scu import Destination
from dicom_node.tables import removals, web_headers
from inference.errors import StorageFailure, UsageRefusal
from server.auth.administration import record_change
from server.auth.audit.record import AuditKind
from server.auth.tables import sessions
from server.backup.restore import restore_backup
from server.backup.rows import FILE_COLUMNS
from server.backup.take import left_out, take_backup
from server.cli import run
from server.compose import Node, receiver_settings
from server.settings import Settings
from server.tables import ALL_METADATA


@pytest.fixture
def full(node: Node, tmp_path: Path) -> Node:
    """A node that received three instances; somebody is signed in, and the audit trail has a row."""
    paths = write_series(tmp_path / "sent", SeriesPlan(voxels=small_voxels(3)))
    receiver = Receiver(receiver_settings(node.settings), node.engine, node.spool)
    receiver.start()
    try:
        peer = Destination(name="node", ae_title="SPINEAI", host=LOOPBACK, port=receiver.port, calling_ae_title="CT")
        scu.send(paths, peer)
    finally:
        receiver.stop(grace_s=5.0)
    now = time.time()
    with node.engine.begin() as connection:
        connection.execute(
            insert(sessions).values(
                token_sha256="a" * 64,
                subject="s",
                display_name="d",
                role="viewer",
                method="password",
                generation=1,
                created_at=now,
                last_seen_at=now,
            )
        )
        record_change(connection, AuditKind.USER_CHANGED, "somebody")
    return node


@pytest.fixture
def backup(full: Node, tmp_path: Path) -> Path:
    take_backup(full, tmp_path / "backup")
    return tmp_path / "backup"


def elsewhere(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "elsewhere")


def instances_in(backup: Path) -> list[Path]:
    return sorted((backup / "data" / "received").rglob("*.dcm"))


def test_every_column_that_names_a_file_is_known() -> None:
    columns = {
        f"{table.name}.{column.name}"
        for metadata in ALL_METADATA
        for table in metadata.sorted_tables
        for column in table.columns
        if column.name == "path" or column.name.endswith("_path")
    }
    known = {f"{one.table.name}.{one.path.name}" for one in FILE_COLUMNS}
    # The first repeats what instances and results say, the second names files that are being deleted.
    assert columns - known == {f"{web_headers.name}.path", f"{removals.name}.path"}


def test_what_is_in_it_and_what_is_not(full: Node, backup: Path) -> None:
    checked = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=backup, check=False)
    assert checked.returncode == 0
    manifest = json.loads((backup / "manifest.json").read_text())
    assert (manifest["schema"], manifest["database"], manifest["files"]) == ("spine-backup/1", "sqlite", 4)
    assert (manifest["rows"]["instances"], manifest["rows"]["audit"]) == (3, 1)
    assert len(instances_in(backup)) == 3
    assert backup.stat().st_mode & 0o777 == 0o700
    with closing(sqlite3.connect(backup / "spine.sqlite")) as copy:
        assert copy.execute("SELECT count(*) FROM sessions").fetchone() == (0,)
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert b"a" * 64 not in (backup / "spine.sqlite").read_bytes()
    (full.settings.data_dir / "server.key").touch()
    assert left_out(full.settings.data_dir) == ["server.key"]


def test_what_was_backed_up_is_restored(full: Node, backup: Path, tmp_path: Path) -> None:
    there = elsewhere(tmp_path)
    restored = restore_backup(backup, there)

    assert restored.files == 3
    for path in instances_in(backup):
        relative = path.relative_to(backup / "data")
        assert (there.data_dir / relative).read_bytes() == (full.settings.data_dir / relative).read_bytes()
    with closing(sqlite3.connect(there.data_dir / "spine.sqlite")) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("SELECT count(*) FROM instances").fetchone() == (3,)


def test_linked_files_take_no_room(full: Node, tmp_path: Path) -> None:
    take_backup(full, tmp_path / "linked", hard_links=True)

    assert all(path.stat().st_nlink == 2 for path in instances_in(tmp_path / "linked"))
    assert restore_backup(tmp_path / "linked", elsewhere(tmp_path)).files == 3


def test_a_place_that_is_not_empty_is_refused(full: Node, backup: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageRefusal, match="is not an empty folder: each backup"):
        take_backup(full, backup)
    with pytest.raises(UsageRefusal, match="lies in the data folder"):
        take_backup(full, full.settings.data_dir / "backup")
    with pytest.raises(UsageRefusal, match="is not an empty folder: a backup is restored"):
        restore_backup(backup, full.settings)
    taken = Settings(data_dir=tmp_path / "new", database_url=f"sqlite:///{full.settings.data_dir / 'spine.sqlite'}")
    with pytest.raises(UsageRefusal, match="restored beside no other database"):
        restore_backup(backup, taken)
    postgres = Settings(data_dir=tmp_path / "new", database_url="postgresql://u@127.0.0.1:1/x")
    with pytest.raises(UsageRefusal, match="The backup is of sqlite, and database_url names postgresql"):
        restore_backup(backup, postgres)


def test_a_backup_that_was_changed_or_not_finished_is_not_restored(backup: Path, tmp_path: Path) -> None:
    there = elsewhere(tmp_path)
    victim = instances_in(backup)[0]
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-1] + b"!")
    with pytest.raises(StorageFailure, match="is damaged: its digest is"):
        restore_backup(backup, there)
    assert not (there.data_dir / "spine.sqlite").exists()
    shutil.rmtree(there.data_dir)
    victim.unlink()
    with pytest.raises(StorageFailure, match="cannot be restored"):
        restore_backup(backup, there)
    victim.write_bytes(whole)

    sums = (backup / "SHA256SUMS").read_text()
    (backup / "SHA256SUMS").write_text(sums.replace("data/", "data/../../", 1))
    with pytest.raises(UsageRefusal, match="the backup was changed"):
        restore_backup(backup, elsewhere(tmp_path / "b"))
    (backup / "manifest.json").write_text("{}")
    with pytest.raises(UsageRefusal, match="cannot be read"):
        restore_backup(backup, elsewhere(tmp_path / "b"))
    (backup / "manifest.json").unlink()
    with pytest.raises(UsageRefusal, match="it is no backup, or one that was not finished"):
        restore_backup(backup, elsewhere(tmp_path / "b"))


def test_a_row_without_its_file_and_a_broken_chain_are_named(full: Node, tmp_path: Path) -> None:
    with full.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE audit SET record = '{}'")
    with pytest.raises(StorageFailure, match="Row 1 of the audit trail was changed"):
        take_backup(full, tmp_path / "a")
    with full.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM audit")
    next((full.settings.data_dir / "received").rglob("*.dcm")).unlink()
    with pytest.raises(StorageFailure, match=r"A row of instances names received/.*, which is not there"):
        take_backup(full, tmp_path / "b")
    assert not (tmp_path / "b" / "manifest.json").exists()


def test_the_commands(full: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["backup", str(tmp_path / "backup"), "--data-dir", str(full.settings.data_dir)]) == 0
    assert "4 files, 3 instances, 1 studies." in capsys.readouterr().out
    assert run(["restore", str(tmp_path / "backup"), "--data-dir", str(tmp_path / "elsewhere")]) == 0
    assert "every digest, every chain" in capsys.readouterr().out
    assert run(["restore", str(tmp_path / "backup"), "--data-dir", str(tmp_path / "elsewhere")]) == 2
    assert run(["audit", "verify", "--data-dir", str(tmp_path / "elsewhere")]) == 0
    with full.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    assert run(["backup", str(tmp_path / "other"), "--data-dir", str(full.settings.data_dir)]) == 2
    assert "with the program of that version" in capsys.readouterr().err
