"""``spine-node models``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from models.installed import find_bundle, list_bundles
from models.registry import import_bundle
from server.options import with_settings
from server.output import wide_console
from server.settings import Settings

application = typer.Typer(no_args_is_help=True)


@application.command("list")
@with_settings
def list_installed(settings: Settings) -> None:
    """List the installed bundles."""
    table = Table("name", "version", "trained on", "sha256 of the weights")
    for bundle in list_bundles(settings.site_bundles):
        identity = bundle.identity
        table.add_row(identity.name, identity.version, identity.training_data, identity.sha256)
    wide_console().print(table)


@application.command()
@with_settings
def verify(settings: Settings) -> None:
    """Compare the weights of every installed bundle with its metadata."""
    for bundle in list_bundles(settings.site_bundles):
        bundle.verify()
        typer.echo(f"{bundle.identity.name} {bundle.identity.version}: the weights are those of the metadata.")


@application.command()
@with_settings
def show(settings: Settings, name: Annotated[str, typer.Argument(help="Name of a bundle.")]) -> None:
    """Print the metadata of one bundle."""
    typer.echo(json.dumps(find_bundle(name, settings.site_bundles).metadata, indent=2, ensure_ascii=False))


@application.command("import")
@with_settings
def import_from(settings: Settings, path: Annotated[Path, typer.Argument(help="Folder of a bundle.")]) -> None:
    """Check a bundle and copy it into the data folder."""
    bundle = import_bundle(path, settings.site_bundles)
    typer.echo(f"{bundle.identity.name} {bundle.identity.version} is installed in {bundle.folder}.")
