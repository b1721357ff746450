"""Vertebral bodies as outlines on a series: its own, or those of another series moved onto it.

An outline that was found on one series is the better one for the signal of another: bright marrow beside a bright disc
is easily taken for disc, so that a body outlined on the fat-suppressed series may lack the part that is looked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from inference.anatomy import Vertebra
from inference.errors import ReasonCode
from inference.geometry import FloatArray, MaskArray, Volume
from inference.measure.matching import RigidMotion
from inference.measure.reading import SpineReading, Unmeasured

LEAST_SHOWN = 0.8
"""Share of a body's volume that must lie within the other series. Our own choice: the outermost slice of a moved stack
may miss."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BodyOutline:
    """One vertebral body on the grid of a series."""

    mask: MaskArray
    centre_lps_mm: FloatArray
    cut: Unmeasured | None
    """Why the outline is not the whole body, None where it is."""


def own_outlines(reading: SpineReading, volume: Volume) -> dict[Vertebra, BodyOutline]:
    """The bodies of a reading on its own volume, head to foot."""
    return {
        v.level: BodyOutline(mask=v.body, centre_lps_mm=volume.to_lps_mm(v.centre_index), cut=_cut(edge=v.touches_edge))
        for v in reading.vertebrae
    }


def moved_outlines(
    reading: SpineReading, volume: Volume, target: Volume, motion: RigidMotion
) -> dict[Vertebra, BodyOutline]:
    """The bodies of a reading on the grid of another volume, head to foot; each voxel takes the nearest one's body.

    Args:
        reading: the bodies.
        volume: the series they were outlined on.
        target: the series they are moved to.
        motion: from places of the first series to places of the target.
    """
    labels = np.zeros(volume.shape, dtype=np.uint8)
    for number, vertebra in enumerate(reading.vertebrae, start=1):
        labels[vertebra.body] = number
    back = np.linalg.inv(motion.matrix @ volume.affine) @ target.affine  # target index to source index
    moved = ndimage.affine_transform(
        labels, back[:3, :3], back[:3, 3], output_shape=target.shape, order=0, mode="constant"
    )
    per_voxel = abs(np.linalg.det(target.affine[:3, :3]) / np.linalg.det(volume.affine[:3, :3]))
    sizes = np.bincount(moved.ravel(), minlength=len(reading.vertebrae) + 1) * per_voxel
    return {
        v.level: BodyOutline(
            mask=np.asarray(moved == number),
            centre_lps_mm=motion.turn @ volume.to_lps_mm(v.centre_index) + motion.shift_mm,
            cut=_cut(edge=v.touches_edge) or _partly_shown(float(sizes[number]) / max(int(v.body.sum()), 1)),
        )
        for number, v in enumerate(reading.vertebrae, start=1)
    }


def _cut(*, edge: bool) -> Unmeasured | None:
    if not edge:
        return None
    return Unmeasured(reason=ReasonCode.TRUNCATION, sentence="the body touches the edge of the field of view")


def _partly_shown(share: float) -> Unmeasured | None:
    if share >= LEAST_SHOWN:
        return None
    return Unmeasured(reason=ReasonCode.TRUNCATION, sentence=f"the fat-suppressed series shows {share:.0%} of the body")
