"""Putting a backup back into an empty place, and looking whether everything is there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from dicom_node.spool import OF_ONE_HOST
from inference.errors import StorageFailure, UsageRefusal
from server.auth.audit import trail
from server.backup.engines import put_postgres, require_empty
from server.backup.manifest import DATA, SQLITE_FILE, Manifest, copy_with_digest, digest_of, read_manifest, read_sums
from server.backup.rows import FORGOTTEN, MODELS, chain_faults, count_rows, named_files
from server.compose import open_spool
from server.database import make_engine, reading
from server.settings import Settings

_LISTED_FAULTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was put back and found whole."""

    manifest: Manifest
    files: int
    rows: int


def restore_backup(backup: Path, settings: Settings) -> Restored:
    """Put a backup back where the settings say; nothing runs there yet.

    Files come first and the database last, so that a folder in which this was interrupted holds no database: empty it
    and begin again.

    Raises:
        UsageRefusal: the folder or the database is not empty, or the backup is not one of this kind of database.
        StorageFailure: the backup is damaged, something cannot be written, or what was put back is not whole.
    """
    manifest = read_manifest(backup)
    engine = make_engine(settings.resolved_database_url())
    _require_place(manifest, settings, engine)
    try:
        digests = _copy(backup, settings.data_dir)
        os.sync()
        _put_objects(digests, settings)
        _put_database(backup, manifest, engine)
        with reading(engine) as connection:
            _require_whole(connection, manifest, digests)
    except OSError as error:
        raise StorageFailure(f"The backup cannot be restored to {settings.data_dir}: {error.strerror}.") from error
    except SQLAlchemyError as error:
        raise StorageFailure(f"The restored database does not answer ({type(error).__name__}).") from error
    finally:
        engine.dispose()
    return Restored(manifest=manifest, files=len(digests), rows=sum(manifest.rows.values()))


def _require_place(manifest: Manifest, settings: Settings, engine: Engine) -> None:
    folder = settings.data_dir
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageRefusal(f"{folder} is not an empty folder: a backup is restored into a new one.")
    if engine.dialect.name != manifest.database:
        raise UsageRefusal(f"The backup is of {manifest.database}, and database_url names {engine.dialect.name}.")
    if manifest.database == "postgresql":
        require_empty(engine)
    elif Path(engine.url.database or "").exists():
        raise UsageRefusal(f"{engine.url.database} is there already: a backup is restored beside no other database.")


def _copy(backup: Path, data_dir: Path) -> Mapping[str, str]:
    """Copy every file of the data folder; path there -> digest. The first file that is damaged ends it."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    digests = {}
    for path, expected in read_sums(backup):
        top, _, relative = path.partition("/")
        is_data = top == DATA and relative != ""
        found = copy_with_digest(backup / path, data_dir / relative) if is_data else digest_of(backup / path)
        if found != expected:
            raise StorageFailure(f"{backup / path} is damaged: its digest is {found or 'none'}, not {expected}.")
        if is_data:
            digests[relative] = found
    return digests


def _put_objects(files: Iterable[str], settings: Settings) -> None:
    """Where hosts share an object store, what they read goes there."""
    with closing(open_spool(settings)) as spool:
        for relative in files:
            if PurePosixPath(relative).parts[0] not in (*OF_ONE_HOST, MODELS):
                spool.upload(relative)


def _put_database(backup: Path, manifest: Manifest, engine: Engine) -> None:
    if manifest.database == "postgresql":
        put_postgres(engine, backup / manifest.database_file)
        return
    target = Path(engine.url.database or "")
    half = target.with_suffix(".restoring")
    copy_with_digest(backup / SQLITE_FILE, half)
    os.sync()
    half.rename(target)
    os.sync()


def _require_whole(connection: Connection, manifest: Manifest, digests: Mapping[str, str]) -> None:
    faults = chain_faults(connection)
    if trail.verify(connection).newest_sha256 != manifest.audit_sha256:
        faults.append("The audit trail does not end where the manifest says.")
    counted = count_rows(connection)
    faults += [
        f"Table {name} has {counted.get(name)} rows, the manifest says {count}."
        for name, count in manifest.rows.items()
        if name not in FORGOTTEN and counted.get(name) != count
    ]
    for column, path, sha256 in named_files(connection):
        if path not in digests:
            faults.append(f"A row of {column.table.name} names {path}, which the backup does not hold.")
        elif sha256 not in (None, digests[path]):
            faults.append(f"{path} is not what its row of {column.table.name} says.")
    if faults:
        more = f" And {len(faults) - _LISTED_FAULTS} more." if len(faults) > _LISTED_FAULTS else ""
        raise StorageFailure(" ".join(faults[:_LISTED_FAULTS]) + more)
