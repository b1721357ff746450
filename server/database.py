"""The database: one engine for our tables and for DBOS, SQLite by default or PostgreSQL by URL.

SQLite runs in WAL mode, so that readers never wait for a writer, with ``synchronous=FULL``: a committed row survives
a power cut, which is what an acknowledged C-STORE promises. Every transaction takes the write lock when it begins
(``BEGIN IMMEDIATE``); one that only reads says so with :func:`reading`.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, delete, event, insert, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from dicom_node.object_store import ObjectStoreFailure
from inference.errors import SettingRefusal, StorageFailure
from server.events import fault
from server.tables import schema_epoch

T = TypeVar("T")

HEAD = "0017"
"""The newest migration; the start of a process compares one string with it instead of importing Alembic."""
EPOCH = 1
"""Grows with a migration that takes something away, and only then. Versions of one epoch share a database: migrations
in between only add, with defaults, so that an older version goes on while hosts are upgraded one by one."""

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

FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0
"""Between two tries while the database is away."""
_AWAY_CLASSES = frozenset({"08", "53", "57"})
"""Connection exception, insufficient resources, operator intervention: PostgreSQL, appendix A."""
_AWAY = frozenset({"25006", "25P03", "40001", "40P01"})
"""Read-only (it became a standby), idle too long in a transaction, serialization failure, deadlock."""
_LIBPQ = {
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
"""A server, or a host of several, that does not answer at all is given up after 10 s (libpq's parameters)."""
_SESSION = (
    "-c idle_in_transaction_session_timeout=30000 -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 "
    "-c tcp_keepalives_count=3 -c tcp_user_timeout=10000"
)
"""And the other way round: a process that was paused or cut off inside a transaction keeps no row locked for long."""
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
        return create_engine(postgresql_url(url), pool_pre_ping=True)
    check_versions()
    engine = create_engine(url)
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def postgresql_url(url: str) -> URL:
    """The URL with our limits of waiting, which those that it names itself go before; DBOS gets them by it too."""
    made = make_url(url)
    defaults = {name: value for name, value in {**_LIBPQ, "options": _SESSION}.items() if name not in made.query}
    return made.update_query_dict(defaults)


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


class Standing(StrEnum):
    """How the tables of a database and this version of the software stand to each other."""

    CURRENT = "current"
    OLDER = "older"
    """Empty, or to be migrated; or unreachable."""
    NEWER = "newer"
    """Of a newer version, and this one may use them."""
    TOO_NEW = "too_new"
    """Of a newer version, and this one may not use them."""


def standing(engine: Engine) -> Standing:
    """What the database says of itself."""
    try:
        with reading(engine) as connection:
            version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            if version == HEAD:
                return Standing.CURRENT
            if version is None or _is_known(version):
                return Standing.OLDER
            epoch = connection.execute(select(schema_epoch.c.epoch)).scalar()
            return Standing.NEWER if epoch == EPOCH else Standing.TOO_NEW
    except DBAPIError:
        return Standing.OLDER


def _is_known(version: str) -> bool:
    """Whether a migration is one of ours; the files alone, since Alembic takes half a second to load."""
    return any((Path(__file__).parent / "migrations" / "versions").glob(f"{version}_*.py"))


def is_current(engine: Engine) -> bool:
    """Whether the database has the newest migration."""
    return standing(engine) is Standing.CURRENT


def prepare(engine: Engine) -> None:
    """Create or upgrade every table; safe when several processes start at once.

    Raises:
        StorageFailure: the database cannot be reached or written, or is of a version that this one cannot use.
    """
    try:
        _make_parent(engine)
        found = standing(engine)
        if found is Standing.OLDER:
            _migrate(engine)
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise StorageFailure(f"The database {shown_url(engine)} cannot be prepared: {_cause(error)}.") from error
    if found is Standing.TOO_NEW:
        where = shown_url(engine)
        raise StorageFailure(f"The database {where} was upgraded by a newer version; upgrade this host too.")


def patiently(work: Callable[[], T]) -> T:
    """Do what consists of whole transactions, and again for as long as the database is away: DBOS waits as long.

    Also while the object store is away that hosts share.

    What was committed while its answer was lost is done twice, so it has to be repeatable, as every step is.
    """
    wait_s = FIRST_WAIT_S
    while True:
        try:
            return work()
        except DBAPIError as error:
            if not is_away(error):
                raise
            fault("database_away", error, seconds=wait_s)
        except ObjectStoreFailure as failure:
            fault("object_store_away", failure, reason=str(failure), seconds=wait_s)
        time.sleep(wait_s)
        wait_s = min(wait_s * 2, LONGEST_WAIT_S)


def is_away(error: DBAPIError) -> bool:
    """Whether the database, rather than what was asked of it, is at fault: it restarts, fails over, is out of reach."""
    if error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None)
    if state is None:  # no server said it: psycopg could not connect, or the connection broke
        return type(error.orig).__module__.startswith("psycopg") and isinstance(error, OperationalError)
    return state in _AWAY or state[:2] in _AWAY_CLASSES


def shown_url(engine: Engine) -> str:
    """The URL without a password, wherever in it one stands, and without what we put into it."""
    hidden = {key: "hidden" for key in engine.url.query if "password" in key.casefold()}
    shown = engine.url.difference_update_query((*_LIBPQ, "options")).update_query_dict(hidden)
    return shown.render_as_string(hide_password=True)


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
        connection.execute(delete(schema_epoch))
        connection.execute(insert(schema_epoch).values(epoch=EPOCH))


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
