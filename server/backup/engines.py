"""Taking and putting back the database: SQLite's online backup, or PostgreSQL's own programs."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from inference.errors import StorageFailure, UsageRefusal
from server.backup.manifest import POSTGRES_FILE, SQLITE_FILE
from server.backup.rows import FORGOTTEN
from server.database import make_engine, reading, shown_url


@contextmanager
def taken_snapshot(engine: Engine, folder: Path) -> Iterator[tuple[Connection, str]]:
    """Copy the database into a folder; a connection that reads exactly what was copied, and the name of the file.

    Raises:
        UsageRefusal: a program that it takes is not installed.
        StorageFailure: it cannot be copied.
    """
    if engine.dialect.name == "sqlite":
        _take_sqlite(engine.url.database or "", folder / SQLITE_FILE)
        copy = make_engine(f"sqlite:///{(folder / SQLITE_FILE).absolute()}")
        with reading(copy) as connection:
            yield connection, SQLITE_FILE
        copy.dispose()
        return
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))  # pg_dump takes its time
        snapshot = connection.execute(text("SELECT pg_export_snapshot()")).scalar_one()
        _take_postgres(engine, folder / POSTGRES_FILE, snapshot)
        yield connection, POSTGRES_FILE


def _take_sqlite(source: str, target: Path) -> None:
    """SQLite's online backup; others may write meanwhile."""
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as live,
            closing(sqlite3.connect(target)) as copy,
        ):
            live.backup(copy)  # in one step: with write-ahead logging nobody waits, and nobody makes it begin again
            copy.execute("PRAGMA secure_delete=ON")
            for table in FORGOTTEN:
                copy.execute(f"DELETE FROM {table}")  # noqa: S608 - a constant
            copy.commit()
    except sqlite3.Error as error:
        raise StorageFailure(f"The database {source} cannot be copied: {error}.") from error


def _take_postgres(engine: Engine, target: Path, snapshot: str) -> None:
    """pg_dump of one snapshot: our tables and those of the work queue."""
    left_out = [f"--exclude-table-data=*.{table}" for table in FORGOTTEN]
    _run("pg_dump", engine, ["--format=custom", f"--snapshot={snapshot}", f"--file={target}", *left_out])


def put_postgres(engine: Engine, source: Path) -> None:
    """Fill an empty database from a dump, all of it or nothing.

    Raises:
        UsageRefusal: the database is not empty, or pg_restore is not installed.
        StorageFailure: it failed.
    """
    _run("pg_restore", engine, ["--exit-on-error", "--single-transaction", "--no-owner", "--no-acl", str(source)])


def require_empty(engine: Engine) -> None:
    """Refuse a PostgreSQL database that holds any table.

    Raises:
        UsageRefusal: it does.
    """
    found = [name for schema in ("public", "dbos") for name in inspect(engine).get_table_names(schema=schema)]
    if found:
        where = shown_url(engine)
        raise UsageRefusal(f"{where} holds {len(found)} tables, like {found[0]}: restore into an empty database.")


def _run(program: str, engine: Engine, words: list[str]) -> None:
    path = shutil.which(program)
    if path is None:
        raise UsageRefusal(f"{program} is not installed: install PostgreSQL's client programs (postgresql-client).")
    command = [path, "--no-password", "--dbname", engine.url.database or "", *words]
    done = subprocess.run(  # noqa: S603 - PostgreSQL's own program
        command, env=os.environ | _libpq(engine), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise StorageFailure(f"{program} ended with {done.returncode}: {last}")


def _libpq(engine: Engine) -> dict[str, str]:
    """The connection as environment variables: the command line shows in the list of processes."""
    _, words = engine.dialect.create_connect_args(engine.url)  # several hosts come as libpq has them
    named = {name: value for name, value in words.items() if name != "dbname" and isinstance(value, str | int)}
    return {_VARIABLES.get(name, f"PG{name.upper().replace('_', '')}"): str(value) for name, value in named.items()}


_VARIABLES = {"connect_timeout": "PGCONNECT_TIMEOUT"}
"""Parameters whose variable has a name of its own kind (PostgreSQL, 32.15)."""
