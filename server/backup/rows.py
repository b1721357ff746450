"""Which rows name files, and what is asked of the database of a backup: counts, chains, files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, func, select

from dicom_node.tables import instances, quarantine, results
from server.attachment_rows import AttachmentState
from server.auth.audit import trail
from server.claims.history import fault_of
from server.tables import ALL_METADATA, claim_actions, claim_attachments, claim_reports, received_reports, reviews, runs

MODELS = "models"
FOLDERS = ("received", "quarantine", "results", "attachments", "claims", "reports", MODELS)
"""What is copied of the data folder. Left out: the receive log (whose instances become files), unfinished files, locks,
the viewer, and whatever a site put there."""
FORGOTTEN = ("sessions",)
"""Tables whose rows are left out: who is signed in signs in again."""
_CHUNK = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class FileColumn:
    """A column that names files, relative to the data folder."""

    path: Column[Any]
    sha256: Column[Any] | None = None
    """Of the whole file; None where the digest is of something else."""
    condition: ColumnElement[bool] | None = None

    @property
    def table(self) -> Table:
        """Where it stands."""
        table = self.path.table
        assert isinstance(table, Table)  # noqa: S101 - columns of our tables
        return table


FILE_COLUMNS: tuple[FileColumn, ...] = (
    FileColumn(path=instances.c.path),
    FileColumn(path=quarantine.c.path),
    FileColumn(path=results.c.path, sha256=results.c.sha256),
    FileColumn(path=runs.c.findings_path, sha256=runs.c.findings_sha256),
    FileColumn(path=reviews.c.findings_path, sha256=reviews.c.findings_sha256),
    FileColumn(path=claim_reports.c.path, sha256=claim_reports.c.sha256),
    FileColumn(path=received_reports.c.path, sha256=received_reports.c.sha256),
    FileColumn(
        path=claim_attachments.c.path,
        sha256=claim_attachments.c.sha256,
        condition=claim_attachments.c.state != AttachmentState.MAKING,
    ),
)
"""Every column that names a file; a test finds columns that are not here."""


def named_files(connection: Connection) -> Iterator[tuple[FileColumn, str, str | None]]:
    """(column, path, digest of the file or None) of every row that names a file."""
    for column in FILE_COLUMNS:
        digest = column.path if column.sha256 is None else column.sha256
        query = select(column.path, digest).where(column.path.is_not(None))
        if column.condition is not None:
            query = query.where(column.condition)
        for path, sha256 in connection.execute(query, execution_options={"yield_per": _CHUNK}):
            yield column, str(path), None if column.sha256 is None else str(sha256)


def is_named(connection: Connection, column: FileColumn, path: str) -> bool:
    """Whether a row still names that file."""
    query = select(func.count()).select_from(column.table).where(column.path == path)
    return bool(connection.execute(query).scalar_one())


def count_rows(connection: Connection) -> Mapping[str, int]:
    """Rows by table, of all tables that are ours and kept."""
    tables = [table for metadata in ALL_METADATA for table in metadata.sorted_tables if table.name not in FORGOTTEN]
    return {
        table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
        for table in sorted(tables, key=lambda table: table.name)
    }


def chain_faults(connection: Connection) -> list[str]:
    """One sentence about each chain of hashes that is broken: the audit trail's, and each claim's history."""
    audit = trail.verify(connection).fault
    claims = connection.execute(select(claim_actions.c.claim_id).distinct()).scalars().all()
    faults = [(claim, fault_of(connection, claim)) for claim in claims]
    return [*([audit] if audit else []), *(f"Claim {claim}: {fault}" for claim, fault in faults if fault)]
