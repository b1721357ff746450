"""A vertebra in a file that a person wrote, as pydantic reads it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from inference.anatomy import Vertebra


def _vertebra(value: Any) -> Any:
    if isinstance(value, str) and value.upper() in Vertebra.__members__:
        return Vertebra[value.upper()]
    raise ValueError("a vertebra like T12 or L1 is wanted")


Level = Annotated[Vertebra, BeforeValidator(_vertebra)]
"""By its name; the message leaves the value out, which may be anything."""
