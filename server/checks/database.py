"""The database, which this check neither makes nor migrates."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from server.checks.answer import Answer, fail, ok, warn
from server.database import CLOCKS, HEAD, reading, shown_url

LARGEST_OFFSET_S = 2.0
"""Leases are kept by the database's clock, times of studies by ours; the shortest lease is 3 s."""


def check_database(engine: Engine) -> Iterator[Answer]:
    """Reached, of this version, writable, and its clock."""
    if not is_there(engine):
        yield ok("database", f"{engine.url.database} is not there yet: the first start of the node makes it.")
        return
    try:
        version, offset = _look(engine)
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        yield fail(
            "database",
            f"{shown_url(engine)} does not answer: {cause}.",
            "Is it running, and are name, user and password of database_url right?",
        )
        return
    yield _check_version(version)
    yield _check_writable(engine)
    yield _check_clock(offset)


def is_there(engine: Engine) -> bool:
    """Whether connecting would not make an empty SQLite file."""
    return engine.dialect.name != "sqlite" or Path(engine.url.database or "").exists()


def _look(engine: Engine) -> tuple[str | None, float]:
    clock = CLOCKS[engine.dialect.name]
    with reading(engine) as connection:
        before = time.time()
        theirs = float(connection.execute(text(f"SELECT {clock}")).scalar_one())
        offset = theirs - (before + time.time()) / 2
        is_made = engine.dialect.has_table(connection, "alembic_version")
        version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar() if is_made else None
    return version, offset


def _check_version(version: str | None) -> Answer:
    if version == HEAD:
        return ok("database", f"The tables are those of this version ({HEAD}).")
    if version is None:
        return ok("database", "It is empty: the first start of the node makes the tables.")
    return warn(
        "database",
        f"The tables are of version {version}, this program's of {HEAD}.",
        "A start of the node brings older ones up to date; make a backup first (spine-node backup).",
    )


def _check_writable(engine: Engine) -> Answer:
    try:
        with engine.connect() as connection:  # SQLite takes the write lock when a transaction begins
            is_read_only = engine.dialect.name == "postgresql" and (
                connection.execute(text("SHOW transaction_read_only")).scalar_one() == "on"
            )
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        return fail("database writes", f"It cannot be written: {cause}.", "Whose is the file, and is the disk full?")
    if is_read_only:
        return fail("database writes", "It is read-only: a standby?", "Point database_url to the primary server.")
    return ok("database writes", "It can be written.")


def _check_clock(offset: float) -> Answer:
    words = f"The database's clock and ours are {abs(offset):.1f} s apart."
    if abs(offset) > LARGEST_OFFSET_S:
        return fail("database clock", words, "Set both machines' clocks by NTP: leases of workers depend on it.")
    return ok("database clock", words)
