"""From class probabilities to a reading of the spine: the order of the steps, nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.anatomy import Vertebra
from inference.errors import ReasonCode
from inference.geometry import FloatArray, MaskArray, Volume
from inference.measure.alignment import Canal, lines_of_bodies, measure_slips, measure_walls
from inference.measure.bodies import Bodies, split_bodies
from inference.measure.canal import canal_diameter
from inference.measure.canal_line import CANAL_SHARE, CanalLine, canal_line, near_canal, one_canal
from inference.measure.discs import disc_heights
from inference.measure.foramina import Stack, measure_foramina
from inference.measure.fracture import height_losses
from inference.measure.grid import (
    CANAL,
    CLASS_COUNT,
    DISC,
    VERTEBRA,
    SagittalGrid,
    boxes_of,
    most_likely,
    sagittal_grid,
    without_islands,
)
from inference.measure.levels import COUNT_CAVEAT, Levels, number_levels, with_doubts
from inference.measure.plausibility import body_size, check_size, count_doubts, single_bodies
from inference.measure.posterior import assign_posterior
from inference.measure.reading import CanalReading, DiscReading, Point, SpineReading, VertebraReading
from inference.measure.separators import SMALLEST_ISLAND_MM3, Separator, label_discs
from inference.measure.vertebrae import MeasuredBody, closed_bodies, measure_body, whole_bodies
from inference.measure.voids import without_voids
from inference.measure.whole_outlines import whole_outlines

FEW_SLICES = 5
"""With fewer slices than this the tilt of the bodies across slices is not known well, nor where the sac's middle is."""


def read_sagittal(volume: Volume, probabilities: NDArray[Any], lowest: Vertebra | None = None) -> SpineReading:
    """Vertebrae, discs and canal of one sagittal MR series, named and measured.

    Args:
        volume: the series; any order of slices and any in-plane orientation.
        probabilities: (class, slice, row, column) on the volume's grid: background, vertebra, disc, spinal canal.
        lowest: the level of the lowest vertebra where another series tells it; else levels are counted from L5.

    Raises:
        SeriesRefusal: the slices are not sagittal, or no plausible spine was found.
    """
    if probabilities.shape != (CLASS_COUNT, *volume.shape):
        msg = f"probabilities must have the shape {(CLASS_COUNT, *volume.shape)}, got {probabilities.shape}"
        raise ValueError(msg)
    grid = sagittal_grid(volume, probabilities[0])
    cropped = np.ascontiguousarray(grid.crop(probabilities))
    labels = most_likely(cropped)
    voxel_mm3 = float(np.prod(grid.spacing_mm))
    smallest = SMALLEST_ISLAND_MM3 / voxel_mm3
    vertebra = without_islands(labels == VERTEBRA, smallest_voxels=smallest)
    canal = one_canal(labels == CANAL, vertebra | (labels == DISC), grid.spacing_mm, smallest_voxels=smallest)
    line = canal_line(without_islands(canal, smallest_share=CANAL_SHARE), grid.spacing_mm)
    vertebra = near_canal(vertebra, line, grid.spacing_mm[2])
    disc_labels, planes = label_discs(near_canal(labels == DISC, line, grid.spacing_mm[2]), line, grid.spacing_mm)
    bodies = split_bodies(vertebra, line, planes, grid)
    levels = number_levels(bodies, disc_labels, line, grid, lowest)
    vertebra &= bodies.anterior <= max(levels.vertebrae)  # what follows is sacrum
    owners = assign_posterior(vertebra, bodies, tuple(levels.vertebrae), line, grid.spacing_mm)
    padding = _padding(grid.crop(volume.voxels))
    measured = {
        number: measure_body(cropped[VERTEBRA], bodies, number, line=line, grid=grid, padding=padding)
        for number in levels.vertebrae
    }
    measured = without_voids(measured, bodies, grid.crop(volume.voxels), grid)
    measured = whole_outlines(measured, bodies, disc_labels, grid)
    measured = whole_bodies(closed_bodies(measured, bodies), levels.vertebrae)
    size = body_size(levels.vertebrae, measured)
    size_warning = check_size(size)
    single = single_bodies(measured, levels.vertebrae)
    levels = with_doubts(levels, count_doubts(measured, single))
    walls = lines_of_bodies(single, grid)
    return SpineReading(
        numbering=levels.numbering,
        vertebrae=_vertebrae(grid, bodies, owners, levels, single),
        discs=_discs(grid, cropped[DISC], labels=disc_labels, separators=bodies.separators, levels=levels, line=line),
        canal=grid.to_source(canal),
        canal_levels=_canal_levels(grid, cropped[CANAL], bodies.separators, levels, line),
        midsagittal_slice=_midsagittal(line, grid),
        size=size,
        slips=measure_slips(levels, bodies.separators, single, walls, grid, canal=canal),
        walls=measure_walls(levels, single, walls, Canal(probability=cropped[CANAL], line=line, grid=grid)),
        foramina=measure_foramina(
            Stack(probabilities=cropped, owners=owners, line=line, grid=grid), levels, bodies.separators, volume
        ),
        warnings=(*_warnings(volume, levels), *size_warning),
    )


def _vertebrae(
    grid: SagittalGrid, bodies: Bodies, owners: NDArray[np.int16], levels: Levels, measured: dict[int, MeasuredBody]
) -> tuple[VertebraReading, ...]:
    """The vertebrae head to foot."""
    losses = height_losses(levels.vertebrae, measured)
    boxes = boxes_of(owners)
    return tuple(
        VertebraReading(
            level=level,
            mask=grid.to_source(owners[boxes[number]] == number, boxes[number]),
            body=grid.to_source(bodies.body[bodies.boxes[number]] == number, bodies.boxes[number]),
            centre_index=grid.source_index(measured[number].centre_mm),
            touches_edge=measured[number].touches_edge,
            heights=measured[number].heights,
            loss=losses[number],
        )
        for number, level in levels.vertebrae.items()
    )


def _discs(
    grid: SagittalGrid,
    probability: FloatArray,
    *,
    labels: NDArray[np.int16],
    separators: tuple[Separator, ...],
    levels: Levels,
    line: CanalLine,
) -> tuple[DiscReading, ...]:
    """The discs head to foot."""
    readings = []
    boxes = boxes_of(labels)
    for separator in separators:
        if separator.disc not in levels.discs:
            continue
        mask = labels == separator.disc
        front, middle, back = disc_heights(probability, mask, separator, grid, _canal_slice(line, separator, grid))
        readings.append(
            DiscReading(
                level=levels.discs[separator.disc],
                mask=grid.to_source(mask[boxes[separator.disc]], boxes[separator.disc]),
                centre_index=grid.source_index(separator.centre_mm),
                down_index=_step_index(grid, separator.centre_mm, separator.normal[1], separator.normal[2]),
                back_index=_step_index(grid, separator.centre_mm, -separator.normal[2], separator.normal[1]),
                height=middle,
                anterior_height=front,
                posterior_height=back,
            )
        )
    return tuple(readings)


def _step_index(grid: SagittalGrid, centre_mm: FloatArray, down: float, back: float) -> Point:
    """How the source index changes over one millimetre in a direction of the slice."""
    step = np.array([0.0, down, back]) / np.hypot(down, back)
    ahead, here = grid.source_index(centre_mm + step), grid.source_index(centre_mm)
    return ahead[0] - here[0], ahead[1] - here[1], ahead[2] - here[2]


def _canal_levels(
    grid: SagittalGrid, probability: FloatArray, separators: tuple[Separator, ...], levels: Levels, line: CanalLine
) -> tuple[CanalReading, ...]:
    return tuple(
        CanalReading(level=levels.discs[s.disc], ap_diameter=canal_diameter(probability, line, s, grid))
        for s in separators
        if s.disc in levels.discs
    )


def _canal_slice(line: CanalLine, separator: Separator, grid: SagittalGrid) -> float:
    """Middle of the canal across slices at the height of a disc."""
    row = int(np.clip(round(float(separator.centre_mm[1] / grid.spacing_mm[1])), 0, grid.shape[1] - 1))
    return float(line.slice_index[row])


def _midsagittal(line: CanalLine, grid: SagittalGrid) -> int:
    """Slice of the source that is nearest to the middle of the canal over its whole course."""
    middle = float(np.median(line.slice_index[line.present])) + grid.offset[0]
    return int(np.clip(round(middle), 0, grid.source_shape[0] - 1))


def _padding(voxels: NDArray[np.float32]) -> MaskArray:
    """Where the image holds its lowest value exactly: filling, since measured signal is noisy everywhere."""
    lowest = voxels.min()
    return np.asarray(voxels == lowest) if lowest < voxels.max() else np.zeros(voxels.shape, dtype=np.bool_)


def _warnings(volume: Volume, levels: Levels) -> tuple[tuple[ReasonCode, str], ...]:
    warnings = []
    slices = volume.shape[0]
    if slices < FEW_SLICES:
        warnings.append(
            (
                ReasonCode.FEW_SLICES,
                f"The series has {slices} slice(s): too few (under {FEW_SLICES}) to correct a sideways lean of bodies.",
            )
        )
    if levels.numbering.ambiguous:
        warnings.append((ReasonCode.NUMBERING, levels.numbering.note))
    if levels.transitional:
        warnings.append((ReasonCode.TRANSITIONAL, " ".join([*levels.transitional, COUNT_CAVEAT])))
    return tuple(warnings)
