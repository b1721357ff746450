"""``spine-node plan``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from dicom_node.reader import StudyIndex, index_studies
from inference.errors import UsageRefusal
from inference.findings import FIVE_QUESTIONS
from inference.series.eligibility import StudyPlan, plan_study
from inference.series.role import contrast_of, role_of
from server.detectors import load
from server.options import with_settings
from server.output import wide_console
from server.settings import Settings


@with_settings
def command(
    settings: Settings,
    dicom_dir: Annotated[Path, typer.Argument(help="Folder (or file) with instances of one or several studies.")],
) -> None:
    """Show which series would answer which question, and why not. Reads headers only."""
    if not dicom_dir.exists():
        raise UsageRefusal(f"There is no folder or file {dicom_dir}.")
    console = wide_console()
    detectors = load(settings)
    for index in index_studies([dicom_dir]):
        console.print(f"Study {index.study_instance_uid}", markup=False)
        console.print(_series_table(index))
        facts = [series.facts for series in index.series]
        console.print(_question_table(plan_study(facts, [detector.reads for detector in detectors])))
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


def _question_table(plan: StudyPlan) -> Table:
    """Each question with each series, and then the reason for each question that no series answers."""
    table = Table("question", "series", "answered by", "reason", title="Who answers what")
    for row in plan.rows():
        reader = f"{row.reader}{'' if row.chosen else ' (reads another series)'}" if row.eligible else "-"
        table.add_row(row.question.value, row.facts.series_instance_uid, reader, row.sentence or "")
    for question in FIVE_QUESTIONS:
        if not any(row.question is question and row.chosen for row in plan.rows()):
            code, sentence = plan.refusal(question)
            table.add_row(question.value, "the study", "nobody", f"{code}: {sentence}")
    return table
