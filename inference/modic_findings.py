"""The Modic type of a disc at which a change was found: the rule, and the words of what it says or does not say.

Modic et al. (Radiology 1988;166:193) define the types by signal against ordinary marrow: type 1 dark on T1 and bright
on T2, type 2 bright on T1 and not dark on T2, type 3 dark on both. *Whether* there is a change is a network's answer;
the rule tells only its type, from the windows of the bands beside the endplates (`inference.measure.endplate_bands`)
that carry a type's two signs most. It was not calibrated: of types 1 and 3 a handful of cases exist.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from inference.errors import ReasonCode
from inference.findings import Calibration, Evidence, Finding, Grade, Measurement
from inference.geometry import FloatArray
from inference.measure.endplate_bands import BAND_MM, EndplateBand
from inference.measure.reading import Unmeasured
from inference.subject import Subject

SCALE = "modic"
SPREAD = 0.10
"""Standard deviation of a window's log ratio, on T1 and on T2: at discs that a radiologist graded Modic 0 it is about
this, robustly (`python -m training.measure_modic_types` prints 0.11). The unit of the limits."""
ISOINTENSE = 1.0
"""Type 2 may be isointense on T2: down to this many standard deviations below ordinary marrow."""


class ModicType(StrEnum):
    """By signal against ordinary marrow."""

    ONE = "1"
    """Dark on T1, bright on T2: oedema."""
    TWO = "2"
    """Bright on T1, bright or like ordinary marrow on T2: fat."""
    THREE = "3"
    """Dark on both: sclerosis."""


LIMITS: Mapping[ModicType, float] = {ModicType.ONE: 2.0, ModicType.TWO: 2.7, ModicType.THREE: 5.9}
"""How many standard deviations the weaker of a type's two signs must reach, from the spread of discs graded Modic 0:
about 5 % of them reach type 2's limit, about 1 % those of the types that are rare; 2 at least, which type 1 needs."""
WORDS: Mapping[ModicType, str] = {
    ModicType.ONE: "dark on T1 and bright on T2",
    ModicType.TWO: "bright on T1 and not dark on T2",
    ModicType.THREE: "dark on T1 and on T2",
}
NO_TYPE_SHOWN = Unmeasured(
    reason=ReasonCode.UNCERTAIN,
    sentence="the marrow beside the endplates differs too little from the middle of its body on the slice through the "
    "disc to show a type",
)
RATIO_METHOD = (
    f"median signal on {{series}} of the marrow {BAND_MM[0]:g} to {BAND_MM[1]:g} mm from the disc, in the window along "
    "the endplate that shows the type most, over the median in the middle of {core}"
)
NOTE = (
    "Type {type} by a rule on signal ({words}, {vertebra} {side}), calibration: none; that a change is present is the "
    "model's answer."
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TypeCall:
    """The type, and the window that shows it most."""

    type: ModicType
    band: EndplateBand
    window: int


def type_scores(bands: Sequence[EndplateBand]) -> Mapping[ModicType, FloatArray]:
    """By type, (window,) over all bands: standard deviations that the weaker of its signs reaches; NaN if unknown."""
    t1, t2 = np.concatenate([band.logs for band in bands], axis=1) / SPREAD
    return {
        ModicType.ONE: np.minimum(-t1, t2),
        ModicType.TWO: np.where(t2 >= -ISOINTENSE, t1, np.minimum(t1, t2)),
        ModicType.THREE: np.minimum(-t1, -t2),
    }


def tell_type(bands: Sequence[EndplateBand]) -> TypeCall | Unmeasured:
    """The type that the bands of one disc show, or why none is told: none reaches its limit, or several do."""
    reached = {kind: score for kind, score in type_scores(bands).items() if np.nanmax(score) >= LIMITS[kind]}
    if not reached:
        return NO_TYPE_SHOWN
    if len(reached) > 1:
        shown = " and ".join(reached)
        sentence = f"the marrow beside the endplates shows types {shown} at different places"
        return Unmeasured(reason=ReasonCode.UNCERTAIN, sentence=sentence)
    ((kind, score),) = reached.items()
    place = int(np.nanargmax(score))
    for band in bands:
        if place < band.logs.shape[1]:
            return TypeCall(type=kind, band=band, window=place)
        place -= band.logs.shape[1]
    raise AssertionError("the window is of one of the bands")


def with_type(finding: Finding, call: TypeCall | Unmeasured, subjects: tuple[Subject, Subject]) -> Finding:
    """A Modic change that is present with its type, or with the reason why none is told.

    Args:
        finding: the answer *present* at a disc.
        call: the type, or why there is none.
        subjects: the T1 and the T2 series.
    """
    if isinstance(call, Unmeasured):
        return replace(finding, note=f"Modic type not told ({call.reason}): {call.sentence}.")
    band = call.band
    words = {"type": call.type, "words": WORDS[call.type], "vertebra": band.vertebra.name, "side": band.side}
    numbers = list(_numbers(call, finding.site.level, subjects))
    return replace(
        finding,
        grades=(Grade(scale=SCALE, value=call.type, calibration=Calibration.NONE), *finding.grades),
        measurements=finding.measurements + tuple(m for m, _ in numbers),
        evidence=finding.evidence + tuple(e for _, e in numbers),
        note=NOTE.format(**words),
    )


def _numbers(
    call: TypeCall, level: str | None, subjects: tuple[Subject, Subject]
) -> Iterator[tuple[Measurement, Evidence]]:
    """The ratio on each series, and where on that series it was taken."""
    band = call.band
    is_sacrum = (level or "").endswith(f"-{band.vertebra.name}") and band.vertebra.name == "S1"
    core = "the vertebra above" if is_sacrum else "the same body"
    for n, (series, subject) in enumerate(zip(("T1", "T2"), subjects, strict=True)):
        name = f"endplate_band_{series.lower()}_ratio"
        ratio = float(np.exp(band.logs[n, call.window]))
        method = RATIO_METHOD.format(series=series, core=core)
        spread = round(ratio * SPREAD, 2)
        yield (
            Measurement(name=name, value=round(ratio, 2), unit="1", uncertainty=spread, method=method),
            replace(subject.point(band.place(n, call.window)), measurement=name),
        )
