"""Sizes of vertebrae, discs and canal of adults, and how they spread from person to person.

Bodies and canal: Panjabi 1991/1992, cadaver means, as tabulated in the literature; the heights are scaled by
`IN_VIVO_HEIGHT`, because CT of the living gives larger ones (L5 posterior 26.3 against 22.9: IJSS 2021;15:1072).
Wedging: PMC2899959, mean of women and men. Endplate concavity: PMC3481085. Discs: estimate between two MR studies.
Curves: Sci Rep 2022 s41598-022-21840-x, lying: PMC6680033.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

IN_VIVO_HEIGHT: Final = 1.09
RELATIVE_SPREAD: Final = 0.05
"""Person-to-person standard deviation of a size (tables: 7-9 %, of which sex is a part)."""
LEVEL_SPREAD: Final = 0.015
"""Level-to-level standard deviation of a size within one person."""
SUPERIOR_CONCAVITY_MM: Final = 0.7
"""Of the endplate that lies below a disc (PMC3481085)."""
INFERIOR_CONCAVITY_MM: Final = 1.5
"""Of the endplate that lies above a disc (PMC3481085)."""
SUPINE_LORDOSIS_DEG: Final = 37.0
SACRAL_SLOPE_DEG: Final = 36.0
ENDPLATE_MM: Final = 0.9
"""Dark bony and cartilage endplate between marrow and disc on MR: outside both labels, as SPIDER's readers draw
them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelSizes:
    """Table row of one vertebra and the disc below it."""

    width_mm: float
    depth_mm: float
    posterior_height_mm: float
    wedge_deg: float
    """Positive is kyphotic: the front is lower."""
    canal_ap_mm: float
    """Dural sac, antero-posterior, at the middle of the body."""
    canal_width_mm: float
    pedicle_width_mm: float
    pedicle_height_mm: float
    disc_height_mm: float
    """At the middle of the disc, endplate concavities included."""
    segment_lordosis_deg: float
    """From this vertebra's superior endplate to that of the one below, lying."""


def _row(*values: float) -> LevelSizes:
    names = tuple(LevelSizes.__dataclass_fields__)
    return LevelSizes(**dict(zip(names, values, strict=True)))


SIZES: Final = MappingProxyType(
    {  # width depth height wedge sac-AP canal-W ped-W ped-H disc lordosis
        "T4": _row(25.2, 23.9, 16.2, 4.0, 12.0, 17.0, 4.6, 12.0, 4.4, -4.0),
        "T5": _row(26.0, 25.0, 16.2, 4.5, 12.0, 17.3, 4.5, 12.0, 4.5, -4.5),
        "T6": _row(27.2, 26.5, 17.4, 4.5, 12.0, 17.4, 5.2, 12.0, 4.7, -5.0),
        "T7": _row(28.5, 27.9, 18.2, 4.5, 12.0, 17.3, 5.3, 12.0, 4.9, -5.0),
        "T8": _row(30.0, 28.6, 18.7, 4.2, 12.0, 17.7, 5.9, 12.5, 5.1, -4.5),
        "T9": _row(31.8, 30.1, 19.3, 3.8, 12.2, 17.9, 6.1, 13.9, 5.4, -4.0),
        "T10": _row(33.6, 31.0, 20.2, 3.2, 12.5, 18.2, 6.3, 15.0, 5.8, -3.0),
        "T11": _row(37.0, 31.8, 21.3, 5.0, 13.2, 19.4, 7.8, 17.4, 6.4, -3.0),
        "T12": _row(40.5, 33.1, 22.7, 4.2, 13.8, 22.2, 7.7, 15.8, 7.4, -1.5),
        "L1": _row(42.2, 34.7, 23.8, 3.3, 14.0, 23.7, 8.7, 15.4, 8.5, 0.9),
        "L2": _row(44.0, 34.8, 24.3, 1.7, 13.6, 23.8, 8.9, 15.0, 10.0, 4.3),
        "L3": _row(46.0, 35.0, 23.8, 0.1, 13.2, 24.3, 10.3, 14.9, 11.0, 6.7),
        "L4": _row(48.0, 34.7, 24.1, -1.9, 13.0, 25.4, 12.9, 14.8, 12.0, 9.3),
        "L5": _row(48.4, 34.0, 22.9, -6.2, 12.8, 27.1, 16.5, 13.5, 10.8, 15.8),
    }
)
"""The dural sac's diameters are the canal's (about 16.5 mm, SD 2) less epidural fat and ligament."""

MODELLED_LEVELS: Final = tuple(SIZES)
ALL_LEVELS: Final = (*MODELLED_LEVELS, "L6")
"""With the sixth lumbar vertebra that some people have."""
RUDIMENTARY_HEIGHT: Final = 0.4
RUDIMENTARY_DEPTH: Final = 0.9
"""Of the disc over a vertebra that is half fused with the sacrum, over an ordinary one's. Our own choice, after
O'Driscoll (Skeletal Radiol 1996;25:225), who calls such a disc residual."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SacralSizes:
    """One sacral segment: drawn, never labelled."""

    width_mm: float
    depth_mm: float
    height_mm: float
    kyphosis_deg: float
    canal_ap_mm: float


SACRUM: Final = (
    SacralSizes(width_mm=50.0, depth_mm=31.0, height_mm=28.0, kyphosis_deg=1.0, canal_ap_mm=11.5),
    SacralSizes(width_mm=42.0, depth_mm=22.5, height_mm=23.0, kyphosis_deg=5.0, canal_ap_mm=8.0),
    SacralSizes(width_mm=34.0, depth_mm=16.0, height_mm=19.0, kyphosis_deg=12.0, canal_ap_mm=3.0),
    SacralSizes(width_mm=28.0, depth_mm=11.5, height_mm=16.0, kyphosis_deg=16.0, canal_ap_mm=0.0),
)
"""S1 to S4, depth at the upper end [estimates from mid-sagittal MR]; the dural sac ends at S2."""
SACRAL_TAPER: Final = 0.28
"""A sacral segment is that much less deep at its lower end: together they form a wedge."""
SQUARED_TAPER: Final = 0.05
SQUARED_DISC_MM: Final = 6.0
"""A lumbarised S1 is nearly as deep below as above, and has a disc below it: its rims are that far apart. Our own
choice."""
SACRAL_GAP_MM: Final = -0.9
"""The segments are fused: their dark rims overlap and leave a thin line."""
