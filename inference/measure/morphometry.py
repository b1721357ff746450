"""Reference sizes of adult vertebrae, each with its source.

Only ratios between levels and between the three heights are used for height loss: a person's own size is fitted from
the other vertebrae of the same image. Absolute sizes serve to refuse what cannot be an adult spine.

Heights are meant as this package measures them: on outlines of marrow in MR, at 15, 50 and 85 % of the depth.

Sources
    [S] medians over 29 people of the SPIDER T2 SPACE label maps (van der Graaf et al., Scientific Data 2024,
        CC BY 4.0), measured by this package, smoothed over neighbouring levels; fractured bodies are too few to move
        a median. n = 28 or 29 for T12..L5, 15 for T11.
    [P] Panjabi et al. 1991/1992, cadavers: posterior heights and depths. Times 1.09, the ratio of [S] to [P] over
        T11..L3 (heights in living people are larger; so is CT of L5, IJSS 2021;15:1072).
    [W] sagittal wedging in degrees, PMC2899959, mean of women and men, turned into a ratio over 70 % of the depth.
        [S] agrees with it within 0.02 at T11..L1 and is 0.03 to 0.1 more lordotic at L2..L5, where [S] is used.
    [E] our own judgement, where no source was found.
"""

from __future__ import annotations

from dataclasses import dataclass

from inference.anatomy import Vertebra


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyNorm:
    """What a normal body of one level looks like in an adult of middle size."""

    posterior_mm: float
    """Height at 85 % of the depth."""
    wedge: float
    """Anterior over posterior height: below 1 opens to the back, as at T11 and T12; above 1 to the front, as at L5."""
    concavity: float
    """Middle height over the mean of the other two."""
    depth_mm: float

    @property
    def heights_mm(self) -> tuple[float, float, float]:
        """Anterior, middle, posterior."""
        anterior = self.posterior_mm * self.wedge
        return anterior, self.concavity * (anterior + self.posterior_mm) / 2, self.posterior_mm


def _norm(posterior_mm: float, wedge: float, concavity: float, depth_mm: float) -> BodyNorm:
    return BodyNorm(posterior_mm=posterior_mm, wedge=wedge, concavity=concavity, depth_mm=depth_mm)


BODY_NORMS: dict[Vertebra, BodyNorm] = {
    Vertebra.C3: _norm(
        12.6, 1.00, 0.95, 15.3
    ),  # heights and depths [P] from here to T10, wedge and concavity [E] to C7
    Vertebra.C4: _norm(12.4, 1.00, 0.95, 15.6),
    Vertebra.C5: _norm(12.4, 0.98, 0.95, 16.6),
    Vertebra.C6: _norm(11.9, 0.98, 0.95, 17.5),
    Vertebra.C7: _norm(14.0, 0.98, 0.95, 17.5),
    Vertebra.T1: _norm(15.4, 0.97, 0.95, 19.1),  # wedge [W] (above T9 [E]) and concavity that of T11 [S], to T10
    Vertebra.T2: _norm(17.0, 0.97, 0.95, 20.6),
    Vertebra.T3: _norm(17.1, 0.96, 0.95, 23.0),
    Vertebra.T4: _norm(17.7, 0.95, 0.95, 23.9),
    Vertebra.T5: _norm(17.7, 0.95, 0.95, 25.1),
    Vertebra.T6: _norm(19.0, 0.94, 0.95, 26.5),
    Vertebra.T7: _norm(19.8, 0.94, 0.95, 28.0),
    Vertebra.T8: _norm(20.4, 0.94, 0.95, 28.7),
    Vertebra.T9: _norm(21.0, 0.94, 0.95, 30.2),
    Vertebra.T10: _norm(22.0, 0.95, 0.95, 31.1),
    Vertebra.T11: _norm(23.2, 0.925, 0.945, 31.9),  # [S] from here on; depths [P]
    Vertebra.T12: _norm(24.7, 0.935, 0.943, 33.1),
    Vertebra.L1: _norm(25.9, 0.958, 0.937, 34.7),
    Vertebra.L2: _norm(26.5, 1.00, 0.917, 34.8),
    Vertebra.L3: _norm(26.3, 1.045, 0.905, 35.0),
    Vertebra.L4: _norm(25.3, 1.09, 0.915, 34.7),
    Vertebra.L5: _norm(23.0, 1.20, 0.925, 34.0),
}
SIZE_SD = 0.09
"""Relative standard deviation of an adult's vertebral size, men and women together (models.md 2.3: 7 to 9 %)."""
