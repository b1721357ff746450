"""Make sure that a process cannot decode pixels: for the receiver, which stores what it gets as it gets it.

pydicom imports every decoder that is installed as soon as it is imported itself (pydicom.pixels.decoders). That costs
the receiver a third of its start-up time, for code that it must never run. Call this before pydicom is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

DECODERS = ("gdcm", "pylibjpeg", "openjpeg", "libjpeg", "rle", "jpeg_ls", "PIL")
"""Top-level modules of pydicom's decoder plugins."""


def hide_decoders() -> None:
    """Make importing a decoder fail in this process, which pydicom takes as not installed."""
    hide(*DECODERS)


def hide(*modules: str) -> None:
    """Make importing these modules fail in this process; those that were imported already stay.

    None in sys.modules is the documented way (Python reference, 5.3.1).
    """
    for name in modules:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # the documented value; typeshed does not know it


@contextmanager
def hidden(*modules: str) -> Iterator[None]:
    """Within the block, importing these modules fails; those that were imported already stay."""
    absent = [name for name in modules if name not in sys.modules]
    hide(*absent)
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
