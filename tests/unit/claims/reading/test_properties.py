"""What holds of every text."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.report_reading.corpus import load
from builders.reports import report
from claims.reading import load_report, read_report
from claims.reading.lexicon import CONCEPTS
from claims.reading.sections import split
from claims.reading.view import fold
from claims.report import Polarity, ReportRefusal

VOCABULARY = """
No acute chronic old compression fracture fx of L1 L-2 T11 through T12 and or , ; . : ( ) with without marrow edema STIR
hyperintensity retropulsion cannot exclude likely possible is not seen HISTORY: IMPRESSION: ADDENDUM: T1 T2 kyphoplasty
Schmorl Modic 1 metastasis transitional there both the latter should read disregard frac- - 3 mm
"""
WORDS = st.sampled_from([*VOCABULARY.split(), "\n", "\n\n"])
ANYTHING = st.one_of(st.text(max_size=300), st.lists(WORDS, max_size=60).map(" ".join))
TEXTS = ANYTHING.filter(lambda text: bool(text.strip()))
CORPUS = load()


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_a_quote_is_what_the_report_says_where_it_says_it(text: str) -> None:
    for said in read_report(report(text)).statements:
        assert text[said.quote.start : said.quote.end] == said.quote.text
        assert said.quote.text.strip() == said.quote.text != ""


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_the_same_report_says_the_same_in_the_order_of_its_text(text: str) -> None:
    first, second = read_report(report(text)), read_report(report(text))
    assert first == second
    starts = [said.quote.start for said in first.statements]
    assert starts == sorted(starts)


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_whatever_is_uncertain_has_a_reason(text: str) -> None:
    assert all(said.note for said in read_report(report(text)).statements if said.polarity is Polarity.UNCERTAIN)


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_sentences_do_not_overlap(text: str) -> None:
    spans = split(text)
    assert all(before.end <= after.start for before, after in pairwise(spans))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_every_folded_character_knows_where_it_came_from(text: str) -> None:
    view = fold(text, 0, len(text))
    assert len(view.folded) == len(view.offsets)
    assert list(view.offsets) == sorted(view.offsets)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(CORPUS), st.sampled_from(("\n", "\r\n")), st.booleans())
def test_line_ends_and_capitals_change_nothing_but_the_offsets(labelled, end: str, capitals: bool) -> None:  # noqa: FBT001
    plain = read_report(report(labelled.text)).statements
    other = read_report(report(labelled.text.replace("\n", end))).statements
    assert [(s.level, s.topic, s.polarity, s.acuity) for s in plain] == [
        (s.level, s.topic, s.polarity, s.acuity) for s in other
    ]
    assert not capitals or read_report(report(labelled.text.upper()))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(["text", "hl7v2", "fhir", "dicom-sr", None]))
def test_bytes_are_a_report_or_are_refused(data: bytes, name: str | None) -> None:
    prefix = b"MSH|^~\\&|" if name == "hl7v2" else b""
    try:
        loaded = load_report(prefix + data, report_format=name)
    except ReportRefusal as refusal:
        assert refusal.sentence  # noqa: PT017 - either way is right
    else:
        assert loaded.text


def test_every_topic_has_its_words() -> None:
    assert all(CONCEPTS.values())
