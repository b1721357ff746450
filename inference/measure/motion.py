"""Whether the patient moved while a slice was acquired: ghosts repeat the image along the phase-encoding direction.

Spin echo trains fill the lines of k-space in an order that repeats every few lines, so that a movement modulates them
periodically, and every edge comes back at fixed distances. *Ripple* is the largest autocorrelation of the fine
structure of a slice beyond the size of what repeats by itself. Which direction was phase-encoded is not asked: headers
say it unreliably, and the larger of both directions is taken.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from inference.errors import ReasonCode, SeriesRefusal
from inference.geometry import FloatArray, MaskArray
from inference.measure.confidence import LEAST_CONFIDENCE
from inference.measure.reading import Unmeasured

RIPPLE = 0.17
"""From here on a slice is said to show motion: still SPIDER mid-sagittal slices reach 0.151, T2 SPACE 0.066, and 19 of
720 that were interpolated from half of their lines exceed it (`python -m training.measure_motion --every 1 --movements
0`). A lower limit finds more of the simulated movements, and takes more of the interpolated images for moved. No real
moved series was at hand."""
MOVED_CONFIDENCE = 0.94
"""Outlines of such a slice that are less sure than this are not used. Mean probability of `outline_confidence`; chosen
on the same simulated movements: most of the outlines that were spoiled lie below, most sound ones above."""
LOCAL_MM = 6.0
"""Signal is divided by its mean over this scale (deviation of a Gaussian), which takes the coil's fall-off away."""
FINE_MM = (0.7, 1.5)
"""Structure between these sizes (deviations of a Gaussian, the second along the direction only) is looked at. What is
finer holds the ringing of a series that the scanner interpolated by zero-filling, which repeats at every distance."""
NEAREST_MM = 12.0
"""Nearer copies are not looked for: the two edges of an endplate or a disc, and every blur, repeat within it."""
FARTHEST = 0.7
"""Copies are looked for up to this share of the field of view."""
MOST_FINE = 2.0
"""Standard deviations at which the fine structure is cut, so that a straight edge of the skin is no repetition."""
EDGE_MM = 4.0
"""Left out beside filling, whose edge is sharper than any structure."""
LEAST_OVERLAP = 0.25
"""Share of the pixels that must have a partner at a distance for it to count."""
FLOOR = 0.01
"""Of the 99th percentile: added to the local mean, so that noise without signal does not count."""
MOST_CONTRAST = 3.0
"""Times the local mean at which signal is cut: flow and fat at the skin are far brighter."""


def ripple(pixels: NDArray[np.float32], spacing_mm: tuple[float, float]) -> float:
    """The largest autocorrelation of the fine structure of a slice, 0 to 1, beyond NEAREST_MM.

    Args:
        pixels: (row, column) signal; its zero is 0, or the lowest value where that is negative.
        spacing_mm: between rows, between columns.
    """
    inside = _without_filling(pixels, spacing_mm)
    deviations = [LOCAL_MM / mm for mm in spacing_mm]
    signal = pixels - min(float(pixels.min()), 0.0)
    mean = ndimage.gaussian_filter(signal, deviations) + FLOOR * float(np.percentile(signal, 99))
    even = np.clip(np.divide(signal, mean, out=np.zeros_like(signal), where=mean > 0), 0, MOST_CONTRAST)
    even = ndimage.gaussian_filter(even, [FINE_MM[0] / mm for mm in spacing_mm])
    return max(_repeats(even, inside, axis, spacing_mm[axis]) for axis in (0, 1))


def check_motion(strength: float, confidence: float | None) -> Unmeasured | None:
    """Why nothing is measured on a slice that shows motion; None where it shows none, or where it can be anything.

    Args:
        strength: its ripple.
        confidence: mean probability of the series' outlines; None or too low for any spine is not judged here
            (`check_confidence`).

    Raises:
        SeriesRefusal: it shows motion, and the outlines are not sure.
    """
    if strength < RIPPLE or confidence is None or confidence < LEAST_CONFIDENCE:
        return None
    shown = (
        f"the middle slice repeats itself as after movement (autocorrelation {strength:.2f}; {RIPPLE:.2f} is motion)"
    )
    if confidence < MOVED_CONFIDENCE:
        raise SeriesRefusal(
            f"{shown}, and the mean probability of the outlines is {confidence:.2f}, "
            f"at least {MOVED_CONFIDENCE:.2f} is needed then",
            code=ReasonCode.MOTION,
        )
    return Unmeasured(reason=ReasonCode.MOTION, sentence=f"{shown}, so that edges may be displaced")


def _without_filling(pixels: NDArray[np.float32], spacing_mm: tuple[float, float]) -> MaskArray:
    """The pixels away from areas that hold the lowest value exactly."""
    filling = ndimage.binary_opening(pixels <= pixels.min(), iterations=2)
    return np.asarray(~ndimage.binary_dilation(filling, iterations=round(EDGE_MM / min(spacing_mm))))


def _repeats(even: NDArray[np.float32], inside: MaskArray, axis: int, spacing_mm: float) -> float:
    """Largest autocorrelation along one axis, over the pixels that have a partner at that distance."""
    fine = np.where(inside, even - ndimage.gaussian_filter1d(even, FINE_MM[1] / spacing_mm, axis=axis), 0)
    most = MOST_FINE * float(np.sqrt(np.sum(fine**2) / max(int(inside.sum()), 1)))
    fine = np.clip(fine, -most, most)
    first, last = int(NEAREST_MM / spacing_mm), int(FARTHEST * even.shape[axis])
    products, partners = _autocorrelation(fine, axis), _autocorrelation(inside.astype(np.float32), axis)
    if products[0] <= 0.0:
        return 0.0
    usable = partners[first:last] > LEAST_OVERLAP * partners[0]
    found = products[first:last][usable] / partners[first:last][usable]
    return float(found.max(initial=0.0) / (products[0] / partners[0]))


def _autocorrelation(values: NDArray[np.float32], axis: int) -> FloatArray:
    """Sum of the products with itself at every distance along an axis, shape (length of the axis,)."""
    length = values.shape[axis]
    padded = fft.next_fast_len(2 * length, real=True)
    power = np.abs(fft.rfft(values, padded, axis=axis)) ** 2
    return np.asarray(fft.irfft(power.sum(axis=1 - axis), padded)[:length], dtype=np.float64)
