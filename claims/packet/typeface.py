"""Text that is readable wherever the PDF is opened: which embedded font has a character, and what is done if none has.

DejaVu Sans Condensed has Latin, Greek, Cyrillic and the marks; Droid Sans Fallback has ideographs, kana and Hangul (the
component groups of Japanese, Chinese and Korean person names, PS3.5 annexes H, I, K). A character that neither has, or
that must be shaped or set from right to left, which reportlab does not do, is written as its code point and counted:
never a silent box, never letters in the wrong order.
"""

from __future__ import annotations

from functools import cache
from html import escape
from importlib.resources import as_file, files
from itertools import groupby
from unicodedata import bidirectional, category, normalize

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

BODY, BOLD, WIDE = "PacketSans", "PacketSansBold", "PacketIdeographs"
FONT_FILES = {
    BODY: "DejaVuSansCondensed.ttf",
    BOLD: "DejaVuSansCondensed-Bold.ttf",
    WIDE: "DroidSansFallback.ttf",
}
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN", "RLE", "RLO", "RLI"})
_SHAPED = ((0x0900, 0x0DFF), (0x0E00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF))
"""Scripts of South and South-East Asia, whose letters change with their neighbours."""
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})


@cache
def glyphs(font: str) -> frozenset[int]:
    """The code points that a font has a glyph for; the font is registered with reportlab."""
    with as_file(files(__package__).joinpath("fonts", FONT_FILES[font])) as path:
        face = TTFont(font, str(path))
    pdfmetrics.registerFont(face)
    return frozenset(face.face.charToGlyph)


def register() -> None:
    """Make all fonts known to reportlab."""
    for font in FONT_FILES:
        glyphs(font)


def missing(text: str) -> tuple[str, ...]:
    """The characters of a text that are written as code points, each once, in order."""
    return tuple(dict.fromkeys(letter for letter in _letters(text) if _font_of(letter) is None))


def markup(text: str, *, bold: bool = False) -> str:
    """A text as reportlab's paragraph markup: escaped, each run in a font that has its characters."""
    runs = groupby(_letters(text), key=_font_of)
    return "".join(_run(font, "".join(letters), bold=bold) for font, letters in runs)


def _letters(text: str) -> str:
    """Composed where possible, line ends and tabs as spaces."""
    return normalize("NFC", " ".join(text.split()))


def _font_of(letter: str) -> str | None:
    if letter == " ":
        return BODY
    code = ord(letter)
    is_shaped = any(first <= code <= last for first, last in _SHAPED)
    if is_shaped or bidirectional(letter) in _RIGHT_TO_LEFT or category(letter) in _INVISIBLE:
        return None
    if code in glyphs(BODY) and code in glyphs(BOLD):
        return BODY
    return WIDE if code in glyphs(WIDE) else None


def _run(font: str | None, letters: str, *, bold: bool) -> str:
    if font is None:
        return "".join(f"[U+{ord(letter):04X}]" for letter in letters)
    if font == WIDE:
        return f'<font name="{WIDE}">{escape(letters)}</font>'
    return f'<font name="{BOLD}">{escape(letters)}</font>' if bold else escape(letters)
