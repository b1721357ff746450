"""``spine-node check``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from inference.errors import Failure
from server import database
from server.checks.answer import Answer, Level
from server.checks.certificates import check_certificates
from server.checks.clocks import check_clocks
from server.checks.data_folder import check_data_folder
from server.checks.database import check_database
from server.checks.models import check_models
from server.checks.objects import check_objects
from server.checks.peers import check_peers
from server.checks.site import check_claim_destinations, check_ports, check_settings
from server.options import with_settings
from server.output import wide_console
from server.settings import Settings
from server.trust_checks import check_trust

_STYLE = {Level.OK: "green", Level.WARNING: "yellow", Level.FAIL: "bold red"}
_SHOWN = {Level.OK: "ok", Level.WARNING: "warn", Level.FAIL: "FAIL"}


@with_settings
def command(
    settings: Settings,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")] = False,  # noqa: FBT002
) -> None:
    """Check settings, ports, files, database, clocks, certificates, models and peers; nothing needs to run.

    Nothing is changed or sent. Exit code 1 when something is not in order; a warning is no failure.
    """
    answers = list(_answers(settings))
    if as_json:
        is_ok = all(answer.level is not Level.FAIL for answer in answers)
        typer.echo(json.dumps({"ok": is_ok, "checks": [asdict(answer) for answer in answers]}, indent=2))
    else:
        _show(answers)
    failed = [answer.name for answer in answers if answer.level is Level.FAIL]
    if failed:
        raise Failure(f"Not in order: {', '.join(failed)}.")


def _answers(settings: Settings) -> Iterator[Answer]:
    engine = database.make_engine(settings.resolved_database_url())
    yield from check_settings(settings)
    yield from check_data_folder(settings)
    yield from check_objects(settings)
    yield from check_database(engine)
    yield from check_ports(settings, engine)
    yield from check_clocks(settings)
    yield from check_certificates(settings)
    yield from check_trust(settings)
    yield from check_models(settings)
    yield from check_peers(settings)
    yield from check_claim_destinations(settings)
    engine.dispose()


def _show(answers: list[Answer]) -> None:
    table = Table("", "check", "found", "what to do")
    for answer in answers:
        style = _STYLE[answer.level]
        table.add_row(
            f"[{style}]{_SHOWN[answer.level]}[/]", *map(escape, (answer.name, answer.sentence, answer.advice))
        )
    console = wide_console()
    console.print(table)
    counts = Counter(answer.level for answer in answers)
    console.print(f"{counts[Level.OK]} in order, {counts[Level.WARNING]} warnings, {counts[Level.FAIL]} not in order.")
