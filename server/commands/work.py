"""``spine-node work``."""

from __future__ import annotations

from server.options import with_settings
from server.settings import Settings
from server.worker import run


@with_settings
def command(settings: Settings) -> None:
    """Run this role until it is told to stop."""
    run(settings)
