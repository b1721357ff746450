"""When a narrow canal is called stenosis: the cut-offs, and what a measured diameter says against them.

Sources: mid-sagittal diameter under 10 mm is the commonest radiological criterion of lumbar central stenosis, 10 to
12 mm is relative narrowing (Verbiest, Orthop. Clin. North Am. 1975;6:177; review of criteria in use: Steurer et al.,
BMC Musculoskelet. Disord. 2011;12:175).
"""

from __future__ import annotations

from dataclasses import dataclass

from inference.anatomy import Disc, Vertebra
from inference.errors import ReasonCode
from inference.findings import Absent, Assessment, Grade, NotAssessed, Present
from inference.measure.read import FEW_SLICES
from inference.measure.reading import Length

LOWEST = Disc(above=Vertebra.L5, below=Vertebra.S1)
LUMBAR = (
    Disc(above=Vertebra.L1, below=Vertebra.L2),
    Disc(above=Vertebra.L2, below=Vertebra.L3),
    Disc(above=Vertebra.L3, below=Vertebra.L4),
    Disc(above=Vertebra.L4, below=Vertebra.L5),
    LOWEST,
)
"""Where the cut-offs apply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOffs:
    """The two sizes under which a canal or its sac is relatively and absolutely narrow."""

    scale: str
    """Name of the grade, whose values are ``none``, ``relative`` and ``absolute``."""
    what: str
    """``canal's diameter``."""
    unit: str
    absolute: float
    relative: float

    def grade(self, size: float) -> Grade:
        """The degree of narrowing."""
        if size < self.absolute:
            return Grade(scale=self.scale, value="absolute")
        return Grade(scale=self.scale, value="relative" if size < self.relative else "none")

    def judge(self, level: Disc, size: float, uncertainty: float) -> Assessment:
        """Present or absent; not assessed within one deviation of the cut-off, nor where a small size is no sign."""
        if level not in LUMBAR:
            sentence = "The cut-offs are of the lumbar canal; the measurement is given alone."
            return NotAssessed(reason=ReasonCode.NO_MODEL, sentence=sentence)
        stated = f"{size:.1f} +/- {uncertainty:.1f} {self.unit}"
        if abs(size - self.absolute) <= uncertainty:
            sentence = f"The {self.what} of {stated} cannot be told from the cut-off of {self.absolute:g} {self.unit}."
            return NotAssessed(reason=ReasonCode.UNCERTAIN, sentence=sentence)
        if size > self.absolute:
            return Absent()
        if level == LOWEST:
            sentence = (
                f"The {self.what} is {stated}, but at {level.name} the sac tapers within fat: "
                "a small one alone is no stenosis."
            )
            return NotAssessed(reason=ReasonCode.UNCERTAIN, sentence=sentence)
        return Present()


@dataclass(frozen=True, slots=True, kw_only=True)
class StenosisPolicy:
    """From which mid-sagittal diameter on stenosis is called; a site may choose its own, and every result states it."""

    absolute_mm: float = 10.0
    """A canal narrower than this is called stenosis."""
    relative_mm: float = 12.0
    """A canal narrower than this is named as relatively narrow."""

    @property
    def statement(self) -> str:
        """The operating point in words and numbers."""
        return f"mid-sagittal canal diameter < {self.absolute_mm:g} mm"

    @property
    def cut_offs(self) -> CutOffs:
        """The same as values."""
        return CutOffs(
            scale="canal_narrowing",
            what="canal's diameter",
            unit="mm",
            absolute=self.absolute_mm,
            relative=self.relative_mm,
        )

    def judge(self, level: Disc, diameter: Length, slices: int) -> Assessment:
        """Present, absent or not assessed; with few slices, the measured one may run beside the sac's middle.

        Args:
            level: where it was measured.
            diameter: the smallest of the level.
            slices: of the series.
        """
        answer = self.cut_offs.judge(level, diameter.mm, diameter.uncertainty_mm)
        if slices >= FEW_SLICES or not isinstance(answer, Present):
            return answer
        sentence = (
            f"The sac is {diameter.mm:.1f} mm deep here, but {slices} slice(s) do not show whether they run "
            "through the sac's middle."
        )
        return NotAssessed(reason=ReasonCode.UNCERTAIN, sentence=sentence)
