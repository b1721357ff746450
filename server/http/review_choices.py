"""What a review may say, for forms: reasons, places, levels and grades. The tables are the domain's."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from inference.anatomy import REGULAR_VERTEBRAE, Disc, EndplateSide, Laterality, Region
from inference.findings import Question, ReviewReason
from inference.findings.summary import NAMES
from inference.review.apply import REASON_WORDS
from inference.review.review import REASONS
from inference.review.scales import AT_DISCS, SCALES, SCALES_OF

router = APIRouter(prefix="/api/v1/reviews", tags=["reviews"])

_ENDPLATES = tuple((f"{side.value} endplate", {"endplate": side.value}) for side in EndplateSide)
_FORAMINA = tuple(
    (f"{side.value} foramen", {"side": side.value, "region": Region.FORAMEN.value})
    for side in (Laterality.LEFT, Laterality.RIGHT)
)
PARTS: dict[Question, tuple[tuple[str, dict[str, str]], ...]] = {
    Question.MODIC: _ENDPLATES,
    Question.ENDPLATE_CHANGE: _ENDPLATES,
    Question.STENOSIS: (("canal", {}), *_FORAMINA),
    Question.HARDWARE_LOOSENING: (("", {}), ("left", {"side": "left"}), ("right", {"side": "right"})),
}
"""Where at its level an added finding can be, in words and as the rest of its site; others have their level alone."""

OF_THE_STUDY = frozenset({Question.NEEDLE_PLACEMENT, Question.HARDWARE_LOOSENING})
"""Questions of which a finding may stand for the study as a whole, without a level."""


@router.get("/choices", summary="What a review may say: reasons, questions with their places, levels and grades.")
def choices() -> dict[str, Any]:
    """For forms: the reasons of each decision with their words, the questions, the levels, and each scale's grades."""
    return {
        "reasons": {
            action.value: [
                {"code": reason.value, "words": REASON_WORDS[reason]} for reason in ReviewReason if reason in reasons
            ]
            for action, reasons in REASONS.items()
        },
        "questions": [_question(question) for question in Question],
        "levels": {
            "vertebra": [vertebra.name for vertebra in REGULAR_VERTEBRAE],
            "disc": [Disc.under(vertebra).name for vertebra in REGULAR_VERTEBRAE[1:-1]],
        },
        "scales": {
            question.value: {scale: SCALES[scale] for scale in sorted(scales)} for question, scales in SCALES_OF.items()
        },
    }


def _question(question: Question) -> dict[str, Any]:
    return {
        "code": question.value,
        "name": NAMES[question],
        "levels": "disc" if question in AT_DISCS else "vertebra",
        "needs_level": question not in OF_THE_STUDY,
        "parts": [{"words": words, "site": site} for words, site in PARTS.get(question, (("", {}),))],
    }
