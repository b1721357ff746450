"""Marrow beside the two endplates of a disc, on T1 and on T2 at the same places, against the middle of the same body.

A band runs along an endplate, from 2 to 8 mm beyond the outline of the disc. It is looked at in *windows* that slide
along it, because a change rarely fills it. Places come from the outlines of one series; on the other series they are
moved by the rigid fit of the bodies (`inference.measure.matching`), since a dark band there is easily taken for disc.
MR signal has no unit: a window is told by the log of its median over the median of its body's core.

Axes: ``window`` from front to back; ``series`` is (T1, T2). Millimetres are those of a mean adult, scaled by the
spine's own bodies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.anatomy import EndplateSide, Vertebra
from inference.errors import ReasonCode
from inference.geometry import FloatArray, MaskArray, Volume
from inference.measure.matching import RigidMotion
from inference.measure.reading import BodySize, DiscReading, Point, SpineReading, Unmeasured, VertebraReading

BAND_MM = (2.0, 8.0)
"""From the disc's outline: the bony endplate, dark and up to 1 mm thick, and an error of the outline are left out;
models.md 3.6 looks for Modic changes as far as 8 mm."""
STEP_MM, COLUMN_MM = 0.5, 1.5
"""From place to place across and along an endplate."""
WINDOW_COLUMNS = 5
"""7.5 mm of 6 mm in depth: 45 mm2, the smallest change of models.md 3.6 is 40 mm2."""
FILLED = 0.7
"""Share of a window's places that must be marrow. Our own choice."""
RIM_MM = 1.5
"""A place is marrow where the body's outline is at least this far away, as in `inference.measure.marrow_samples`."""
ENDS = 0.1
"""Share of the band that is left out at its front and back: corners hold osteophytes and the ring apophysis."""
SACRAL_ENDS = 0.2
"""Share of the disc's depth that is left out at either end on the sacrum, which is not outlined."""
CORE = 0.6
"""A body's core lies at least this share of the largest distance from its outline away from it."""
FEWEST_VOXELS = 40
"""In the core; as many as `inference.measure.marrow_samples` needs."""
REACH_MM = (15.0, 30.0)
"""How far from its centre a disc's outline is looked for, along its axis and across."""
SMOOTH_COLUMNS = 7
"""Columns of STEP_MM over which the disc's edge is the median."""
NOTHING = Unmeasured(
    reason=ReasonCode.UNCERTAIN, sentence="neither vertebra beside the disc shows enough marrow beside its endplate"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlacedSeries:
    """A series on which bands are looked at, and how the outlines lie on it."""

    volume: Volume
    motion: RigidMotion | None
    """From the outlined series to this one; None for the outlined one itself."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EndplateBand:
    """The band at one endplate."""

    vertebra: Vertebra
    side: EndplateSide
    logs: FloatArray
    """(series, window): log of the signal over the body's core; NaN where the window is not marrow."""
    places: FloatArray
    """(series, window, 3): index of the window's middle, on the grid of each series."""

    def place(self, series: int, window: int) -> Point:
        """Where a window lies on a series."""
        slice_index, row, column = (float(v) for v in self.places[series, window])
        return slice_index, row, column


def read_bands(
    reading: SpineReading, outlined: Volume, disc: DiscReading, t1: PlacedSeries, t2: PlacedSeries
) -> tuple[EndplateBand, ...] | Unmeasured:
    """The bands above and below a disc; one is left out where its body is cut off or shows no marrow.

    Args:
        reading: the outlines, on the grid of ``outlined``.
        outlined: the series that was outlined.
        disc: one of the reading.
        t1: the T1 series.
        t2: the T2 series.
    """
    frame = _Frame(disc, reading.size or BodySize(height=1.0, depth=1.0))
    return tuple(_bands(reading, frame, _Sampler(outlined, (t1, t2)))) or NOTHING


@dataclass(frozen=True, slots=True)
class _Frame:
    """A disc's own frame: millimetres of a mean adult along its axis, towards the feet, and across it, to the back."""

    disc: DiscReading
    size: BodySize

    @property
    def down(self) -> FloatArray:
        """How the index changes with each millimetre along the axis."""
        return np.asarray(self.disc.down_index) * self.size.height

    @property
    def back(self) -> FloatArray:
        """The same across it."""
        return np.asarray(self.disc.back_index) * self.size.depth

    @property
    def slice_index(self) -> int:
        """The slice through the disc's centre."""
        return round(self.disc.centre_index[0])

    def index(self, along_mm: FloatArray, across_mm: FloatArray) -> FloatArray:
        """Index (..., 3) of places."""
        along, across = np.broadcast_arrays(along_mm, across_mm)
        return np.asarray(self.disc.centre_index + along[..., None] * self.down + across[..., None] * self.back)

    def edges(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Where the outline begins and ends along the axis, (column,) each, and the columns' places across it."""
        along = np.arange(-REACH_MM[0], REACH_MM[0] + STEP_MM, STEP_MM)
        across = np.arange(-REACH_MM[1], REACH_MM[1] + STEP_MM, STEP_MM)
        inside = _within(self.disc.mask, self.index(along[:, None], across[None, :]))
        seen: MaskArray = np.asarray(inside.any(axis=0))
        top = along[inside.argmax(axis=0)][seen]
        bottom = along[len(along) - 1 - inside[::-1].argmax(axis=0)][seen]
        top, bottom = (ndimage.median_filter(edge, SMOOTH_COLUMNS, mode="nearest") for edge in (top, bottom))
        return top, bottom, across[seen]

    def band(self, edge: FloatArray, across: FloatArray, towards: int) -> FloatArray:
        """(step, column, 3) index of the places of a band; no columns where the disc has no outline on its slice."""
        steps = np.arange(BAND_MM[0], BAND_MM[1] + STEP_MM / 2, STEP_MM)
        columns = np.arange(across[0], across[-1], COLUMN_MM) if across.size else across
        along = np.interp(columns, across, edge) if across.size else edge
        return self.index(along[None, :] + towards * steps[:, None], columns[None, :])


@dataclass(frozen=True, slots=True)
class _Sampler:
    """Signal of both series at places of the outlined one."""

    outlined: Volume
    series: tuple[PlacedSeries, PlacedSeries]

    def places(self, index: FloatArray) -> FloatArray:
        """(series, ..., 3) of places (..., 3)."""
        lps = self.outlined.to_lps_mm(index)
        moved = (
            index if s.motion is None else s.volume.to_index(lps @ s.motion.turn.T + s.motion.shift_mm)
            for s in self.series
        )
        return np.stack(list(moved))

    def signal(self, index: FloatArray) -> FloatArray:
        """(series, ...): between pixels, on the nearest slice, above zero; NaN outside of the series."""
        found = []
        for series, (k, row, column) in zip(self.series, np.moveaxis(self.places(index), -1, 1), strict=True):
            values = ndimage.map_coordinates(
                series.volume.voxels, [np.rint(k), row, column], order=1, mode="constant", cval=np.nan
            )
            found.append(np.maximum(values.astype(np.float64), 1e-3))
        return np.stack(found)


def _bands(reading: SpineReading, frame: _Frame, sampler: _Sampler) -> Iterator[EndplateBand]:
    vertebrae, level = {v.level: v for v in reading.vertebrae}, frame.disc.level
    above, below = vertebrae.get(level.above), vertebrae.get(level.below)
    top, bottom, across = frame.edges()
    if above is not None:
        yield from _band(above, above, frame.band(top, across, -1), frame, sampler)
    core = below or (above if level.below is Vertebra.S1 else None)
    if core is not None:
        yield from _band(below, core, frame.band(bottom, across, 1), frame, sampler)


def _within(mask: MaskArray, index: FloatArray) -> MaskArray:
    """Whether places lie in a mask, on their nearest slice."""
    k, row, column = np.moveaxis(index, -1, 0)
    values = ndimage.map_coordinates(mask.astype(np.float32), [np.rint(k), row, column], order=1, mode="constant")
    return np.asarray(values >= 0.5)  # noqa: PLR2004 - the outline


def _band(
    body: VertebraReading | None, core: VertebraReading, places: FloatArray, frame: _Frame, sampler: _Sampler
) -> Iterator[EndplateBand]:
    """The band at these places, unless it shows no window of marrow.

    Args:
        body: whose outline the places must lie in; None on the sacrum.
        core: whose middle they are compared with: the body's own, on the sacrum that of the vertebra above.
        places: of the band.
        frame: of the disc.
        sampler: of the signal.
    """
    reference = _core_signal(core, frame.slice_index, sampler)
    if reference is None or places.shape[1] < WINDOW_COLUMNS:
        return
    signal = np.where(_marrow(body, places, frame), sampler.signal(places), np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(signal, WINDOW_COLUMNS, axis=2)  # (series, step, window, column)
    flat = np.moveaxis(windows, 2, 1).reshape(len(signal), windows.shape[2], -1)
    filled = np.isfinite(flat).mean(axis=2).min(axis=0) >= FILLED
    if not filled.any():
        return
    logs = np.full(flat.shape[:2], np.nan)
    logs[:, filled] = np.log(np.nanmedian(flat[:, filled], axis=2) / reference[:, None])
    middle = places[places.shape[0] // 2, WINDOW_COLUMNS // 2 : WINDOW_COLUMNS // 2 + flat.shape[1]]
    is_above = body is not None and body.level is frame.disc.level.above
    yield EndplateBand(
        vertebra=frame.disc.level.above if is_above else frame.disc.level.below,
        side=EndplateSide.INFERIOR if is_above else EndplateSide.SUPERIOR,
        logs=logs,
        places=sampler.places(middle),
    )


def _marrow(body: VertebraReading | None, places: FloatArray, frame: _Frame) -> MaskArray:
    """(step, column): which places of a band are marrow, without the ends of the band."""
    column = np.arange(places.shape[1])
    if body is None:
        share = (column + 0.5) / len(column)
        ends: MaskArray = np.asarray(np.abs(share - 0.5) <= 0.5 - SACRAL_ENDS)
        return np.broadcast_to(ends, places.shape[:2])
    if body.touches_edge:
        return np.zeros(places.shape[:2], dtype=np.bool_)
    rim = (frame.down * RIM_MM, -frame.down * RIM_MM, frame.back * RIM_MM, -frame.back * RIM_MM)
    inside = np.logical_and.reduce([_within(body.body, places + step) for step in rim])
    seen = np.flatnonzero(inside.any(axis=0))
    if seen.size:
        cut = ENDS * (seen[-1] - seen[0])
        inside &= (column >= seen[0] + cut) & (column <= seen[-1] - cut)
    return np.asarray(inside)


def _core_signal(body: VertebraReading, slice_index: int, sampler: _Sampler) -> FloatArray | None:
    """(series,): median signal in the middle of a body on a slice; None where it shows too little."""
    section: NDArray[np.bool_] = body.body[slice_index]
    away = ndimage.distance_transform_edt(np.pad(section, 1))[1:-1, 1:-1]
    rows, columns = np.nonzero(away >= max(CORE * float(away.max()), 1.0))
    if len(rows) < FEWEST_VOXELS:
        return None
    signal = sampler.signal(np.stack([np.full(len(rows), slice_index), rows, columns], axis=1).astype(np.float64))
    found = np.median(signal, axis=1)
    return np.asarray(found) if np.isfinite(found).all() else None
