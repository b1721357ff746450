"""Which ICD-10-CM codes there are, and what they say of place and encounter.

The list is that of the package simple-icd-10-cm (MIT), read without its module: that builds a tree of all notes in
1.6 s and 190 MiB, of which nothing is needed here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import distribution

from inference.anatomy import Vertebra

_DISTRIBUTION = "simple-icd-10-cm"
_LIST = re.compile(r"code-list-(?P<release>[A-Za-z]+-\d{4})\.txt")
_SEVENTH_AT = 7
ACTIVE, NOT_ACTIVE = "A", "DGKPS"
"""Seventh characters of a fracture: A active treatment; the others a later encounter (ICD-10-CM guidelines I.C.19)."""
WITH_ENCOUNTER = re.compile(r"(M80|M84|S22|S32|M48\.5)")
"""Fracture codes that carry one."""


@cache
def _codes() -> tuple[frozenset[str], frozenset[str], str]:
    """All codes without dots, those that others continue, and the release."""
    for file in distribution(_DISTRIBUTION).files or ():
        if match := _LIST.fullmatch(file.name):
            codes = frozenset(file.read_text("utf-8").split())
            continued = frozenset(code[:end] for code in codes for end in range(3, len(code)))
            return codes, continued, match["release"].replace("-", " ")
    raise LookupError(f"{_DISTRIBUTION} holds no list of codes")


def release() -> str:
    """The release of the list, like ``April 2026``."""
    return _codes()[2]


def is_code(code: str) -> bool:
    """Whether it is a code of the release, complete or not."""
    return code.replace(".", "").upper() in _codes()[0]


def is_complete(code: str) -> bool:
    """Whether it can be billed: a code that no longer one continues."""
    plain = code.replace(".", "").upper()
    return plain in _codes()[0] and plain not in _codes()[1]


def encounter(code: str) -> str | None:
    """The seventh character of a fracture code; None for others."""
    plain = code.replace(".", "")
    return plain[-1] if WITH_ENCOUNTER.match(code) and len(plain) == _SEVENTH_AT else None


def _thoracic() -> dict[str, tuple[Vertebra, ...]]:
    t = [Vertebra[f"T{n}"] for n in range(1, 13)]
    return {
        "S22.01": (t[0],),
        "S22.02": (t[1],),
        "S22.03": (t[2],),
        "S22.04": (t[3],),
        "S22.05": tuple(t[4:6]),
        "S22.06": tuple(t[6:8]),
        "S22.07": tuple(t[8:10]),
        "S22.08": tuple(t[10:12]),
        "S22.00": tuple(t),
        "M48.54": tuple(t),
    }


_LUMBAR = tuple(Vertebra[f"L{n}"] for n in range(1, 6))
LEVELS: Mapping[str, tuple[Vertebra, ...]] = {
    **_thoracic(),
    **{f"S32.0{n}": (Vertebra[f"L{n}"],) for n in range(1, 6)},
    "S32.00": _LUMBAR,
    "M48.55": (Vertebra.T12, Vertebra.L1, Vertebra.T11, Vertebra.L2),
    "M48.56": _LUMBAR,
    "M48.57": (Vertebra.L5, Vertebra.S1),
}
"""Beginnings of codes that name a level or a region (ICD-10-CM tabular list: S22.0-, S32.0-, M48.5-). *Thoracolumbar*
has no boundaries in ICD-10-CM; T11 to L2 is the usual junction."""


def levels_of(code: str) -> tuple[Vertebra, ...]:
    """The vertebrae that the code may be of; empty where it names none, as M80.08X does."""
    return next((levels for start, levels in LEVELS.items() if code.upper().startswith(start)), ())
