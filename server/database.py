"""The database: one engine for our tables and for DBOS, SQLite by default or PostgreSQL by URL.

SQLite runs in WAL mode, so that readers never wait for a writer, with ``synchronous=FULL``: a committed row survives
a power cut, which is what an acknowledged C-STORE promises. Every transaction takes the write lock when it begins
(``BEGIN IMMEDIATE``); one that only reads says so with :func:`reading`.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from inference.errors import SettingRefusal, StorageFailure

HEAD = "0016"
"""The newest migration; the start of a process compares one string with it instead of importing Alembic."""

BUSY_TIMEOUT_MS = 30_000
DBOS_TABLES = frozenset(
    {
        "dbos_migrations",
        "workflow_status",
        "workflow_input",
        "workflow_output",
        "operation_outputs",
        "notifications",
        "workflow_events",
        "workflow_events_history",
        "streams",
        "workflow_schedules",
        "application_versions",
        "queues",
    }
)
"""Tables that DBOS makes in a SQLite file (workflow.md 7); in PostgreSQL they are in a schema of their own."""

CLOCKS = {
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",  # Julian day of 1970-01-01T00:00Z
    "postgresql": "extract(epoch from clock_timestamp())",
}
"""The database's clock in seconds since the epoch, as SQL, by dialect."""

_READ_ONLY = "spine_read_only"
_MIGRATION_LOCK = 0x5350_494E_45  # "SPINE": one migrator at a time on PostgreSQL
_SUBSEC_SQLITE = (3, 42)
_SUBSEC_PYTHON = (3, 12)


def check_versions() -> None:
    """Refuse the one combination in which DBOS cannot start (workflow.md 2).

    Raises:
        SettingRefusal: Python 3.12 or newer with SQLite older than 3.42.
    """
    if sys.version_info >= _SUBSEC_PYTHON and sqlite3.sqlite_version_info < _SUBSEC_SQLITE:
        raise SettingRefusal(
            f"Python {sys.version_info.major}.{sys.version_info.minor} needs SQLite 3.42 or newer for the work queue, "
            f"got {sqlite3.sqlite_version}; use Python 3.11, or PostgreSQL (database_url)."
        )


def make_engine(url: str) -> Engine:
    """The engine for our own tables; nothing is connected yet."""
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True)
    check_versions()
    engine = create_engine(url)
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # _begin_sqlite starts transactions: sqlite3 would do so only before a write
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA synchronous=FULL")


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads, and so waits for nobody."""
    with engine.execution_options(**{_READ_ONLY: True}).connect() as connection:
        yield connection


def is_current(engine: Engine) -> bool:
    """Whether the database has the newest migration."""
    try:
        with reading(engine) as connection:
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == HEAD
    except DBAPIError:
        return False


def prepare(engine: Engine) -> None:
    """Create or upgrade every table; safe when several processes start at once.

    Raises:
        StorageFailure: the database cannot be reached or written.
    """
    try:
        _make_parent(engine)
        if is_current(engine):
            return
        _migrate(engine)
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise StorageFailure(f"The database {shown_url(engine)} cannot be prepared: {_cause(error)}.") from error


def shown_url(engine: Engine) -> str:
    """The URL without a password, wherever in it one stands."""
    hidden = {key: "hidden" for key in engine.url.query if "password" in key.casefold()}
    return engine.url.update_query_dict(hidden).render_as_string(hide_password=True)


def _cause(error: Exception) -> str:
    """The first line of what the driver said."""
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0].rstrip(".")


def _make_parent(engine: Engine) -> None:
    file = engine.url.database
    if engine.dialect.name == "sqlite" and file and file != ":memory:":
        Path(file).parent.mkdir(parents=True, exist_ok=True)


def _migrate(engine: Engine) -> None:
    from dbos import DBOS  # noqa: PLC0415 - only a process that migrates pays for it

    file = engine.url.database
    if engine.dialect.name == "sqlite" and file:
        _write_ahead(file)
    DBOS.migrate(dbos_url(engine))
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        _upgrade(connection)


def _write_ahead(file: str) -> None:
    """Switch a database to write-ahead logging, which is kept in the file and impossible inside a transaction.

    While another process switches it, SQLite says "locked" at once, whatever the busy timeout.
    """
    last = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    with closing(sqlite3.connect(file, timeout=BUSY_TIMEOUT_MS / 1000)) as connection:
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError:
                if time.monotonic() > last:
                    raise
                time.sleep(0.02)
            else:
                return


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - half a second that only a migrating process pays
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def dbos_url(engine: Engine) -> str:
    """The same database, as DBOS wants its URL."""
    return make_url(engine.url).render_as_string(hide_password=False)
