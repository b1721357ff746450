"""What a backup says of itself, and the digests of its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from inference.errors import UsageRefusal

SCHEMA = "spine-backup/1"
MANIFEST, SUMS, DATA = "manifest.json", "SHA256SUMS", "data"
SQLITE_FILE, POSTGRES_FILE = "spine.sqlite", "database.dump"
READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The summary of one backup."""

    schema: str
    software_version: str
    migration: str
    """Newest migration of the database."""
    database: str
    """``sqlite`` or ``postgresql``."""
    created_at: float
    """When the database was taken, in seconds since the epoch (UTC)."""
    rows: Mapping[str, int]
    """By table."""
    audit_sha256: str
    """Newest hash of the audit trail."""
    files: int
    sums_sha256: str
    """Of SHA256SUMS: whoever notes this one digest elsewhere can tell later that nothing was changed."""

    @property
    def database_file(self) -> str:
        """Name of the database's file."""
        return SQLITE_FILE if self.database == "sqlite" else POSTGRES_FILE

    def write(self, folder: Path) -> None:
        """As JSON, at last: a folder without it is no backup."""
        text = json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"
        (folder / MANIFEST).write_text(text, encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a backup.

    Raises:
        UsageRefusal: there is none, or it is not one of ours.
    """
    try:
        values = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        manifest = Manifest(**values)
    except FileNotFoundError:
        raise UsageRefusal(f"{folder} holds no {MANIFEST}: it is no backup, or one that was not finished.") from None
    except (OSError, ValueError, TypeError) as error:
        raise UsageRefusal(f"{folder / MANIFEST} cannot be read ({type(error).__name__}).") from None
    if manifest.schema != SCHEMA:
        raise UsageRefusal(f"{folder / MANIFEST} has schema {manifest.schema!r}, this program reads {SCHEMA}.")
    if digest_of(folder / SUMS) != manifest.sums_sha256:
        raise UsageRefusal(f"{folder / SUMS} is not the one that the manifest names: the backup was changed.")
    return manifest


def digest_of(path: Path) -> str:
    """SHA-256 of a file; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def write_sums(folder: Path, sums: Iterable[tuple[str, str]]) -> int:
    """Write (path, digest) pairs as sha256sum does; returns how many."""
    count = 0
    with (folder / SUMS).open("w", encoding="utf-8") as file:
        for path, digest in sums:
            file.write(f"{digest}  {path}\n")
            count += 1
    return count


def read_sums(folder: Path) -> Iterator[tuple[str, str]]:
    """(path, digest) of every file of the backup.

    Raises:
        UsageRefusal: a line is not one of sha256sum, or leads out of the backup.
    """
    with (folder / SUMS).open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            digest, _, path = line.rstrip("\n").partition("  ")
            if (
                len(digest) != hashlib.sha256().digest_size * 2
                or not path
                or ".." in Path(path).parts
                or path[0] == "/"
            ):
                raise UsageRefusal(f"Line {number} of {folder / SUMS} is not a digest and a path.")
            yield path, digest


def copy_with_digest(source: Path, target: Path) -> str:
    """Copy a file below a folder that is made as needed; returns the SHA-256 of what was read.

    Raises:
        OSError: it cannot be read or written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with source.open("rb") as read, target.open("xb") as written:
        while chunk := read.read(READ_BYTES):
            digest.update(chunk)
            written.write(chunk)
    return digest.hexdigest()
