"""``spine-node receive``."""

from __future__ import annotations

from server.options import with_settings
from server.receive import run
from server.settings import Settings


@with_settings
def command(settings: Settings) -> None:
    """Run this role until it is told to stop."""
    run(settings)
