"""``spine-node retention``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from inference.errors import UsageRefusal
from server.compose import open_node
from server.options import with_settings
from server.output import wide_console
from server.retention import Candidate, delete_expired, is_set, survey_of
from server.settings import Settings

_GIB = 1024**3


@with_settings
def command(
    settings: Settings,
    apply: Annotated[bool, typer.Option("--apply", help="Delete them now, instead of listing them.")] = False,  # noqa: FBT002
    kept: Annotated[bool, typer.Option("--kept", help="Also list what is kept although it is due.")] = False,  # noqa: FBT002
) -> None:
    """List the studies whose images would be deleted now, and why others are kept; nothing is deleted without --apply.

    Raises:
        UsageRefusal: no rule is set, so that nothing would ever go.
    """
    node = open_node(settings)
    if not is_set(node):
        raise UsageRefusal("Neither retention_days nor received_max_gib is set: images are kept for ever.")
    if apply:
        gone = delete_expired(node, at_once=10**6)
        typer.echo(f"The images of {gone} studies were deleted.")
        return
    due = survey_of(node)
    going = [one for one in due if one.kept_because is None]
    wide_console().print(_table("Would be deleted", going))
    if kept:
        wide_console().print(_table("Due, and kept", [one for one in due if one.kept_because is not None]))
    size = sum(one.size_bytes for one in going) / _GIB
    typer.echo(f"{len(going)} studies, {size:.2f} GiB would be deleted; {len(due) - len(going)} that are due are kept.")


def _table(title: str, found: list[Candidate]) -> Table:
    table = Table("study", "last received", "instances", "MiB", "because of", "kept because", title=title)
    for one in found:
        last = datetime.fromtimestamp(one.last_received_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        size = (str(one.instance_count), f"{one.size_bytes / 2**20:.1f}")
        table.add_row(one.study_instance_uid, last, *size, one.cause, one.kept_because or "")
    return table
