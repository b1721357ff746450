"""The sentence that stands below each member of an enum in the source."""

from __future__ import annotations

import ast
import inspect
from enum import Enum
from itertools import pairwise


def member_sentences(enum: type[Enum]) -> dict[str, str]:
    """Member name to sentence; KeyError by the caller names a member without one."""
    (body,) = (node.body for node in ast.parse(inspect.getsource(enum)).body if isinstance(node, ast.ClassDef))
    return {
        before.targets[0].id: " ".join(after.value.value.split())
        for before, after in pairwise(body)
        if isinstance(before, ast.Assign)
        and isinstance(before.targets[0], ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
    }
