"""``spine-node audit``."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from inference.errors import StorageFailure, UsageRefusal
from server.auth.audit.trail import START
from server.auth.audit.trail import verify as follow
from server.compose import open_node
from server.database import reading
from server.options import with_settings
from server.settings import Settings

application = typer.Typer(no_args_is_help=True)


@application.callback()
def group() -> None:
    """Keep the one command a subcommand."""


@application.command()
@with_settings
def verify(
    settings: Settings,
    contains: Annotated[str, typer.Option(help="A hash that was noted earlier, which has to be there.")] = START,
) -> None:
    """Follow the hash chain of the audit trail; exit code 1 when a row was changed, added or removed."""
    if not re.fullmatch(r"[0-9a-f]{64}", contains):
        raise UsageRefusal(f"A hash is 64 of 0-9 and a-f, got {contains!r}.")
    with reading(open_node(settings).engine) as connection:
        verdict = follow(connection, looked_for=contains)
    if verdict.fault is not None:
        raise StorageFailure(verdict.fault)
    if not verdict.contains:
        raise StorageFailure(f"The audit trail is whole, but has no row with the hash {contains}: its end was cut off.")
    typer.echo(f"{verdict.rows} rows hang together; the newest hash is {verdict.newest_sha256}.")
