"""``spine-node receive``."""

from __future__ import annotations

from dicom_node.undecoded import hide, hide_decoders
from server.options import with_settings
from server.settings import Settings


@with_settings
def command(settings: Settings) -> None:
    """Run this role until it is told to stop."""
    hide_decoders()  # before anything imports pydicom
    hide("requests")  # pydicom would load it, to fetch test files
    from server.receive import run  # noqa: PLC0415

    run(settings)
