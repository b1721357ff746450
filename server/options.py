"""Settings as command-line options: every setting is an option of every command that runs against a node.

``quiet_period`` is ``--quiet-period``; a list is given by repeating the singular of its name (``--destination``).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_origin
from urllib.parse import parse_qs, urlsplit

import typer
from pydantic.fields import FieldInfo

from inference.errors import UsageRefusal
from server.settings import Settings
from server.settings_file import load

_SINGULAR = {
    "destinations": "--destination",
    "query_peers": "--query-peer",
    "commitment_destinations": "--commitment-destination",
    "commitment_peers": "--commitment-peer",
    "allowed_calling_ae_titles": "--allowed-calling-ae-title",
    "models": "--model",
    "http_names": "--http-name",
    "http_authentication": "--http-authentication",
    "http_trusted_proxies": "--http-trusted-proxy",
    "oidc_roles": "--oidc-role",
    "inference_server_models": "--inference-server-model",
    "hl7_senders": "--hl7-sender",
}
_SECRET_SHOWN = {"database_url": "(SQLite file in the data folder)"}


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all settings as options; it is called with ``settings`` and its own parameters."""

    @functools.wraps(command)
    def called(*, config: Path | None, **given: Any) -> None:
        own = {name: given.pop(name) for name in list(given) if name not in Settings.model_fields}
        overrides = {name: value for name, value in given.items() if value not in (None, [], ())}
        _refuse_password(str(overrides.get("database_url", "")))
        command(load(overrides, config=config), **own)

    own_parameters = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "settings"]
    config = inspect.Parameter(
        "config",
        inspect.Parameter.KEYWORD_ONLY,
        default=typer.Option(None, "--config", help="TOML file with settings.", envvar="SPINE_CONFIG"),
        annotation=Path | None,
    )
    options = [_option(name, field) for name, field in Settings.model_fields.items()]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own_parameters]
    called.__signature__ = inspect.Signature([*parameters, config, *options])  # type: ignore[attr-defined]
    called.__annotations__ = {p.name: p.annotation for p in (*parameters, config, *options)}
    return called


def _refuse_password(database_url: str) -> None:
    """Refuse what the list of processes would show to everybody on this machine."""
    parts = urlsplit(database_url)
    if parts.password or any("password" in key for key in parse_qs(parts.query)):
        raise UsageRefusal(
            "A password on the command line shows in the list of processes: give the database's URL by "
            "SPINE_DATABASE_URL or in the settings file, or the password in PostgreSQL's own ~/.pgpass."
        )


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    flag = _SINGULAR.get(name, "--" + name.replace("_", "-"))
    annotation: Any = field.annotation
    if get_origin(annotation) is tuple:
        annotation = list[str]
    elif annotation is bool:
        flag = f"{flag}/--no-{flag[2:]}"
    shown = field.default if field.default not in ((), "") else _SECRET_SHOWN.get(name, "none")
    help_text = f"{field.description} [default: {shown}]"
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=typer.Option(None, flag, help=help_text, show_default=False),
        annotation=annotation | None,
    )
