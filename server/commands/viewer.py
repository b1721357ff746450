"""``spine-node viewer``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from server.options import with_settings
from server.settings import Settings
from server.viewer import PACKAGE, VERSION, install, installed_version

application = typer.Typer(no_args_is_help=True)


@application.command("install")
@with_settings
def install_viewer(
    settings: Settings,
    tarball: Annotated[
        Path | None, typer.Option("--from", help="The package's tarball, carried over by hand; else npm fetches it.")
    ] = None,
) -> None:
    """Fetch OHIF by its pinned version and digest, and unpack what is used of it."""
    folder = settings.viewer_folder
    if installed_version(folder) == VERSION:
        typer.echo(f"{PACKAGE} {VERSION} is installed in {folder}.")
        return
    size = install(folder, tarball)
    typer.echo(f"{PACKAGE} {VERSION} is installed in {folder} ({size / 1e6:.0f} MB).")
