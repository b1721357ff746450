"""How the command line writes: tables fitted to a terminal and uncut where a program reads them, and result files."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from inference.errors import StorageFailure
from server.made_objects import Write

_UNCUT_WIDTH = 250


def wide_console() -> Console:
    """A console on stdout; beside a terminal it is as wide as the longest row needs, so that no UID is cut."""
    console = Console()
    return console if console.is_terminal else Console(width=_UNCUT_WIDTH)


def write_into(folder: Path) -> Write:
    """Writes results into a folder that is made when the first is written."""

    def write(name: str, data: bytes, /) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        except OSError as error:
            raise StorageFailure(f"{folder / name} cannot be written: {error.strerror}.") from error

    return write
