"""From a TOML file to a criteria table, or every fault of it in words."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from claims.claim import ClaimRefusal
from claims.criteria.table import CriteriaTable
from claims.procedures import procedures


class CriteriaRefusal(ClaimRefusal):
    """A criteria table cannot be used; ``faults`` are all that is wrong with it."""

    def __init__(self, name: str, faults: Sequence[str]) -> None:
        """Keep the faults; the sentence has them all."""
        self.faults = tuple(faults)
        super().__init__(f"The criteria table {name} has {len(faults)} fault(s): {'; '.join(faults)}.")


def read_table(data: bytes, name: str) -> CriteriaTable:
    """The table of a TOML file.

    Args:
        data: The file.
        name: What a person calls it, for the refusal.

    Raises:
        CriteriaRefusal: with every fault, each by its place in the file.
    """
    try:
        values = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CriteriaRefusal(name, [f"it is not TOML: {error}"]) from error
    try:
        table = CriteriaTable.model_validate(values)
    except ValidationError as error:
        raise CriteriaRefusal(name, list(_faults(error, values))) from error
    if unknown := [code for code in table.procedures if code not in procedures()]:
        raise CriteriaRefusal(name, [f"procedures: {', '.join(unknown)} is not in claims/procedures.toml"])
    return table


def _faults(error: ValidationError, values: Mapping[str, Any]) -> Iterator[str]:
    for fault in error.errors():
        if fault["type"] == "too_short" and fault["input"]:
            continue  # its items are at fault, and each is named
        got = "" if fault["type"] == "missing" or isinstance(fault["input"], dict) else f", got {fault['input']!r}"
        yield f"{_place(fault['loc'], values)}: {fault['msg'].removeprefix('Value error, ')}{got}"


def _place(location: Sequence[str | int], values: Mapping[str, Any]) -> str:
    """``criteria[3] (height_loss).above``: the criterion by number and id, and the word."""
    if location[:1] != ("criteria",) or len(location) == 1:
        return ".".join(map(str, location)) or "the table"
    number = location[1]
    criterion = values["criteria"][number]
    named = f" ({criterion['id']})" if isinstance(criterion, dict) and isinstance(criterion.get("id"), str) else ""
    words = ".".join(str(part) for part in location[3:])
    return f"criteria[{number}]{named}{'.' if words else ''}{words}"
