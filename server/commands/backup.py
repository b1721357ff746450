"""``spine-node backup``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from server.auth.administration import record_change
from server.auth.audit.record import AuditKind
from server.backup.take import left_out, take_backup
from server.compose import Node, open_spool
from server.database import make_engine
from server.options import with_settings
from server.settings import Settings


@with_settings
def command(
    settings: Settings,
    folder: Annotated[Path, typer.Argument(help="New folder for the backup.")],
    hard_links: Annotated[bool, typer.Option("--hard-links", help="Link files instead of copying them.")] = False,  # noqa: FBT002
) -> None:
    """Back the node up while it runs: database, instances, results, attachments, reports, imported models.

    Settings, certificates, keys and files with secrets are not in it. It holds patients' data: guard it as such.
    """
    engine = make_engine(settings.resolved_database_url())  # never migrated here: this may be done before an upgrade
    node = Node(settings=settings, engine=engine, spool=open_spool(settings))
    manifest = take_backup(node, folder, hard_links=hard_links)
    with engine.begin() as connection:
        record_change(connection, AuditKind.EXPORTED, f"backup of the whole node, {manifest.sums_sha256}")
    instances = manifest.rows["instances"]
    typer.echo(f"{folder}: {manifest.files} files, {instances} instances, {manifest.rows['studies']} studies.")
    typer.echo(f"sha256 of SHA256SUMS: {manifest.sums_sha256}")
    others = left_out(settings.data_dir)
    if others:
        typer.echo(f"Not in it, though in the data folder: {', '.join(others)}.")
