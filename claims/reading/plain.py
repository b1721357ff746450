"""Plain text and HTML: bytes to the words that a person would read."""

from __future__ import annotations

import re
import unicodedata
from html.parser import HTMLParser

from claims.reading.header import report_from_text
from claims.report import Report, ReportRefusal

MAX_BYTES = 2_000_000
"""Of a report as text; a hundred times a long one."""
_HTML = re.compile(r"<(?:!doctype html|html|head|body|p|div|br|table|span|b|h[1-6]|pre)\b[^<>]*>", re.IGNORECASE)
_RTF = b"{\\rtf"
_BLOCKS = re.compile(r"p|div|br|tr|li|[uod]l|table|h[1-6r]|pre|section|article|header|footer|dd|dt")
"""Elements that begin and end a line."""
_SILENT = frozenset({"script", "style", "head", "title", "template"})
_FALLBACK = "windows-1252"
"""Of bytes that say no charset and are no UTF-8: what clinical systems of the Americas and western Europe send."""


def from_text(data: bytes, *, report_id: str | None = None, charset: str | None = None) -> Report:
    """A report of plain text or HTML.

    Args:
        data: as received.
        report_id: its number; else the accession number that the text gives, else a digest.
        charset: what the sender says; else a byte order mark, else UTF-8, else Windows-1252.

    Raises:
        ReportRefusal: too large, not in the charset, not text, or empty.
    """
    return report_from_text(readable(data, charset=charset), data, report_format="text", id=report_id)


def readable(data: bytes, *, charset: str | None = None) -> str:
    """The words of text or HTML; ReportRefusal where bytes are no text."""
    if len(data) > MAX_BYTES:
        raise ReportRefusal(f"a report as text has at most {MAX_BYTES} bytes, this one has {len(data)}")
    if data.lstrip()[:5] == _RTF:
        raise ReportRefusal("the report is RTF, which is not read; send plain text, PDF, HL7 v2, FHIR or DICOM SR")
    return words(_decode(data, charset))


def words(text: str) -> str:
    """A text as a person reads it: HTML without its tags, no characters that are not shown."""
    shown = _without_tags(text) if _HTML.search(text) else text
    controls = sum(unicodedata.category(c) == "Cc" and c not in "\t\r\n\f\v" for c in shown)
    if controls > len(shown) // 100:
        raise ReportRefusal(f"the report is not text: {controls} of its {len(shown)} characters are control characters")
    return shown


def _decode(data: bytes, charset: str | None) -> str:
    marks = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
    marked = next((name for mark, name in marks if data.startswith(mark)), None)
    for name in (marked or charset or "utf-8", *(() if marked or charset else (_FALLBACK,))):
        try:
            return data.decode(name)
        except LookupError:
            raise ReportRefusal(f"the charset {name!r} of the report is not known") from None
        except UnicodeDecodeError:
            continue
    said = marked or charset or f"UTF-8 or {_FALLBACK}"
    raise ReportRefusal(f"the report is not text in {said}; say its charset, or send UTF-8")


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - its signature
        if tag in _SILENT:
            self.silent += 1
        elif _BLOCKS.fullmatch(tag):
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self.silent = max(self.silent - 1, 0)
        elif _BLOCKS.fullmatch(tag):
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.parts.append(data)


def _without_tags(text: str) -> str:
    parser = _Words()
    parser.feed(text)
    parser.close()
    return "".join(parser.parts)
