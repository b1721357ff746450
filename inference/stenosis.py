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
SCALE = "canal_narrowing"
"""Name of the grade: ``none``, ``relative`` or ``absolute``."""


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

    def grade(self, diameter: Length) -> Grade:
        """The degree of narrowing."""
        if diameter.mm < self.absolute_mm:
            value = "absolute"
        else:
            value = "relative" if diameter.mm < self.relative_mm else "none"
        return Grade(scale=SCALE, value=value)

    def judge(self, level: Disc, diameter: Length, slices: int) -> Assessment:
        """Present or absent; not assessed where the measurement cannot tell it from the cut-off (one deviation).

        Args:
            level: where it was measured.
            diameter: the smallest of the level.
            slices: of the series; with few, the one that was measured on may run beside the sac's middle.
        """
        if level not in LUMBAR:
            sentence = "The cut-offs are of the lumbar canal; the measurement is given alone."
            return NotAssessed(reason=ReasonCode.NO_MODEL, sentence=sentence)
        if abs(diameter.mm - self.absolute_mm) <= diameter.uncertainty_mm:
            sentence = (
                f"The canal's diameter of {diameter.mm:.1f} +/- {diameter.uncertainty_mm:.1f} mm cannot be told from "
                f"the cut-off of {self.absolute_mm:g} mm."
            )
            return NotAssessed(reason=ReasonCode.UNCERTAIN, sentence=sentence)
        if diameter.mm > self.absolute_mm:
            return Absent()
        if slices < FEW_SLICES:
            sentence = (
                f"The sac is {diameter.mm:.1f} mm deep here, but {slices} slice(s) do not show whether they run "
                "through the sac's middle."
            )
            return NotAssessed(reason=ReasonCode.UNCERTAIN, sentence=sentence)
        if level == LOWEST:
            sentence = (
                f"The sac is {diameter.mm:.1f} mm deep, but at {LOWEST.name} it tapers within fat: "
                "a small one alone is no stenosis."
            )
            return NotAssessed(reason=ReasonCode.UNCERTAIN, sentence=sentence)
        return Present()
