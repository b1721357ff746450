"""The procedures that the engine knows: CPT code, our own words for it, and the vertebrae that it is for."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from claims.claim import Claim, ClaimRefusal
from inference.anatomy import Vertebra


@dataclass(frozen=True, slots=True, kw_only=True)
class Procedure:
    """One CPT code."""

    code: str
    words: str
    """Our own short words: CPT's descriptors are the AMA's."""
    family: str
    """Codes that are billed together: one for the first body, one for each further one."""
    first: Vertebra
    last: Vertebra
    bodies: int = 1
    """Bodies of one unit."""
    is_add_on: bool = False

    def is_for(self, body: Vertebra) -> bool:
        """Whether the body lies in the code's region; a transitional one lies in none."""
        return self.first.value <= body.value <= self.last.value and not body.is_transitional


@cache
def procedures() -> Mapping[str, Procedure]:
    """By CPT code, from procedures.toml."""
    text = resources.files(__package__).joinpath("procedures.toml").read_text("utf-8")
    return {
        code: Procedure(
            code=code,
            words=row["words"],
            family=row["family"],
            first=Vertebra[row["first"]],
            last=Vertebra[row["last"]],
            bodies=row.get("bodies", 1),
            is_add_on=row.get("add_on", False),
        )
        for code, row in tomllib.loads(text).items()
    }


def check_procedures(claim: Claim) -> None:
    """Refuse a claim with a procedure that the engine does not know."""
    if unknown := sorted({line.procedure for line in claim.lines} - set(procedures())):
        raise ClaimRefusal(f"Procedure {', '.join(unknown)} is not one that is known here: {', '.join(procedures())}.")
