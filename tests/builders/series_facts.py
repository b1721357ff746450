"""What is known of a series before its pixels are read."""

from __future__ import annotations

from typing import Any

from inference.geometry import Plane
from inference.series.facts import SeriesFacts


def facts(uid: str = "1.2.3", **changes: Any) -> SeriesFacts:
    """A sagittal T2 turbo spin echo of the lumbar spine, but for the changes."""
    values = {
        "study_instance_uid": "1.2",
        "series_instance_uid": uid,
        "modality": "MR",
        "sop_class_uids": ("1.2.840.10008.5.1.4.1.1.4",),
        "frame_count": 15,
        "rows": 512,
        "columns": 512,
        "plane": Plane.SAGITTAL,
        "spacing_mm": (4.0, 0.6, 0.6),
        "image_type": ("ORIGINAL", "PRIMARY", "M"),
        "scanning_sequence": ("SE",),
        "repetition_time_ms": 3500.0,
        "echo_time_ms": 110.0,
    }
    return SeriesFacts(**(values | changes))
