"""Diagnosis codes as claims carry them."""

from __future__ import annotations

_CATEGORY = 3


def with_dot(code: str) -> str:
    """``M80.08XA`` for ``M8008XA``; X12 leaves the dot out."""
    plain = code.replace(".", "").strip().upper()
    return plain if len(plain) <= _CATEGORY else f"{plain[:_CATEGORY]}.{plain[_CATEGORY:]}"
