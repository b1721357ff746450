"""A second reader of the 275, for tests only: it knows nothing of the node's code and goes by the table below.

The table has one row per segment in the order of the guide: identifier, first element (None: any), where it stands,
and which guide has it (None: both). Separators and widths of the ISA are X12.5's.
"""

from __future__ import annotations

import base64
import email
from dataclasses import dataclass, field

ISA_WIDTHS = (2, 10, 2, 10, 2, 15, 2, 15, 6, 4, 1, 5, 9, 1, 1, 1)
HEADING = (
    ("BGN", None, None),
    ("NM1", "PR", None),
    ("NM1", "41", None),
    ("NM1", "1P", None),
    ("NM1", "QC", None),
    ("REF", "X1", "006020X314"),
    ("REF", "EJ", "005010X210"),
    ("DTP", "472", None),
)
DETAIL = (
    ("LX", None, None),
    ("TRN", None, None),
    ("STC", None, "asked"),
    ("REF", "FJ", "line"),
    ("DTP", "368", None),
    ("CAT", "AE", None),
    ("OOI", "1", "006020X314"),
    ("BDS", "B64", "006020X314"),
    ("EFI", "05", "005010X210"),
    ("BIN", None, "005010X210"),
)


@dataclass(slots=True)
class Read275:
    """What one interchange says."""

    guide: str
    isa: list[str]
    heading: dict[str, list[str]] = field(default_factory=dict)
    details: list[dict[str, list[str]]] = field(default_factory=list)
    documents: list[bytes] = field(default_factory=list)


def parse(raw: bytes) -> Read275:
    """Every assertion about order, counts and lengths is made on the way."""
    isa = raw[:106]
    words = isa[:-1].decode("ascii").split("*")
    assert words[0] == "ISA"
    assert tuple(len(word) for word in words[1:]) == ISA_WIDTHS
    assert isa[103:106] == b"*:~"
    parts = split(raw[106:])
    gs, st = parts[0], parts[1]
    assert gs[:2] == [b"GS", b"PI"]
    assert st[:2] == [b"ST", b"275"]
    guide = gs[8].decode()
    assert st[3].decode() == guide
    se, ge, iea = parts[-3:]
    assert se == [b"SE", str(len(parts) - 3).encode(), st[2]], "ST to SE, both counted; GS, GE and IEA not"
    assert ge == [b"GE", b"1", gs[6]]
    assert iea == [b"IEA", b"1", words[13].encode()]
    assert int(gs[6]) == int(st[2]) == int(words[13])
    made = Read275(guide=guide, isa=words)
    _walk(made, parts[2:-3])
    return made


def split(data: bytes) -> list[list[bytes]]:
    """Segments as lists of elements; BDS and BIN by their count."""
    found = []
    while data:
        tag = data.split(b"*", 1)[0]
        if tag in (b"BDS", b"BIN"):
            head = data.split(b"*", 3 if tag == b"BDS" else 2)
            count = int(head[-2])
            payload, rest = head[-1][:count], head[-1][count:]
            assert len(payload) == count
            assert rest.startswith(b"~"), "the data ends where its count says"
            found.append([*head[:-1], payload])
            data = rest[1:]
        else:
            line, _, data = data.partition(b"~")
            found.append(line.split(b"*"))
    return found


def _walk(made: Read275, parts: list[list[bytes]]) -> None:
    starts = [place for place, part in enumerate(parts) if part[0] == b"LX"]
    _match(parts[: starts[0]], HEADING, made.guide, made.heading)
    for start, end in zip(starts, [*starts[1:], len(parts)], strict=True):
        detail: dict[str, list[str]] = {}
        _match(parts[start:end], DETAIL, made.guide, detail)
        made.details.append(detail)
        made.documents.append(_payload(parts[end - 1]))
    assert [detail["LX"][0] for detail in made.details] == [str(n) for n in range(1, len(starts) + 1)]


def _match(
    parts: list[list[bytes]],
    table: tuple[tuple[str, str | None, str | None], ...],
    guide: str,
    into: dict[str, list[str]],
) -> None:
    rest = list(parts)
    for tag, first, only in table:
        if only in ("006020X314", "005010X210") and only != guide:
            continue
        here = rest[0] if rest else []
        fits = bool(here) and here[0].decode() == tag and (first is None or here[1].decode() == first)
        if not fits and only in ("asked", "line"):
            continue
        assert fits, f"{tag}*{first} expected, got {here[:2]}"
        if tag not in ("BDS", "BIN"):
            key = f"{tag}*{first}" if first and tag in ("NM1", "REF", "DTP") else tag
            into[key] = [word.decode("ascii") for word in here[1:]]
        rest.pop(0)
    assert rest == [], f"left over: {[part[:2] for part in rest]}"


def _payload(part: list[bytes]) -> bytes:
    if part[0] == b"BIN":
        return part[-1]
    entity = email.message_from_bytes(base64.b64decode(part[-1], validate=True))
    assert entity.get_content_type() == "text/xml"
    document = entity.get_payload(decode=True)
    assert isinstance(document, bytes)
    return document
