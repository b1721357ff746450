"""What a generated spine is asked to be: the one input of `generate_spine`.

Lengths are millimetres, angles degrees, losses fractions (0.45 = 45 % of the height is gone).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from inference.anatomy import Disc, Vertebra, parse_level
from inference.measure.reading import FractureShape
from training.phantom.morphometry import ALL_LEVELS

MAXIMUM_LOSS = 0.8
LUMBAR_COUNTS = (4, 5, 6)
MINIMUM_CANAL_MM = 3.0
MAXIMUM_RETROPULSION_MM = 10.0


class Contrast(StrEnum):
    """How the MR image is weighted."""

    T1 = "T1"
    T2 = "T2"
    STIR = "STIR"


class MarrowChange(StrEnum):
    """What a body's marrow shows beside, or instead of, a fracture."""

    OEDEMA = "oedema"
    """The whole body: occult fracture, inflammation, tumour."""
    SUPERIOR_BAND = "superior_band"
    """Oedema along the superior endplate: what Modic 1 looks like."""
    INFERIOR_BAND = "inferior_band"
    SUPERIOR_FAT = "superior_fat"
    """Fat along the superior endplate: what Modic 2 looks like."""
    INFERIOR_FAT = "inferior_fat"
    SUPERIOR_SCLEROSIS = "superior_sclerosis"
    """Sclerosis along the superior endplate: what Modic 3 looks like."""
    INFERIOR_SCLEROSIS = "inferior_sclerosis"
    SCHMORL = "schmorl"
    """A focus of oedema around a node in the superior endplate."""
    HAEMANGIOMA = "haemangioma"
    """Fat: bright on T1 and T2, dark on STIR."""


class SacralShape(StrEnum):
    """How the last lumbar vertebra and the sacrum are made."""

    REGULAR = "regular"
    LUMBARISED = "lumbarised"
    """S1 is squared and has a disc below it, which is labelled."""
    SACRALISED = "sacralised"
    """The disc above the sacrum is rudimentary: low and short."""


class Fracture(NamedTuple):
    """A fractured body: its shape, and the loss at that shape's place (wedge 15 % depth, biconcave 50 %, crush all)."""

    shape: FractureShape
    loss: float
    acute: bool = True
    """Draw marrow oedema, which STIR shows."""
    retropulsion_mm: float = 0.0
    """How far a fragment of the posterior wall stands out into the canal, beside the body's upper end."""


def _nothing() -> Mapping[str, float]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomParameters:
    """One generated study; the same parameters give the same bytes.

    The anatomy depends on `seed` and the anatomical parameters only: two series of one patient are the same parameters
    with another contrast, matrix or slice spacing.
    """

    seed: int = 1
    contrast: Contrast = Contrast.T2
    rows: int = 640
    columns: int = 512
    spacing_mm: float = 0.46875
    slices: int = 15
    slice_spacing_mm: float = 4.0
    subslices: int | None = None
    """Planes averaged into one slice; None: about one a millimetre."""
    lumbar: int = 5
    """Lumbar vertebrae, 4 to 6: they end at L4, L5 or L6, each as large as the fifth from the sacrum would be there."""
    sacral_shape: SacralShape = SacralShape.REGULAR
    lowest: str | None = None
    """The lowest level that is completely inside the field of view; None or the last lumbar one shows the sacrum."""
    highest: str | None = None
    """The highest vertebra that is drawn; None: as far up as the field of view reaches."""
    fractures: Mapping[str, tuple[FractureShape | str, float] | Fracture] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """Level to (shape, loss), like ``{"L1": ("crush", 0.45)}``."""
    marrow: Mapping[str, MarrowChange | str] = field(default_factory=lambda: MappingProxyType({}))
    """Level to what its marrow shows, like ``{"L2": "superior_band"}``."""
    slip_mm: Mapping[str, float] = field(default_factory=_nothing)
    """Disc to the anterior slip of the vertebra above it, like ``{"L4-L5": 6.0}``."""
    stenosis_mm: Mapping[str, float] = field(default_factory=_nothing)
    """Disc to the AP diameter that the canal is narrowed to there, like ``{"L4-L5": 7.0}``."""
    degeneration: Mapping[str, float] = field(default_factory=_nothing)
    """Disc to 0 (healthy) .. 1 (dark and half its height); levels that are not named get a random mild value."""
    size: float = 1.0
    """Scale of the whole skeleton; about 0.92 is an average woman, 1.0 a man (models.md 2.3)."""
    lordosis_deg: float = 37.0
    """From the superior endplate of L1 to that of S1, lying (PMC6680033: 36.8, SD 13.2)."""
    tilt_deg: float = 0.0
    """Rotation of the body in the sagittal plane, positive leans back."""
    scoliosis_mm: float = 0.0
    """Largest sideways offset of the column; without axial rotation."""
    turn_deg: float = 0.0
    """Turn of patient and slices together about the head-foot axis: the affine is oblique, the image the same."""
    variation: float = 1.0
    """Scale of the person-to-person spread of all sizes; 0 gives the table's means."""
    noise: float = 0.025
    """Rician noise, as a fraction of the brightness of cerebrospinal fluid near the coil."""
    bias: float = 0.15
    """Standard deviation of the smooth multiplicative field."""
    saturation: float = 0.7
    """Part of the signal in front of the spine that a saturation band takes away; 0 is no band."""
    coil_mm: float = 75.0
    """Distance over which the surface coil's sensitivity falls to 37 %; 0 is a perfectly even coil."""

    def __post_init__(self) -> None:
        """Refuse numbers that no image or spine has, naming the value."""
        for change in self.marrow.values():
            MarrowChange(change)
        _check_grid(self)
        _check_levels(self)

    @property
    def levels(self) -> tuple[str, ...]:
        """The vertebrae that can be drawn, head to foot."""
        return ALL_LEVELS[: ALL_LEVELS.index(f"L{self.lumbar}") + 1]

    def marrow_change(self, level: str) -> MarrowChange | None:
        """What the marrow of a level shows, None where it is ordinary."""
        given = self.marrow.get(level)
        return None if given is None else MarrowChange(given)

    def fracture(self, level: str) -> Fracture | None:
        """The fracture of a level, None where it is whole."""
        given = self.fractures.get(level)
        if given is None:
            return None
        return Fracture(FractureShape(given[0]), *given[1:])


def _check_grid(p: PhantomParameters) -> None:
    for name in ("rows", "columns", "slices"):
        if getattr(p, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(p, name)}")
    for name in ("spacing_mm", "slice_spacing_mm", "size"):
        if not getattr(p, name) > 0:
            raise ValueError(f"{name} must be positive, got {getattr(p, name)}")
    for name in ("noise", "bias", "coil_mm", "variation"):
        if not getattr(p, name) >= 0:
            raise ValueError(f"{name} must not be negative, got {getattr(p, name)}")


def _check_levels(p: PhantomParameters) -> None:
    if p.lumbar not in LUMBAR_COUNTS:
        raise ValueError(f"lumbar must be one of {LUMBAR_COUNTS}, got {p.lumbar}")
    for name in (*p.fractures, *p.marrow, *filter(None, (p.lowest, p.highest))):
        if name not in p.levels:
            raise ValueError(f"a level must be one of {', '.join(p.levels)}, got {name!r}")
    if p.highest and p.lowest and Vertebra[p.highest].value > Vertebra[p.lowest].value:
        raise ValueError(f"highest must not lie below lowest, got {p.highest} and {p.lowest}")
    for name in (*p.slip_mm, *p.stenosis_mm, *p.degeneration):
        if not isinstance(parse_level(name), Disc):
            raise ValueError(  # noqa: TRY004 - the type is right, the name is not
                f"a disc must be written like 'L4-L5', got {name!r}"
            )
    _check_fractures(p)
    for level, millimetres in p.stenosis_mm.items():
        if millimetres < MINIMUM_CANAL_MM:
            raise ValueError(f"the canal at {level} must stay at least {MINIMUM_CANAL_MM} mm wide, got {millimetres}")


def _check_fractures(p: PhantomParameters) -> None:
    for level in p.fractures:
        fracture = p.fracture(level)
        if fracture is None or not 0 < fracture.loss <= MAXIMUM_LOSS:
            raise ValueError(f"the loss at {level} must lie in (0, {MAXIMUM_LOSS}], got {p.fractures[level][1]}")
        if not 0 <= fracture.retropulsion_mm <= MAXIMUM_RETROPULSION_MM:
            raise ValueError(
                f"the retropulsion at {level} must lie in [0, {MAXIMUM_RETROPULSION_MM}] mm, "
                f"got {fracture.retropulsion_mm}"
            )
