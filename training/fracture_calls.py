"""How often a vertebra that is not fractured is called one (Genant grade 2 or more), on images that nobody graded.

Which bodies are fractured was looked at on the images by this project, not graded by a radiologist: three, named in
``FRACTURED``. A call elsewhere counts against the reading, also where the body is low for another visible reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from inference.errors import ReasonCode
from inference.measure.reading import HeightLoss, SpineReading, Unmeasured
from inference.spine_findings import FracturePolicy
from training.cases import Answer
from training.scores import wilson

FRACTURED = {"55": {"T12"}, "166": {"T12"}, "241": {"L1"}}
"""T2 SPACE patients with a body that is fractured to the eye."""
ALSO_LOW = {
    "48": {"L4"},
    "55": {"T11", "L4"},
    "63": {"L1", "L3"},
    "72": {"L3"},
    "142": {"L5"},
    "196": {"L1"},
    "209": {"L4"},
    "227": {"L3"},
}
"""Low to the eye, but not known to be fractured, so that a call still counts against the reading: 55, 142 and 209 have
a Schmorl's node, a body low all over or bodies beside a slip; 48, 72, 196 and 227 have one collapsed body on their
mid-sagittal slice, 63 has a wedge and a deep dent, and they were looked at because the reading had called them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """What was answered on one series."""

    patient: str
    measured: frozenset[str]
    """Levels whose loss of height was measured."""
    called: frozenset[str]
    """Levels called fractured."""
    refusal: str | None = None
    """Why nothing was measured."""


def read_calls(patient: str, answer: Answer, policy: FracturePolicy) -> Calls:
    """The answers of one series."""
    if answer.reading is None:
        return Calls(patient=patient, measured=frozenset(), called=frozenset(), refusal="no spine was read")
    losses = {v.level.name: v.loss for v in answer.reading.vertebrae if isinstance(v.loss, HeightLoss)}
    return Calls(
        patient=patient,
        measured=frozenset(losses),
        called=frozenset(level for level, loss in losses.items() if policy.is_present(loss)),
        refusal=None if losses else _why_nothing(answer.reading),
    )


def _why_nothing(reading: SpineReading) -> str:
    reasons = {v.loss.reason for v in reading.vertebrae if isinstance(v.loss, Unmeasured)}
    return "the pixel spacing cannot be right" if ReasonCode.SPACING in reasons else "no body was measured"


def count_calls(series: Sequence[Calls], policy: FracturePolicy) -> dict[str, Any]:
    """Calls over one series of each patient."""
    fractured = {one.patient: FRACTURED.get(one.patient, set()) & one.measured for one in series}
    false = {one.patient: one.called - fractured[one.patient] for one in series}
    whole = sum(len(one.measured - fractured[one.patient]) for one in series)
    measured = [one for one in series if one.refusal is None]
    return {
        "operating_point": policy.statement,
        "patients": len(measured),
        "not_fractured": whole,
        "called_of_not_fractured": wilson(sum(map(len, false.values())), whole),
        "patients_with_a_false_call": wilson(sum(bool(false[one.patient]) for one in measured), len(measured)),
        "false_calls": [
            {"patient": patient, "level": level, "low_to_the_eye": level in ALSO_LOW.get(patient, set())}
            for patient, levels in false.items()
            for level in sorted(levels)
        ],
        "fractured": [f"{patient} {level}" for patient, levels in fractured.items() for level in sorted(levels)],
        "fractured_not_called": [
            f"{one.patient} {level}" for one in series for level in sorted(fractured[one.patient] - one.called)
        ],
        "refused": {
            reason: [one.patient for one in series if one.refusal == reason]
            for reason in sorted({one.refusal for one in series if one.refusal is not None})
        },
    }
