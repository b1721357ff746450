"""How a process that works on large arrays and many objects gets its memory."""

from __future__ import annotations

import ctypes
import gc

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # <malloc.h> of the GNU C library
_LARGEST_INT = 2**31 - 1


def spare_lasting_objects() -> None:
    """Collect garbage seldom, and never again among what exists now.

    By default Python looks through young objects after every 700 new ones and through all others ever so often.
    Imports and DICOM objects are made by the ten thousand, and hardly any of them is garbage before the work is done.
    """
    gc.set_threshold(50_000, 20, 20)
    gc.freeze()


def keep_freed_memory() -> None:
    """Use the memory of freed arrays again, where the C library can.

    The GNU C library by default returns every array of 32 MiB or more to the system when it is freed, and gets the
    next one as new pages, each of which the system must clear. The peak of memory stays the same; it is kept.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_INT)
        mallopt(_M_TRIM_THRESHOLD, _LARGEST_INT)
