"""What a client accepts: the Accept header and parameter (PS3.18 8.3.3, 8.7.8; RFC 9110 12.5.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

DICOM, OCTETS, JSON = "application/dicom", "application/octet-stream", "application/dicom+json"
MULTIPART = "multipart/related"
ANY = "*"
MAX_RANGES = 50
"""More media ranges than any client sends; those behind are not looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaRange:
    """One thing that is accepted."""

    media_type: str
    """Of one part where it is multipart; lower case; may be ``*/*`` or ``image/*``."""
    is_multipart: bool
    transfer_syntax: str | None
    """A UID, ``*`` for any, None where nothing is said."""
    quality: float
    is_any: bool = False
    """``*/*`` alone: whatever the server likes."""

    def covers(self, media_type: str) -> bool:
        """Whether this media type is accepted."""
        kind, _, name = self.media_type.partition("/")
        own_kind, _, own_name = media_type.partition("/")
        return kind in {ANY, own_kind} and name in {ANY, own_name}


def accepted(header: str | None, parameters: Sequence[str] = ()) -> list[MediaRange]:
    """What is accepted, the best first; a parameter of the URL wins over the header. Nothing said: everything."""
    text = ",".join(parameters) or header or "*/*"
    ranges = [media_range for part in _split(text, ",")[:MAX_RANGES] for media_range in _range(part)]
    return sorted((r for r in ranges if r.quality > 0), key=lambda r: -r.quality)


def _range(text: str) -> Iterator[MediaRange]:
    media_type, values = parse_media_type(text)
    if not media_type:
        return
    is_multipart = media_type == MULTIPART
    yield MediaRange(
        media_type=values.get("type", "*/*").lower() if is_multipart else media_type,
        is_multipart=is_multipart,
        transfer_syntax=values.get("transfer-syntax"),
        quality=_quality(values.get("q")),
        is_any=media_type in {"*/*", "*"},
    )


def parse_media_type(text: str) -> tuple[str, dict[str, str]]:
    """A media type in lower case, and its parameters (RFC 9110 8.3.1)."""
    kind, *parameters = (part.strip() for part in _split(text, ";"))
    pairs = (parameter.partition("=") for parameter in parameters)
    return kind.lower(), {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}


def _quality(text: str | None) -> float:
    try:
        return 1.0 if text is None else max(0.0, min(1.0, float(text)))
    except ValueError:
        return 0.0


def _split(text: str, separator: str) -> list[str]:
    """Parts between separators that stand outside quotation marks."""
    parts, start, quoted = [], 0, False
    for position, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif character == separator and not quoted:
            parts.append(text[start:position])
            start = position + 1
    return [*parts, text[start:]]
