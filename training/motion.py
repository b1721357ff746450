"""Movement during the acquisition of a slice, and the scanner's interpolation of a still one, simulated in k-space.

Model: spin echo trains. Lines of k-space along the phase-encoding direction belong in turn to *shots*; the patient
stands still during a shot and is shifted from one to the next, which turns the phase of the shot's lines (Fourier shift
theorem). The line through the middle is not shifted, so that the image stays where it is. Rigid shifts in the plane
only: no turn, no breathing of the abdominal wall alone, no flow, no movement across slices; the magnitude image stands
for the signal.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

OVERSAMPLED = 0.25
"""Share of the field of view that is acquired beyond either end and cut off: the image mirrored stands for it."""


class Course(StrEnum):
    """How the patient moves from shot to shot."""

    BREATHING = "breathing"
    """To and fro, at a breath every 1.25 to 5 shots."""
    JERK = "jerk"
    """Once, to another place."""
    DRIFT = "drift"
    """Evenly."""
    RESTLESS = "restless"
    """At random, from where it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """One movement; the same values move a slice in the same way."""

    course: Course
    amplitude_mm: float
    """Along the phase-encoding direction; along the other one up to half of it."""
    axis: int
    """Phase-encoding direction: 0 along the rows' index, 1 along the columns'."""
    seed: int


def draw_movement(rng: np.random.Generator, *, least_mm: float = 0.7, most_mm: float = 10.0) -> Movement:
    """A random movement, its amplitude spread evenly in its logarithm."""
    return Movement(
        course=list(Course)[int(rng.integers(len(Course)))],
        amplitude_mm=float(np.exp(rng.uniform(np.log(least_mm), np.log(most_mm)))),
        axis=int(rng.integers(2)),
        seed=int(rng.integers(2**31)),
    )


def move(pixels: NDArray[np.float32], spacing_mm: tuple[float, float], movement: Movement) -> NDArray[np.float32]:
    """A slice (row, column) as it looks when the patient moved, within the signal's range."""
    rng = np.random.default_rng(movement.seed)
    axis, other = movement.axis, 1 - movement.axis
    beyond = round(OVERSAMPLED * pixels.shape[axis])
    widths = [(0, 0), (0, 0)]
    widths[axis] = (beyond, beyond)
    padded = np.pad(pixels, widths, mode="symmetric")
    along, across = (np.fft.fftfreq(padded.shape[n], spacing_mm[n]).astype(np.float64) for n in (axis, other))
    place = _places(movement.course, int(rng.integers(15, 40)), along, rng) * movement.amplitude_mm
    sideways = float(rng.uniform(-0.5, 0.5)) * place
    turns = (along * place)[:, None] + sideways[:, None] * across[None]
    spectrum = np.fft.fft2(padded) * np.exp(-2j * np.pi * (turns if axis == 0 else turns.T))
    image = np.take(np.abs(np.fft.ifft2(spectrum)), np.arange(beyond, beyond + pixels.shape[axis]), axis=axis)
    return np.asarray(np.clip(image, pixels.min(), pixels.max()), dtype=np.float32)


def zero_filled(pixels: NDArray[np.float32], edge: float) -> NDArray[np.float32]:
    """A slice (row, column) as if half as many lines and samples had been acquired and k-space filled up with zeros.

    Args:
        pixels: the slice.
        edge: what a raised cosine leaves of the outermost acquired line; 1 is no window, and the strongest ringing.
    """
    rows, columns = (
        np.where(np.abs(f) <= 0.25, edge + (1 - edge) * np.cos(2 * np.pi * f) ** 2, 0.0)  # noqa: PLR2004 - half of Nyquist
        for f in (np.fft.fftfreq(n).astype(np.float64) for n in pixels.shape)
    )
    return np.asarray(np.abs(np.fft.ifft2(np.fft.fft2(pixels) * rows[:, None] * columns)), dtype=np.float32)


def _places(course: Course, shots: int, along: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Where the patient is at each line of k-space, as shares of the amplitude; 0 at the line through the middle."""
    lines = _course(course, shots, rng)[np.argsort(np.argsort(along)) % shots]
    return np.asarray(lines - lines[along == 0])


def _course(course: Course, shots: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Where the patient is during each shot."""
    shot = np.arange(shots)
    match course:
        case Course.BREATHING:
            return np.asarray(np.sin(2 * np.pi * shot * rng.uniform(0.2, 0.8) + rng.uniform(0, 2 * np.pi)))
        case Course.JERK:
            return np.where(shot < int(rng.uniform(0.25, 0.75) * shots), 0.0, 1.0)
        case Course.DRIFT:
            return shot / shots
        case Course.RESTLESS:
            walk = np.cumsum(rng.normal(0, 1, shots))
            return np.asarray(walk / np.ptp(walk))
