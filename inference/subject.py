"""What the findings of one series are about, and how a measured value becomes a measurement with its evidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inference.findings import Evidence, Geometry, GeometryType, Measurement
from inference.geometry import Volume
from inference.measure.reading import Length, Point
from inference.provenance import ModelIdentity, tracking_uid


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What the findings are about and who makes them."""

    study_instance_uid: str
    volume: Volume
    model: ModelIdentity

    def track(self, question: str, level: str) -> str:
        """Tracking UID of a question at a level."""
        return tracking_uid(self.study_instance_uid, question, level)

    def line(self, name: str, length: Length, method: str) -> tuple[Measurement, Evidence]:
        """A measurement and the line it is the length of; but for its sign the value comes from the rounded ends."""
        slice_index = round(length.start_index[0])
        ends = tuple(image_point(p) for p in (length.start_index, length.end_index))
        _, row_mm, column_mm = self.volume.spacing_mm
        drawn = float(np.hypot((ends[1][0] - ends[0][0]) * column_mm, (ends[1][1] - ends[0][1]) * row_mm))
        value = float(np.copysign(drawn, length.mm))
        measurement = Measurement(
            name=name, value=round(value, 2), unit="mm", uncertainty=round(length.uncertainty_mm, 2), method=method
        )
        geometry = Geometry(type=GeometryType.POLYLINE, points=ends)
        return measurement, Evidence(source=self.volume.sources[slice_index], geometry=geometry, measurement=name)

    def point(self, at: Point) -> Evidence:
        """A mark at an index."""
        geometry = Geometry(type=GeometryType.POINT, points=(image_point(at),))
        return Evidence(source=self.volume.sources[round(at[0])], geometry=geometry)


def image_point(at: Point) -> tuple[float, float]:
    """(column, row) from the upper left corner of the first pixel, to 0.01 pixel."""
    return round(at[2] + 0.5, 2), round(at[1] + 0.5, 2)
