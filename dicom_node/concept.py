"""One coded concept, and where it was read."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.sr.coding import Code


@dataclass(frozen=True, slots=True, kw_only=True)
class Concept:
    """One coded concept."""

    value: str
    """At most 16 characters (VR SH)."""
    scheme: str
    meaning: str
    """At most 64 characters (VR LO)."""
    source: str
    radelement: str | None = None
    """RadElement set or element with the same content; documentation, not sent."""

    @property
    def code(self) -> Code:
        """The triplet as pydicom and highdicom take it."""
        return Code(self.value, self.scheme, self.meaning)
