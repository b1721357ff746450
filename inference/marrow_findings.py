"""What marrow signal on a fat-suppressed series says about a fracture: the policy, the patterns, and the words.

A called fracture whose body is bright throughout is acute-appearing, one with ordinary marrow chronic-appearing.
Everything between is told as what it is and gets no acuity: a band at an endplate is oedema of a fresh fracture or a
Modic 1 change of the disc beside it, a focus there may be a Schmorl node. Acuity in the sense of a claim is the time
since onset as well, which no image tells; therefore *appearing*.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from inference.anatomy import Vertebra
from inference.errors import ReasonCode
from inference.findings import (
    ACUTE_APPEARING,
    CHRONIC_APPEARING,
    Evidence,
    Finding,
    Grade,
    Measurement,
    Present,
    Question,
)
from inference.measure.marrow import BodyMarrow
from inference.measure.reading import Unmeasured
from inference.spine_findings import Subject

RATIO_METHOD = "mean signal of the body on {series} over the smooth course of the other bodies along the spine"
Z_METHOD = "log of that ratio in robust standard deviations (median, MAD) of the other bodies"
SHARE_METHOD = "part of the body, without its rim, that has at least {ratio:g} times the expected signal on {series}"
NO_FAT_SUPPRESSED = Unmeasured(
    reason=ReasonCode.MISSING_SERIES,
    sentence="no sagittal STIR or fat-saturated T2 series could be read beside the heights",
)
NOT_SHOWN = Unmeasured(reason=ReasonCode.TRUNCATION, sentence="the fat-suppressed series does not show the level")
WIDE = 0.5
"""A bright area that spans this share of the body's depth is a band, a narrower one a focus. Our own choice."""
BAND_FILLED = 0.3
"""Bright share of an endplate's third from which it holds a band. Our own choice: 8 mm (models.md 3.6, the bands of
Modic change) is about a third of a lumbar body, and a band of 3 mm fills a third of that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarrowPolicy:
    """When marrow counts as oedematous; a site may choose its own, and every result states it.

    No labelled fat-suppressed images were at hand: the defaults are chosen, not fitted, and results carry calibration
    ``none``. models.md 2.4 puts oedema at ten times the marrow's signal on STIR, 3.6 asks for a tenth of an endplate.
    """

    ratio: float = 2.0
    """From how many times the expected signal a place is bright: far from both, 1 and 10, on a scale of ratios."""
    share: float = 0.25
    """Smallest bright part of the body, and of its middle third, that is oedema of the body as a whole."""
    z: float = 3.0
    """Smallest z-score of the body's mean signal."""
    quiet: float = 0.05
    """Largest bright part of a body without oedema."""

    @property
    def statement(self) -> str:
        """The operating point in words and numbers."""
        return (
            f"{ACUTE_APPEARING}: marrow signal >= {self.ratio:g} x expected in >= {self.share * 100:g} % of the body "
            f"and of its middle third, z >= {self.z:g}; {CHRONIC_APPEARING}: in <= {self.quiet * 100:g} %, "
            f"z < {self.z:g}"
        )


class MarrowPattern(StrEnum):
    """How bright marrow lies in a body."""

    ORDINARY = "ordinary"
    """Hardly any place is bright."""
    OEDEMA = "oedema"
    """Bright to the middle of the body."""
    BAND = "band"
    """Bright along an endplate, dark in the middle: a fresh fracture or a Modic 1 change."""
    FOCUS = "focus"
    """One small bright place: a Schmorl node, a vein, a haemangioma with little fat."""
    UNCLEAR = "unclear"
    """None of these."""


ACUITY: Mapping[MarrowPattern, str] = {MarrowPattern.OEDEMA: ACUTE_APPEARING, MarrowPattern.ORDINARY: CHRONIC_APPEARING}
"""What a pattern says of a called fracture; the others say nothing."""
WHY_NO_ACUITY: Mapping[MarrowPattern, str] = {
    MarrowPattern.BAND: "bright marrow lies in a band at an endplate, as fracture oedema and a Modic 1 change both do",
    MarrowPattern.FOCUS: "only one small place of the marrow is bright, as a Schmorl node or a vein is",
    MarrowPattern.UNCLEAR: "the marrow is neither ordinary nor clearly oedematous",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesMarrow:
    """The marrow of the levels that a fat-suppressed series shows."""

    levels: Mapping[Vertebra, BodyMarrow | Unmeasured]
    """By the levels of the findings."""
    subject: Subject
    """Its volume is the fat-suppressed series."""
    policy: MarrowPolicy
    series: str
    """``STIR`` or ``fat-saturated T2``."""


def pattern_of(marrow: BodyMarrow, policy: MarrowPolicy) -> MarrowPattern:
    """The pattern of a body; the first that fits, in this order."""
    if marrow.share <= policy.quiet and marrow.z < policy.z:
        return MarrowPattern.ORDINARY
    if min(marrow.share, marrow.middle) >= policy.share and marrow.z >= policy.z:
        return MarrowPattern.OEDEMA
    if marrow.middle >= policy.share:
        return MarrowPattern.UNCLEAR
    if marrow.width >= WIDE and max(marrow.upper, marrow.lower) >= BAND_FILLED:
        return MarrowPattern.BAND
    return MarrowPattern.FOCUS if marrow.width < WIDE else MarrowPattern.UNCLEAR


def with_marrow(findings: Iterable[Finding], marrow: SeriesMarrow | Unmeasured) -> tuple[Finding, ...]:
    """The findings, with marrow and acuity on those about compression fracture; a called one says why it has none."""
    return tuple(
        _with_marrow(f, marrow) if f.question is Question.COMPRESSION_FRACTURE and f.site.level else f for f in findings
    )


def _with_marrow(finding: Finding, marrow: SeriesMarrow | Unmeasured) -> Finding:
    is_fracture = isinstance(finding.assessment, Present)
    if isinstance(marrow, Unmeasured):
        return _noted(finding, _not_told(marrow)) if is_fracture else finding
    found = marrow.levels.get(Vertebra[finding.site.level or ""], NOT_SHOWN)
    if isinstance(found, Unmeasured):
        return _noted(finding, _not_told(found)) if is_fracture else finding
    finding = _measured(finding, found, marrow)
    pattern = pattern_of(found, marrow.policy)
    if is_fracture:
        return _judged(finding, pattern, marrow.policy)
    return _noted(finding, _occult(found, marrow)) if pattern is MarrowPattern.OEDEMA else finding


def _judged(finding: Finding, pattern: MarrowPattern, policy: MarrowPolicy) -> Finding:
    """A called fracture with its acuity, or why it has none; either way with the operating point of both."""
    statements = filter(None, (finding.operating_point, policy.statement))
    finding = replace(finding, operating_point="; ".join(statements))
    if pattern in ACUITY:
        return replace(finding, grades=(*finding.grades, Grade(scale="acuity", value=ACUITY[pattern])))
    return _noted(finding, _not_told(Unmeasured(reason=ReasonCode.UNCERTAIN, sentence=WHY_NO_ACUITY[pattern])))


def _not_told(reason: Unmeasured) -> str:
    return f"Acuity not assessed ({reason.reason}): {reason.sentence}."


def _noted(finding: Finding, sentence: str) -> Finding:
    return replace(finding, note=" ".join(filter(None, (finding.note, sentence))))


def _occult(found: BodyMarrow, marrow: SeriesMarrow) -> str:
    return (
        f"Marrow signal like oedema in {found.share:.0%} of the body on {marrow.series} without a called height loss: "
        "a recent fracture that has not lost height, or another lesion of the marrow; a physician must look."
    )


def _measured(finding: Finding, found: BodyMarrow, marrow: SeriesMarrow) -> Finding:
    """The finding with the marrow's numbers, and a mark on the brightest place of the fat-suppressed series."""
    ratio_method = RATIO_METHOD.format(series=marrow.series)
    numbers = (
        Measurement(
            name="marrow_signal_ratio",
            value=round(found.ratio, 2),
            unit="1",
            uncertainty=round(found.ratio_uncertainty, 2),
            method=ratio_method,
        ),
        Measurement(name="marrow_signal_z_score", value=round(found.z, 2), unit="1", uncertainty=None, method=Z_METHOD),
        Measurement(
            name="marrow_oedema_share",
            value=round(found.share * 100, 1),
            unit="%",
            uncertainty=round(found.share_uncertainty * 100, 1),
            method=SHARE_METHOD.format(ratio=marrow.policy.ratio, series=marrow.series),
        ),
    )
    marks: tuple[Evidence, ...] = ()
    if found.brightest_index is not None and found.share > marrow.policy.quiet:
        marks = (replace(marrow.subject.point(found.brightest_index), measurement="marrow_oedema_share"),)
    return replace(finding, measurements=finding.measurements + numbers, evidence=finding.evidence + marks)
