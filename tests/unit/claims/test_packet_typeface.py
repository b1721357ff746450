"""Which characters the embedded fonts write, and what is said of those that they do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims.packet.typeface import BOLD, WIDE, glyphs, markup, missing


@pytest.mark.parametrize(
    "name",
    [
        "Müller-Łukasiewicz, Ägnès",
        "Παπαδόπουλος Μαρία",
        "Ковальчук Ірина",
        "Nguyễn Thị Ánh",
        "Yamada Tarou = 山田 太郎 = やまだ たろう",  # PS3.5 H.3.1
        "Hong Gildong = 洪 吉洞 = 홍 길동",  # PS3.5 I.2
        "Wang XiaoDong = 王 小东",  # PS3.5 K.2
        "✔ ◐ □ ○ ✖ ± ≥ ° × “ ” ·",
    ],
)
def test_names_and_marks_have_a_glyph(name):
    assert missing(name) == ()
    assert "[U+" not in markup(name, bold=True)


def test_ideographs_are_set_in_the_font_that_has_them():
    assert markup("Hong 洪") == f'Hong <font name="{WIDE}">洪</font>'
    assert markup("Hong 洪", bold=True) == f'<font name="{BOLD}">Hong </font><font name="{WIDE}">洪</font>'


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a𠮷b", "a[U+20BB7]b"),  # no glyph
        ("שם", "[U+05E9][U+05DD]"),  # right to left
        ("محمد", "[U+0645][U+062D][U+0645][U+062F]"),
        ("राम", "[U+0930][U+093E][U+092E]"),  # letters that change with their neighbours
        ("a\u202eb\x07", "a[U+202E]b[U+0007]"),  # would turn the rest of the line round
    ],
)
def test_what_cannot_be_written_is_written_as_its_code_point(text, written):
    assert markup(text) == written
    assert missing(text) == tuple(c for c in dict.fromkeys(text) if c not in "ab")


@given(st.text())
def test_markup_is_escaped_and_leaves_no_character_without_a_glyph(text):
    written = markup(text).replace(f'<font name="{WIDE}">', "").replace("</font>", "")
    assert "<" not in written
    for letter in written:
        assert letter == " " or ord(letter) in glyphs(BOLD) | glyphs(WIDE)
