"""``spine-node plan``."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from dicom_node.reader import StudyIndex, index_studies
from inference.errors import UsageRefusal
from inference.findings import FIVE_QUESTIONS
from inference.series.eligibility import plan_study
from inference.series.role import contrast_of, role_of
from server.options import with_settings
from server.settings import Settings
from server.study_kernel import load


@with_settings
def command(
    settings: Settings, dicom_dir: Path = typer.Argument(help="Folder (or file) with instances; several studies may be in it.")
) -> None:
    """Show which series would answer which question, and why not. Reads headers only."""
    if not dicom_dir.exists():
        raise UsageRefusal(f"There is no folder or file {dicom_dir}.")
    console = Console()
    detectors = load(settings)
    for index in index_studies([dicom_dir]):
        console.print(f"Study {index.study_instance_uid}", markup=False)
        console.print(_series_table(index))
        facts = [series.facts for series in index.series]
        console.print(_question_table(index, plan_study(facts, [detector.reads for detector in detectors])))
        for rejected in index.rejected:
            console.print(f"Not read: {rejected.path}: {rejected.reason}", markup=False)


def _series_table(index: StudyIndex) -> Table:
    table = Table("series", "modality", "role", "plane", "contrast", "frames", "fault or note")
    for series in index.series:
        facts = series.facts
        remark = facts.fault[1] if facts.fault else "; ".join(facts.notes)
        table.add_row(
            facts.series_instance_uid,
            facts.modality,
            role_of(facts).value,
            facts.plane.value,
            contrast_of(facts).value,
            str(facts.frame_count),
            remark,
        )
    return table
