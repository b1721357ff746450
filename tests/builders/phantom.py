"""Write a generated spine (training.phantom) as a DICOM MR study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builders.dicom import T2_TSE, SeriesPlan, derived_uid, write_series
from training.phantom import Phantom, PhantomParameters, generate_spine
from training.phantom.axial import cut_axial, stack_along


def grid_plan(
    voxels: NDArray[Any],
    affine: NDArray[np.float64],
    *,
    study: str,
    series: str,
    number: int = 1,
    attributes: Mapping[str, Any] = T2_TSE,
) -> SeriesPlan:
    """The series that holds voxels (slice, row, column) at the places that an affine to LPS mm gives them."""
    row_mm, column_mm = (float(np.linalg.norm(affine[:3, axis])) for axis in (1, 2))
    return SeriesPlan(
        voxels=np.clip(np.rint(voxels), 0, 65535).astype(np.uint16),
        study=study,
        series=series,
        orientation=(*(affine[:3, 2] / column_mm), *(affine[:3, 1] / row_mm)),
        position_mm=affine[:3, 3],
        step_mm=affine[:3, 0],
        pixel_spacing_mm=(row_mm, column_mm),
        number=number,
        attributes=dict(attributes),
    )


def phantom_plan(
    phantom: Phantom,
    *,
    study: str,
    series: str = "T2",
    number: int = 1,
    attributes: Mapping[str, Any] = T2_TSE,
) -> SeriesPlan:
    """The series that holds a generated spine, on its own grid."""
    return grid_plan(phantom.voxels, phantom.affine, study=study, series=series, number=number, attributes=attributes)


def multi_angle_plans(
    phantom: Phantom, levels: Sequence[str], *, study: str, series: str, number: int, attributes: Mapping[str, Any]
) -> list[SeriesPlan]:
    """One axial series with a stack of slices along each disc, as a plan for each stack, to be written one by one.

    All have the Series Instance UID of the first; their files do not share names when each has a folder of its own.
    """
    plans: list[SeriesPlan] = []
    for level in levels:
        stack = stack_along(phantom, level)
        one_series = plans[0].series_instance_uid if plans else derived_uid("series", study, f"{series} {level}")
        shared = {**attributes, "SeriesInstanceUID": one_series}
        plans.append(
            grid_plan(
                cut_axial(phantom, stack)[0], stack.affine, study=study, series=f"{series} {level}", number=number,
                attributes=shared,
            )
        )  # fmt: skip
    return plans


def phantom_study(
    out_dir: Path, parameters: PhantomParameters, *, study: str = "phantom"
) -> tuple[SeriesPlan, list[Path]]:
    """Generate a spine and write it; returns the plan (with its UIDs) and the files in slice order."""
    plan = phantom_plan(generate_spine(parameters), study=study)
    return plan, write_series(out_dir, plan)
