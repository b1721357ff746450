"""``spine-node users``."""

from __future__ import annotations

import getpass
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from inference.errors import UsageRefusal
from server.auth.administration import record_change
from server.auth.audit.record import AuditKind
from server.auth.passwords import check_policy, hash_password
from server.auth.roles import Role
from server.auth.users import add_user, disable_user, list_users, set_password
from server.compose import open_node
from server.database import reading
from server.options import with_settings
from server.output import wide_console
from server.settings import Settings

application = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name that the user signs in with.")]
FromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input instead of asking for it.")
]


@application.command()
@with_settings
def add(
    settings: Settings,
    name: Name,
    role: Annotated[Role, typer.Option(help="What the user is for this node.")],
    display_name: Annotated[str, typer.Option(help="Name that is shown; the default is NAME.")] = "",
    password_stdin: FromStdin = False,  # noqa: FBT002 - an option is a parameter
) -> None:
    """Make a local user; the password is asked for, and is never an option."""
    password = _ask_password(from_stdin=password_stdin)
    with open_node(settings).engine.begin() as connection:
        add_user(connection, name=name, display_name=display_name or name, role=role, password=password)
        record_change(connection, AuditKind.USER_CHANGED, f"user {name} added as {role}")
    typer.echo(f"User {name} may sign in as {role}.")


@application.command("list")
@with_settings
def list_all(settings: Settings) -> None:
    """List the local users."""
    table = Table("name", "shown as", "role", "since", "state")
    with reading(open_node(settings).engine) as connection:
        for user in list_users(connection):
            since = datetime.fromtimestamp(user.created_at, UTC).strftime("%Y-%m-%d")
            state = "enabled" if user.disabled_at is None else "disabled"
            table.add_row(user.name, user.display_name, user.role.value, since, state)
    wide_console().print(table)


@application.command()
@with_settings
def disable(settings: Settings, name: Name) -> None:
    """Let a user in no more; their sessions end now."""
    with open_node(settings).engine.begin() as connection:
        disable_user(connection, name=name)
        record_change(connection, AuditKind.USER_CHANGED, f"user {name} disabled")
    typer.echo(f"User {name} is disabled.")


@application.command()
@with_settings
def passwd(
    settings: Settings,
    name: Name,
    password_stdin: FromStdin = False,  # noqa: FBT002 - an option is a parameter
) -> None:
    """Give a user a new password; their sessions end, and a disabled user is enabled."""
    password = _ask_password(from_stdin=password_stdin)
    with open_node(settings).engine.begin() as connection:
        set_password(connection, name=name, password=password)
        record_change(connection, AuditKind.USER_CHANGED, f"user {name} new password")
    typer.echo(f"User {name} has a new password.")


@application.command()
def dicom(
    name: Annotated[str, typer.Argument(help="User name that an association request gives.")],
    password_stdin: FromStdin = False,  # noqa: FBT002 - an option is a parameter
) -> None:
    """Print the line of the DICOM users' file (dicom_users_file) for a user; the passcode is asked for."""
    if ":" in name or not name.strip() or name.startswith("#"):
        raise UsageRefusal(f"A user of DICOM has a name without a colon that does not begin with #, got {name!r}.")
    password = _ask_password(from_stdin=password_stdin)
    check_policy(password, name)
    typer.echo(f"{name.strip()}:{hash_password(password)}")


def _ask_password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass("Password: ")
    if first != getpass.getpass("Once more: "):
        raise typer.BadParameter("the two passwords differ")
    return first
