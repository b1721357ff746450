"""Posterior elements given to their vertebra: growth inside the bone from the bodies backwards.

Arch, articular and spinous processes hang on their body by the pedicles, so each voxel goes to the body that is nearest
*through bone*. Thin bone costs more than thick, which puts the cut between two touching vertebrae into the facet joint
and not into a pedicle. A process whose pedicle lies outside the stack goes to the body it should hang on by height.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.csgraph import dijkstra

from inference.geometry import FloatArray, MaskArray
from inference.measure.bodies import Bodies
from inference.measure.canal_line import CanalLine
from inference.measure.grid import bounding_box, parts_of
from inference.measure.separators import SMALLEST_ISLAND_MM3, USUAL_PITCH_MM

COARSE_MM = 1.4
"""In-plane grid of the growth; a facet joint space is about as wide."""
PROCESS_OFFSET = 0.28
"""A spinous process lies this share of a pitch below the middle of its body: median over T11..L5 of 30 people (SPIDER
T2 SPACE label maps, middle half 0.20 to 0.35), against a distance of 1 to the neighbour's."""
PROCESS_BAND_MM = 4.0
"""Half width of the band around the canal's middle in which spinous processes stand alone, without their arches."""
SMALLEST_PROCESS_MM3 = 300.0
"""A smaller part of that band is a sliver of an arch, and no guide."""
LONGEST_PROCESS = 1.2
"""A part longer than this many pitches along the canal is two processes that touch."""
FARTHEST_PROCESS = 0.4
"""A part further than this share of a pitch from where any process is expected is left to the growth."""


def assign_posterior(
    vertebra: MaskArray,
    bodies: Bodies,
    kept: tuple[int, ...],
    line: CanalLine,
    spacing_mm: tuple[float, float, float],
) -> NDArray[np.int16]:
    """Segment number of every voxel of the vertebra class on the crop.

    0 only for small islands and for parts in front of the canal that hang on none of the kept segments.

    Args:
        vertebra: the vertebra class on the crop.
        bodies: the segments.
        kept: numbers of the segments that are vertebrae; the others' bone goes to the neighbour that it hangs on.
        line: the canal's course.
        spacing_mm: (slice, row, column).
    """
    anterior = np.where(np.isin(bodies.anterior, kept), bodies.anterior, 0).astype(np.int16)
    step = (max(1, round(COARSE_MM / spacing_mm[1])), max(1, round(COARSE_MM / spacing_mm[2])))
    seeded = _with_processes(vertebra, anterior, bodies=bodies, kept=kept, line=line, spacing_mm=spacing_mm)
    coarse, seeds = _coarse(vertebra, step), _coarse(seeded, step)
    coarse_mm = (spacing_mm[0], spacing_mm[1] * step[0], spacing_mm[2] * step[1])
    grown = np.zeros_like(seeds)
    box = bounding_box(coarse)
    if box is not None:
        grown[box] = _grow(coarse[box], seeds[box], coarse_mm)
    out = seeded
    rest = np.argwhere(vertebra & (out == 0))
    out[tuple(rest.T)] = grown[rest[:, 0], rest[:, 1] // step[0], rest[:, 2] // step[1]]
    loose = vertebra & (out == 0) & (bodies.anterior == 0)
    if loose.any():
        _place_loose(out, loose, bodies=bodies, kept=kept, line=line, spacing_mm=spacing_mm)
    return out


def _coarse(values: NDArray[Any], step: tuple[int, int]) -> NDArray[Any]:
    """The largest value of each block of rows and columns; blocks that reach past the end count as 0 there."""
    padded = np.pad(values, ((0, 0), *((0, -n % s) for n, s in zip(values.shape[1:], step, strict=True))))
    rows = np.maximum.reduce([padded[:, i :: step[0]] for i in range(step[0])])
    return np.asarray(np.maximum.reduce([rows[:, :, i :: step[1]] for i in range(step[1])]))


def _grow(mask: MaskArray, seeds: NDArray[np.int16], spacing_mm: tuple[float, float, float]) -> NDArray[np.int16]:
    """Labels of the seeds grown through the mask by shortest paths (multi-source Dijkstra, 6 neighbours)."""
    grown = np.where(mask, seeds, 0).astype(np.int16)
    border = (seeds > 0) & ndimage.binary_dilation(mask & (seeds == 0))
    nodes_mask = (mask & (seeds == 0)) | border
    nodes = np.full(mask.shape, -1, dtype=np.int64)
    nodes[nodes_mask] = np.arange(int(nodes_mask.sum()))
    sources = nodes[border]
    if not sources.size:
        return grown
    depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing_mm)[1:-1, 1:-1, 1:-1]
    graph = _graph(nodes, 1.0 / np.maximum(depth, 0.5), spacing_mm)
    distance, _, nearest = dijkstra(graph, directed=False, indices=sources, min_only=True, return_predecessors=True)
    flat = seeds[nodes_mask]
    reached = np.isfinite(distance)
    flat[reached] = flat[nearest[reached]]
    grown[nodes_mask] = flat
    return grown


def _graph(nodes: NDArray[np.int64], cost: FloatArray, spacing_mm: tuple[float, float, float]) -> sparse.csr_matrix:
    """Edges between face neighbours, weighted by length times the mean cost of both."""
    starts, ends, weights = [], [], []
    for axis in range(3):
        a = np.moveaxis(nodes, axis, 0)
        c = np.moveaxis(cost, axis, 0)
        both = (a[:-1] >= 0) & (a[1:] >= 0)
        starts.append(a[:-1][both])
        ends.append(a[1:][both])
        weights.append((c[:-1][both] + c[1:][both]) * (spacing_mm[axis] / 2))
    count = int(nodes.max()) + 1
    return sparse.csr_matrix(
        (np.concatenate(weights), (np.concatenate(starts), np.concatenate(ends))), shape=(count, count)
    )


def _with_processes(
    vertebra: MaskArray,
    anterior: NDArray[np.int16],
    *,
    bodies: Bodies,
    kept: tuple[int, ...],
    line: CanalLine,
    spacing_mm: tuple[float, float, float],
) -> NDArray[np.int16]:
    """The bodies, and the spinous processes that stand where one body's process is expected.

    Where a stack is too narrow for the pedicles, bone connects a process to its neighbours' arches only.
    """
    out = anterior.copy()
    columns_mm = np.arange(vertebra.shape[2]) * spacing_mm[2]
    sides = np.abs(np.arange(vertebra.shape[0])[:, None] - line.slice_index[None, :]) * spacing_mm[0]
    behind = columns_mm[None, :] > line.posterior_mm[:, None]
    band = vertebra & behind[None] & (sides <= max(PROCESS_BAND_MM, 0.6 * spacing_mm[0]))[:, :, None]
    parts, arcs, sizes, lengths = _parts(band, line)
    expected, pitch = _expected_places(bodies, kept, line)
    distance = np.abs(arcs[:, None] - expected[None, :])
    guide = (sizes * float(np.prod(spacing_mm)) >= SMALLEST_PROCESS_MM3) & (lengths <= LONGEST_PROCESS * pitch)
    guide &= distance.min(axis=1) <= FARTHEST_PROCESS * pitch
    choice = np.where(guide, np.asarray(kept)[distance.argmin(axis=1)], 0).astype(np.int16)
    out[band] = np.where(out[band] > 0, out[band], choice[parts])
    return out


def _place_loose(
    out: NDArray[np.int16],
    loose: MaskArray,
    *,
    bodies: Bodies,
    kept: tuple[int, ...],
    line: CanalLine,
    spacing_mm: tuple[float, float, float],
) -> None:
    """Give parts that hang on no body to the level whose process lies nearest along the canal."""
    parts, arcs, sizes, _ = _parts(loose, line)
    expected, _ = _expected_places(bodies, kept, line)
    choice = np.asarray(kept)[np.abs(arcs[:, None] - expected[None, :]).argmin(axis=1)]
    choice[sizes * float(np.prod(spacing_mm)) < SMALLEST_ISLAND_MM3] = 0
    out[loose] = choice[parts]


def _parts(mask: MaskArray, line: CanalLine) -> tuple[NDArray[np.int64], FloatArray, FloatArray, FloatArray]:
    """Connected parts: that of each voxel of the mask, and by part its place along the canal, size and length there."""
    part, count = parts_of(mask)
    _, rows, columns = np.nonzero(mask)
    arc = line.arc_mm[rows, columns]
    sizes = np.bincount(part, minlength=count).astype(np.float64)
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, part, arc)
    np.maximum.at(high, part, arc)
    return part, np.bincount(part, weights=arc, minlength=count) / sizes, sizes, high - low


def _expected_places(bodies: Bodies, kept: tuple[int, ...], line: CanalLine) -> tuple[FloatArray, float]:
    """Where along the canal each kept segment's spinous process is expected, and the median pitch."""
    found = bodies.body > 0
    _, rows, columns = np.nonzero(found)
    numbers = bodies.body[found]
    arcs = np.bincount(numbers, weights=line.arc_mm[rows, columns], minlength=bodies.count + 1)
    sizes = np.bincount(numbers, minlength=bodies.count + 1)
    middles = arcs[list(kept)] / sizes[list(kept)]
    pitch = float(np.median(np.diff(middles))) if len(kept) > 1 else USUAL_PITCH_MM
    return middles + PROCESS_OFFSET * pitch, pitch
