"""``spine-node hold``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from server.auth.administration import operator
from server.compose import open_node
from server.database import reading
from server.holds import add_hold, list_holds, remove_hold
from server.options import with_settings
from server.output import wide_console
from server.settings import Settings

application = typer.Typer(no_args_is_help=True)
_Study = Annotated[str, typer.Argument(metavar="STUDY", help="Study Instance UID.")]
_Reason = Annotated[str, typer.Option(help="Why; it stands in the audit trail.")]


@application.command()
@with_settings
def add(settings: Settings, study: _Study, reason: _Reason) -> None:
    """Keep the images of a study, whatever the rules of retention say."""
    with open_node(settings).engine.begin() as connection:
        add_hold(connection, study, reason, operator())
    typer.echo(f"Study {study} is held.")


@application.command()
@with_settings
def remove(settings: Settings, study: _Study, reason: _Reason) -> None:
    """End the hold of a study."""
    with open_node(settings).engine.begin() as connection:
        remove_hold(connection, study, reason, operator())
    typer.echo(f"Study {study} is no longer held.")


@application.command("list")
@with_settings
def list_all(settings: Settings) -> None:
    """List the studies that are held."""
    table = Table("study", "since", "by", "reason")
    with reading(open_node(settings).engine) as connection:
        for hold in list_holds(connection):
            since = datetime.fromtimestamp(hold.held_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            table.add_row(hold.study_instance_uid, since, hold.held_by_name, hold.reason)
    wide_console().print(table)
