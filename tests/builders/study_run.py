"""A study from files to its results, without a server: the real reader, networks and encoders."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from builders.dicom import SeriesPlan, write_series
from server.study_run import RunContext, StudyRun, run_study

CONTEXT = RunContext(created=datetime(2026, 1, 2, tzinfo=UTC))


def run(folder: Path, detectors: Any, *plans: SeriesPlan) -> StudyRun:
    """Write the series into ``folder/in``, read them, and write the results into the folder."""
    for plan in plans:
        write_series(folder / "in", plan)

    def write(name: str, data: bytes, /) -> None:
        (folder / name).write_bytes(data)

    return run_study([folder / "in"], detectors, write, CONTEXT, lambda _doing, _fraction: None)
