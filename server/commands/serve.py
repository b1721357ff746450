"""``spine-node serve``."""

from __future__ import annotations

import typer

from server.compose import open_node
from server.events import configure
from server.options import with_settings
from server.settings import Settings
from server.signals import StopSignal
from server.supervise import Supervisor


@with_settings
def command(settings: Settings) -> None:
    """Run the whole node until it is told to stop."""
    configure(settings.log_level)
    stop = StopSignal()
    open_node(settings).engine.dispose()  # once, before three processes would do it at the same time
    raise typer.Exit(Supervisor(settings).run(stop))
