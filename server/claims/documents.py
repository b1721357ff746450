"""Values of claims as text: JSON that reads back as the same value, and plain JSON values for answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable
from dataclasses import fields, is_dataclass
from datetime import date
from enum import Enum
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter

from inference.anatomy import Vertebra

T = TypeVar("T")


@cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast("Any", kind))


def to_text(kind: Any, value: Any) -> str:
    """The value as JSON; the same value gives the same text."""
    return _adapter(kind).dump_json(value).decode()


def from_text(kind: type[T], text: str) -> T:
    """The value of a text that `to_text` made."""
    value: T = _adapter(cast("Hashable", kind)).validate_json(text)
    return value


def plain(value: Any) -> Any:
    """As JSON values for a reader: vertebrae by name, days in ISO 8601, tuples as lists."""
    if isinstance(value, Vertebra):
        return value.name
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, date):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def canonical(values: Any) -> str:
    """JSON with sorted keys and without spaces: what hashes are made over."""
    return json.dumps(values, sort_keys=True, ensure_ascii=True, separators=(",", ":"))


def digest(*parts: str | bytes) -> str:
    """SHA-256 over parts, each with its length, so that no two lists of parts run together."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(f"{len(data)}:".encode() + data)
    return total.hexdigest()
