from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, insert, inspect, text
from sqlalchemy.exc import OperationalError, ProgrammingError

import server
from builders.postgres import PostgresCluster
from dicom_node.tables import quarantine
from inference.errors import StorageFailure
from server.database import (
    DBOS_TABLES,
    EPOCH,
    HEAD,
    Standing,
    is_away,
    is_current,
    make_engine,
    patiently,
    prepare,
    reading,
    standing,
)
from server.tables import ALL_METADATA

MIGRATIONS = Path(server.__file__).parent / "migrations"


def test_the_migrations_make_exactly_the_tables_of_the_code(engine: Engine) -> None:
    with reading(engine) as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_object": lambda _o, name, kind, _r, _c: not (kind == "table" and name in DBOS_TABLES),
                "compare_type": True,
            },
        )

        assert compare_metadata(context, list(ALL_METADATA)) == []


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))

    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_a_database_of_a_newer_version_of_the_same_epoch_is_used_as_it_is(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    prepare(engine)

    assert standing(engine) is Standing.NEWER


def test_a_database_of_a_later_epoch_is_refused(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(text("UPDATE schema_epoch SET epoch = :epoch"), {"epoch": EPOCH + 1})

    with pytest.raises(StorageFailure, match=r"upgraded by a newer version; upgrade this host too"):
        prepare(engine)


def test_migrations_of_one_epoch_only_add() -> None:
    """What a worker of an earlier version needs is still there while hosts are upgraded one by one."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    later = list(ScriptDirectory.from_config(config).iterate_revisions("heads", "0010"))
    assert "0015" in {script.revision for script in later}
    for script in later:
        upgrade = Path(script.path).read_text().partition("def upgrade")[2].partition("def downgrade")[0]
        for taking in ("drop_", "alter_column", "rename_", "op.execute"):
            assert taking not in upgrade, f"{script.path} takes something away: raise server.database.EPOCH"


@pytest.mark.peer("postgresql")
def test_what_the_database_refuses_is_not_waited_for_and_its_absence_is(tmp_path: Path) -> None:
    with PostgresCluster.started() as cluster:
        engine = make_engine(cluster.new_database().replace("postgresql:", "postgresql+psycopg:"))
        with pytest.raises(ProgrammingError) as wrong, engine.begin() as connection:
            connection.execute(text("SELECT no_such_column"))
        assert not is_away(wrong.value)
        tries: list[str] = []

        def work() -> int:
            tries.append("begun")
            if len(tries) == 3:
                cluster.start()
            with engine.begin() as connection:
                if len(tries) == 1:
                    cluster.stop("immediate")
                return int(connection.execute(text("SELECT 42")).scalar_one())

        assert patiently(work) == 42
        assert len(tries) == 3
        engine.dispose()


def test_every_table_of_the_work_queue_is_left_alone(sqlite_template: Path) -> None:
    engine = make_engine(f"sqlite:///{sqlite_template}")
    ours = {table for metadata in ALL_METADATA for table in metadata.tables} | {"alembic_version"}

    assert set(inspect(engine).get_table_names()) - ours == DBOS_TABLES
    engine.dispose()


def test_several_processes_may_prepare_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'deep' / 'spine.sqlite'}"
    program = f"from server.database import *; e = make_engine({url!r}); prepare(e); assert is_current(e)"
    running = [subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) for _ in range(3)]

    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()


@pytest.mark.peer("postgresql")
def test_several_processes_may_prepare_an_empty_postgresql_at_once(postgres: object) -> None:
    url = postgres.new_database().replace("postgresql:", "postgresql+psycopg:")  # type: ignore[attr-defined]
    program = f"from server.database import *; e = make_engine({url!r}); prepare(e); assert is_current(e)"
    running = [subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) for _ in range(3)]

    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()


def test_sqlite_keeps_what_it_committed(sqlite_template: Path) -> None:
    engine = make_engine(f"sqlite:///{sqlite_template}")
    with reading(engine) as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2  # FULL
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
    engine.dispose()


def test_a_reader_does_not_wait_for_a_writer(engine: Engine) -> None:
    row = {"path": "p", "verdict": "v", "reason": "r", "sha256": "s", "received_at": 0.0, "source_ae_title": "A"}
    with engine.begin() as writer:
        writer.execute(insert(quarantine).values(**row))
        with reading(engine) as reader:
            assert reader.execute(text("SELECT count(*) FROM quarantine")).scalar() == 0


def test_a_transaction_that_reads_first_keeps_other_writers_out(sqlite_template: Path, tmp_path: Path) -> None:
    """Python's sqlite3 begins a transaction only before a write: what was read before could be changed meanwhile."""
    copy = tmp_path / "spine.sqlite"
    copy.write_bytes(sqlite_template.read_bytes())
    first, second = make_engine(f"sqlite:///{copy}"), make_engine(f"sqlite:///{copy}")
    with second.connect() as impatient:
        impatient.connection.execute("PRAGMA busy_timeout=50")
        impatient.rollback()
        with first.begin() as reader:
            reader.execute(text("SELECT count(*) FROM quarantine"))
            with pytest.raises(OperationalError, match="locked"):
                impatient.execute(text("DELETE FROM quarantine"))
    first.dispose()
    second.dispose()


def test_an_unreachable_database_is_a_failure_without_the_password() -> None:
    engine = make_engine("postgresql+psycopg://user:secret@127.0.0.1:1/none?connect_timeout=2")

    with pytest.raises(StorageFailure) as failed:
        prepare(engine)

    assert "secret" not in str(failed.value)
    assert "cannot be prepared" in str(failed.value)
    assert not is_current(engine)


def test_a_folder_that_cannot_be_made_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")

    with pytest.raises(StorageFailure, match="cannot be prepared"):
        prepare(make_engine(f"sqlite:///{tmp_path / 'file' / 'spine.sqlite'}"))
