"""Write a series, change its data sets on the way, and index it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from builders.dicom import SeriesPlan, slice_dataset
from dicom_node.reader import IndexedSeries, index_study

Change = Callable[[Dataset, int], None]


@pytest.fixture
def indexed(tmp_path: Path) -> Callable[..., IndexedSeries]:
    """``indexed(*plans, change=f)``: write the slices, each after ``f(dataset, index)``, and index the series."""

    def write_and_index(*plans: SeriesPlan, change: Change | None = None) -> IndexedSeries:
        count = 0
        for plan in plans:
            for index in range(plan.voxels.shape[0]):
                dataset = slice_dataset(plan, index)
                if change is not None:
                    change(dataset, index)
                dataset.save_as(tmp_path / f"{count:04d}.dcm", enforce_file_format=True)
                count += 1
        (series,) = index_study([tmp_path]).series
        return series

    return write_and_index
