"""The X12 segments that are written here, element by element, and the two guides of the 275.

Lengths are those of the X12 data element dictionary (005010, unchanged in 006020 for what is used). What stands in
which element for a 275 is from published companion guides (CMS esMD AR2024.04.0 and UnitedHealthcare for 006020X314,
Cigna for 005010X210): the implementation guides themselves are sold and were not at hand, so that this is a draft,
structurally tested.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Guide:
    """One implementation guide of the 275."""

    name: str
    """ST03 and GS08."""
    interchange_version: str
    """ISA12."""
    claim_reference: str
    """REF01 of the provider's claim number: ``X1`` provider claim identifier, ``EJ`` patient control number."""
    is_filtered: bool
    """True: the document is in BDS behind a filter (base64); False: in BIN as it is."""


X314 = Guide(name="006020X314", interchange_version="00602", claim_reference="X1", is_filtered=True)
"""Adopted by 45 CFR 162.2002 (CMS-0053-F), compliance by 26 May 2028."""
X210 = Guide(name="005010X210", interchange_version="00501", claim_reference="EJ", is_filtered=False)
"""In use today by agreement; not the adopted version."""
GUIDES: Mapping[str, Guide] = {guide.name: guide for guide in (X314, X210)}


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a segment."""

    name: str
    shortest: int
    longest: int
    required: bool = False


def _must(name: str, shortest: int, longest: int) -> Element:
    return Element(name, shortest, longest, required=True)


_UNUSED = Element("not used", 0, 0)

SEGMENTS: Mapping[str, tuple[Element, ...]] = {
    "ISA": (
        _must("authorization information qualifier", 2, 2),
        _must("authorization information", 10, 10),
        _must("security information qualifier", 2, 2),
        _must("security information", 10, 10),
        _must("sender qualifier", 2, 2),
        _must("sender", 15, 15),
        _must("receiver qualifier", 2, 2),
        _must("receiver", 15, 15),
        _must("date", 6, 6),
        _must("time", 4, 4),
        _must("repetition separator", 1, 1),
        _must("version", 5, 5),
        _must("control number", 9, 9),
        _must("acknowledgment requested", 1, 1),
        _must("usage", 1, 1),
        _must("component separator", 1, 1),
    ),
    "GS": (
        _must("functional identifier", 2, 2),
        _must("application sender", 2, 15),
        _must("application receiver", 2, 15),
        _must("date", 8, 8),
        _must("time", 4, 8),
        _must("control number", 1, 9),
        _must("responsible agency", 1, 2),
        _must("version", 1, 12),
    ),
    "ST": (_must("transaction set", 3, 3), _must("control number", 4, 9), _must("implementation guide", 1, 35)),
    "BGN": (_must("purpose", 2, 2), _must("reference", 1, 50), _must("date", 8, 8), _must("time", 4, 8)),
    "NM1": (
        _must("entity", 2, 3),
        _must("entity type", 1, 1),
        _must("last or organization name", 1, 60),
        Element("first name", 1, 35),
        Element("middle name", 1, 25),
        Element("prefix", 1, 10),
        Element("suffix", 1, 10),
        _must("identification qualifier", 1, 2),
        _must("identification", 2, 80),
    ),
    "REF": (_must("qualifier", 2, 3), _must("reference", 1, 50)),
    "DTP": (_must("qualifier", 3, 3), _must("format", 2, 3), _must("date", 1, 35)),
    "LX": (_must("assigned number", 1, 6),),
    "TRN": (_must("trace type", 1, 2), _must("control number", 1, 50)),
    "STC": (_must("status", 1, 80), Element("date", 8, 8)),
    "CAT": (_must("report type", 2, 2), _must("report transmission", 1, 2)),
    "OOI": (_must("reference", 1, 50), _must("attribute", 1, 3), _must("value", 1, 80)),
    "EFI": (_must("security level", 2, 2),),
    "PWK": (
        _must("report type", 2, 2),
        _must("report transmission", 1, 2),
        _UNUSED,
        _UNUSED,
        Element("identification qualifier", 1, 2),
        Element("attachment control number", 2, 50),
    ),
    "SE": (_must("segment count", 1, 10), _must("control number", 4, 9)),
    "GE": (_must("transaction count", 1, 6), _must("control number", 1, 9)),
    "IEA": (_must("group count", 1, 5), _must("control number", 9, 9)),
}
"""Every segment by its identifier; BDS and BIN, whose data is counted and not scanned, are written apart."""
