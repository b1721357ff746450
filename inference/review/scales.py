"""What a reviewer may say: the levels of each kind of finding, and the grades of each scale."""

from __future__ import annotations

from collections.abc import Mapping

from inference.anatomy import REGULAR_VERTEBRAE, Disc, Site, Vertebra, parse_level
from inference.findings import Grade, Question
from inference.review.refusal import ReviewFault, ReviewRefusal

SCALES: Mapping[str, tuple[str, ...]] = {
    "genant": ("0", "1", "2", "3"),
    "genant_shape": ("wedge", "biconcave", "crush"),
    "acuity": ("acute-appearing", "chronic-appearing"),
    "canal_narrowing": ("none", "relative", "absolute"),
    "sac_narrowing": ("none", "relative", "absolute"),
    "pfirrmann": ("1", "2", "3", "4", "5"),
    "modic": ("1", "2", "3"),
    "meyerding": ("0", "1", "2", "3", "4", "5"),
}
"""Values of every scale, mildest first; the codes are in dicom_node.codes, and a test compares the two."""

SCALES_OF: Mapping[Question, frozenset[str]] = {
    Question.COMPRESSION_FRACTURE: frozenset({"genant", "genant_shape", "acuity"}),
    Question.MODIC: frozenset({"modic"}),
    Question.STENOSIS: frozenset({"canal_narrowing", "sac_narrowing"}),
    Question.DISC_DEGENERATION: frozenset({"pfirrmann"}),
    Question.SPONDYLOLISTHESIS: frozenset({"meyerding"}),
}
"""Scales of each question; one that is not listed has none."""

AT_VERTEBRAE = frozenset({Question.COMPRESSION_FRACTURE})
AT_DISCS = frozenset(
    {
        Question.STENOSIS,
        Question.DISC_DEGENERATION,
        Question.SPONDYLOLISTHESIS,
        Question.DISC_NARROWING,
        Question.DISC_BULGING,
        Question.DISC_HERNIATION,
    }
)
"""Questions of which the kind of level is fixed; the others sit where their finding sat."""

TRANSITIONAL_DISCS = frozenset({"T12-T13", "T13-L1", "L5-L6", "L6-S1", "L4-S1"})


def check_grades(question: Question, grades: tuple[Grade, ...]) -> None:
    """Refuse a grade that is not on a scale of its question, and two on one scale."""
    for grade in grades:
        known = SCALES_OF.get(question, frozenset())
        if grade.scale not in known:
            what = f"are {', '.join(sorted(known))}" if known else "do not exist"
            raise ReviewRefusal(f"Scales of {question.value} {what}, got {grade.scale!r}.", fault=ReviewFault.GRADE)
        if grade.value not in SCALES[grade.scale]:
            raise ReviewRefusal(
                f"A grade on the scale {grade.scale} is one of {', '.join(SCALES[grade.scale])}, got {grade.value!r}.",
                fault=ReviewFault.GRADE,
            )
    if len({grade.scale for grade in grades}) < len(grades):
        raise ReviewRefusal("A finding has one grade on each scale, got two on one.", fault=ReviewFault.GRADE)


def check_level(name: str, question: Question, like: Site | None = None) -> None:
    """Refuse a level that is none, or where a finding of this question, or one that was at ``like``, cannot be."""
    try:
        level = parse_level(name)
    except ValueError as error:
        raise ReviewRefusal(f"{name!r} is no level: {error}.", fault=ReviewFault.LEVEL) from None
    if isinstance(level, Disc) and not _is_disc(level):
        raise ReviewRefusal(f"There is no disc {name}.", fault=ReviewFault.LEVEL)
    wanted = _kind(question, like)
    if wanted is not None and not isinstance(level, wanted):
        word = "vertebra like L1" if wanted is Vertebra else "disc like L4-L5"
        raise ReviewRefusal(f"The level of {question.value} is a {word}, got {name}.", fault=ReviewFault.LEVEL)


def _kind(question: Question, like: Site | None) -> type[Vertebra | Disc] | None:
    if question in AT_VERTEBRAE:
        return Vertebra
    if question in AT_DISCS:
        return Disc
    if like is not None and like.level is not None:
        return type(parse_level(like.level))
    return None


def _is_disc(disc: Disc) -> bool:
    return disc.name in TRANSITIONAL_DISCS or (disc.above in REGULAR_VERTEBRAE and disc == Disc.under(disc.above))
