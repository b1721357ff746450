"""Vertebral bodies that a claim's free text names, where it leaves no doubt."""

from __future__ import annotations

from claims.reading.levels import GroupKind, level_groups
from claims.reading.view import fold
from inference.anatomy import Vertebra


def bodies_in(text: str) -> tuple[Vertebra, ...]:
    """The bodies, from the head down; none where it names discs or pairs: a person says which are meant."""
    groups = level_groups(fold(text, 0, len(text)))
    if any(group.kind is not GroupKind.BODIES for group in groups):
        return ()
    return tuple(sorted({level for group in groups for level in group.levels}, key=lambda body: body.value))
