"""``spine-node keys``."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from server.auth.administration import record_change
from server.auth.audit.record import AuditKind
from server.auth.keys import ApiKey, create_key, list_keys, revoke_key
from server.auth.roles import Permission
from server.compose import open_node
from server.database import reading
from server.options import with_settings
from server.output import wide_console
from server.settings import Settings

application = typer.Typer(no_args_is_help=True)
_DAY_S = 86_400.0


@application.command()
@with_settings
def create(
    settings: Settings,
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    permission: Annotated[list[Permission], typer.Option(help="What its holder may do; may be repeated.")],
    days: Annotated[float, typer.Option(min=0, help="The key is over after so many days; 0: never.")] = 0,
) -> None:
    """Make a key for a machine, and print it: it is shown this once and kept nowhere."""
    lifetime = days * _DAY_S if days else None
    with open_node(settings).engine.begin() as connection:
        identifier, key = create_key(connection, name=name, permissions=permission, lifetime_s=lifetime)
        record_change(
            connection, AuditKind.USER_CHANGED, f"key {identifier} created for {' '.join(sorted(permission))}"
        )
    typer.echo(key)


@application.command("list")
@with_settings
def list_all(settings: Settings) -> None:
    """List the keys by their ids; none can be shown again."""
    table = Table("id", "name", "may", "since", "state")
    with reading(open_node(settings).engine) as connection:
        for key in list_keys(connection):
            table.add_row(key.id, key.name, " ".join(sorted(key.permissions)), _day(key.created_at), _state(key))
    wide_console().print(table)


@application.command()
@with_settings
def revoke(settings: Settings, identifier: Annotated[str, typer.Argument(metavar="ID", help="Id of a key.")]) -> None:
    """Let a key open nothing any more."""
    with open_node(settings).engine.begin() as connection:
        revoke_key(connection, identifier)
        record_change(connection, AuditKind.USER_CHANGED, f"key {identifier} revoked")
    typer.echo(f"Key {identifier} is revoked.")


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return f"revoked {_day(key.revoked_at)}"
    if key.expires_at is None:
        return "valid"
    return f"{'valid to' if key.is_valid(time.time()) else 'over since'} {_day(key.expires_at)}"


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
