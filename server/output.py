"""How the command line writes tables: fitted to a terminal, and uncut where a program or a file reads them."""

from __future__ import annotations

from rich.console import Console

_UNCUT_WIDTH = 250


def wide_console() -> Console:
    """A console on stdout; beside a terminal it is as wide as the longest row needs, so that no UID is cut."""
    console = Console()
    return console if console.is_terminal else Console(width=_UNCUT_WIDTH)
