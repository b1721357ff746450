"""The generator: parameters to anatomy, anatomy to labels and truth, labels and tissues to voxels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.phantom.background import build_surroundings
from training.phantom.canal import STEP_MM, Sac, SagittalField, build_sac, sagittal_field
from training.phantom.column import Column, build_column
from training.phantom.grid import Canvas, Grid, build_grid
from training.phantom.parameters import PhantomParameters
from training.phantom.signal import render_signal
from training.phantom.skeleton import CANAL_LABEL, instance_of, paint_skeleton
from training.phantom.truth import SpineTruth, state_truth

CONUS_LEVEL = "L1"
"""Where the cord ends (L1-L2 in most adults)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelMap:
    """What is where, without an image."""

    labels: NDArray[np.uint8]
    """(slice, row, column): 0 background and sacrum, 1 vertebra with its arch, 2 disc, 3 spinal canal."""
    instances: NDArray[np.uint8]
    """(slice, row, column): the vertebra's number (`VertebraTruth.instance`), 0 elsewhere."""
    affine: NDArray[np.float64]
    """(4, 4): (slice, row, column, 1) to LPS mm."""
    truth: SpineTruth


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Phantom(LabelMap):
    """A label map with its image."""

    voxels: NDArray[np.float32]
    """(slice, row, column), 0 to about 4000."""
    parameters: PhantomParameters


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Anatomy:
    grid: Grid
    column: Column
    sac: Sac
    field: SagittalField
    canvas: Canvas


def generate_spine(parameters: PhantomParameters) -> Phantom:
    """Generate one series with its labels and its truth; about 4 s for 15 slices of 640 x 512."""
    anatomy = _build(parameters)
    surroundings = build_surroundings(anatomy.grid, anatomy.sac, anatomy.field, parameters.seed)
    voxels = render_signal(anatomy.canvas, anatomy.grid, surroundings, parameters)
    found = _label_map(parameters, anatomy)
    return Phantom(
        labels=found.labels,
        instances=found.instances,
        affine=found.affine,
        truth=found.truth,
        voxels=voxels,
        parameters=parameters,
    )


def generate_labels(parameters: PhantomParameters) -> LabelMap:
    """Generate the labels alone: the same as `generate_spine` gives, without the time that the image takes."""
    return _label_map(parameters, _build(parameters))


def _build(parameters: PhantomParameters) -> _Anatomy:
    column = build_column(parameters)
    sac = build_sac(column, parameters)
    subslices = parameters.subslices or max(1, round(parameters.slice_spacing_mm))
    grid = build_grid(parameters, column, subslices=subslices)
    field = sagittal_field(sac, grid.y, grid.z)
    canvas = Canvas.blank(grid)
    conus = next((b for b in column.bones if b.name == CONUS_LEVEL), column.bones[-1])
    paint_skeleton(canvas, grid, column, field, conus_along=sac.nearest(conus.centre) * STEP_MM)
    return _Anatomy(grid=grid, column=column, sac=sac, field=field, canvas=canvas)


def _label_map(parameters: PhantomParameters, anatomy: _Anatomy) -> LabelMap:
    labels = _majority(anatomy.canvas.labels, anatomy.grid.subslices, CANAL_LABEL)
    instances = np.where(labels == 1, _majority_instance(anatomy.canvas.instances, anatomy.grid.subslices), 0)
    numbers = {b.name: instance_of(b.name) for b in anatomy.column.bones}
    truth = state_truth(
        anatomy.column,
        anatomy.sac,
        anatomy.grid,
        slips=parameters.slip_mm,
        turn_deg=parameters.turn_deg,
        instances=numbers,
    )
    return LabelMap(
        labels=labels,
        instances=instances.astype(np.uint8),
        affine=anatomy.grid.affine(parameters.slice_spacing_mm, parameters.turn_deg),
        truth=truth,
    )


def _majority(planes: NDArray[np.uint8], count: int, highest: int) -> NDArray[np.uint8]:
    """The class that fills at least half of each thick voxel, background where none does (models.md 2.4)."""
    grouped = planes.reshape(-1, count, *planes.shape[1:])
    if count == 1:
        return grouped[:, 0].copy()
    labels = np.zeros((grouped.shape[0], *planes.shape[1:]), dtype=np.uint8)
    for value in range(1, highest + 1):
        filled = (grouped == value).sum(axis=1, dtype=np.uint8)
        labels[(filled * 2 >= count) & (labels == 0)] = value
    return labels


def _majority_instance(planes: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """The highest instance number among the planes of each thick voxel; neighbours touch at facet joints only."""
    return np.asarray(planes.reshape(-1, count, *planes.shape[1:]).max(axis=1))
