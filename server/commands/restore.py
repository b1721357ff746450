"""``spine-node restore``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from server.backup.restore import restore_backup
from server.options import with_settings
from server.settings import Settings


@with_settings
def command(settings: Settings, folder: Annotated[Path, typer.Argument(help="Folder of the backup.")]) -> None:
    """Restore a backup into an empty data folder (and an empty database), and verify digests, chains and rows."""
    restored = restore_backup(folder, settings)
    taken = datetime.fromtimestamp(restored.manifest.created_at, UTC)
    typer.echo(
        f"{restored.files} files and {restored.rows} rows are as they were on {taken:%Y-%m-%d %H:%M:%S} UTC: every "
        f"digest, every chain, and a file for every row that names one."
    )
    typer.echo("Start the node when the old one is off for good: two would deliver the same studies.")
