"""Make sure that a process cannot decode pixels: for the receiver, which stores what it gets as it gets it.

pydicom imports every decoder that is installed as soon as it is imported itself (pydicom.pixels.decoders). That costs
the receiver a third of its start-up time, for code that it must never run. Call this before pydicom is imported.
"""

from __future__ import annotations

import sys

DECODERS = ("gdcm", "pylibjpeg", "openjpeg", "libjpeg", "rle", "jpeg_ls", "PIL")
"""Top-level modules of pydicom's decoder plugins."""


def hide_decoders() -> None:
    """Make importing a decoder fail in this process, which pydicom takes as not installed.

    None in sys.modules is the documented way (Python reference, 5.3.1). A decoder that was imported already stays.
    """
    for name in DECODERS:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # the documented value; typeshed does not know it
