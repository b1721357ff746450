"""Making a backup of a node that runs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection

from dicom_node.object_store import CACHE
from dicom_node.spool import LOG, TMP, Spool
from inference.errors import StorageFailure, UsageRefusal
from server import __version__
from server.auth.audit import trail
from server.backup.engines import taken_snapshot
from server.backup.manifest import (
    DATA,
    SCHEMA,
    SQLITE_FILE,
    SUMS,
    Manifest,
    copy_with_digest,
    digest_of,
    write_sums,
)
from server.backup.rows import FOLDERS, chain_faults, count_rows, is_named, named_files
from server.compose import Node
from server.database import HEAD, is_current, reading


def take_backup(node: Node, target: Path, *, hard_links: bool = False) -> Manifest:
    """Write a backup into a folder that is new or empty; the node goes on.

    With ``hard_links`` files are linked instead of copied, which takes no room and works on the same file system only:
    the folder has to be carried elsewhere to be a backup.

    Raises:
        UsageRefusal: the folder holds something or lies in the data folder, or the database is of another version.
        StorageFailure: something cannot be read or written, or a row names a file that is not there.
    """
    _require_new(node, target)
    if not is_current(node.engine):
        raise UsageRefusal("The database is of another version: back it up with the program of that version.")
    created_at = time.time()
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        with taken_snapshot(node.engine, target) as (snapshot, database):
            faults = chain_faults(snapshot)
            if faults:
                raise StorageFailure(f"What is backed up is not whole: {faults[0]}")
            rows, newest = count_rows(snapshot), trail.verify(snapshot).newest_sha256
            copier = _Copier(source=node.spool.root, target=target / DATA, is_linking=hard_links)
            copier.copy_all()
            with reading(node.engine) as live, closing(node.spool):
                _complete(copier, node.spool, snapshot, live)
        count = write_sums(target, sorted([*copier.sums(), (database, digest_of(target / database))]))
        os.sync()  # everything is on the disk before the manifest says that it is a backup
    except OSError as error:
        raise StorageFailure(f"The backup {target} cannot be written: {error.strerror}.") from error
    manifest = Manifest(
        schema=SCHEMA,
        software_version=__version__,
        migration=HEAD,
        database=node.engine.dialect.name,
        created_at=created_at,
        rows=rows,
        audit_sha256=newest,
        files=count,
        sums_sha256=digest_of(target / SUMS),
    )
    manifest.write(target)
    os.sync()
    return manifest


def left_out(data_dir: Path) -> list[str]:
    """What lies in the data folder and is in no backup, by name: for the person who makes it."""
    usual = {*FOLDERS, CACHE, LOG, TMP, "run", "viewer"}
    return sorted(p.name for p in data_dir.iterdir() if p.name not in usual and not p.name.startswith(SQLITE_FILE))


def _require_new(node: Node, target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageRefusal(f"{target} is not an empty folder: each backup has a folder of its own.")
    if target.resolve().is_relative_to(node.settings.data_dir.resolve()):
        raise UsageRefusal(f"{target} lies in the data folder, whose loss it should outlast.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copier:
    """Copies files below one folder, each once, and keeps their digests."""

    source: Path
    target: Path
    is_linking: bool
    digests: dict[str, str] = field(default_factory=dict)

    def copy_all(self) -> None:
        """Everything that is there, folder by folder."""
        for top in FOLDERS:
            for folder, _, names in os.walk(self.source / top):
                for name in sorted(names):
                    self.copy(str((Path(folder) / name).relative_to(self.source)))

    def copy(self, relative: str, file: Path | None = None) -> bool:
        """Whether the file (by default the one of that name) was there: it may have been moved or deleted meanwhile."""
        goal, file = self.target / relative, file or self.source / relative
        try:
            if self.is_linking:
                goal.parent.mkdir(parents=True, exist_ok=True)
                os.link(file, goal)
                self.digests[relative] = digest_of(goal)
            else:
                self.digests[relative] = copy_with_digest(file, goal)
        except FileNotFoundError:
            return False
        return True

    def sums(self) -> Iterator[tuple[str, str]]:
        """(path in the backup, digest) of every file."""
        return ((f"{self.target.name}/{relative}", digest) for relative, digest in self.digests.items())


def _complete(copier: _Copier, spool: Spool, snapshot: Connection, live: Connection) -> None:
    """Hold a file for every row of the snapshot that names one, but for rows that are gone by now."""
    for column, path, sha256 in named_files(snapshot):
        # an instance that is only in the receive log becomes a file, and an object a copy of it
        is_there = path in copier.digests or copier.copy(path, spool.path(path))
        if not is_there and is_named(live, column, path):
            raise StorageFailure(f"A row of {column.table.name} names {path}, which is not there.")
        if is_there and sha256 is not None and copier.digests[path] != sha256:
            raise StorageFailure(f"{path} is not what its row of {column.table.name} says: its digest differs.")
