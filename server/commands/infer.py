"""``spine-node infer``: one study from a folder, without a server."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from inference.errors import UsageRefusal
from inference.findings import Absent, Finding, NotAssessed, StudyFindings
from server.detectors import config_digest, load
from server.options import with_settings
from server.output import wide_console, write_into
from server.settings import OFF, Settings
from server.study_run import RunContext, StudyRun, run_study, write_overlays


@with_settings
def command(
    settings: Settings,
    dicom_dir: Annotated[Path, typer.Argument(help="Folder (or file) with the instances of one study.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for findings.json, SR, SEG and overlay pictures.")],
) -> None:
    """Read one study and write its findings."""
    if not dicom_dir.exists():
        raise UsageRefusal(f"There is no folder or file {dicom_dir}.")
    console = Console(stderr=True)
    context = RunContext(
        created=datetime.now(UTC),
        ae_title=settings.ae_title,
        config_digest=config_digest(settings),
        presentation_states=settings.presentation_states,
        text_report=settings.text_report != OFF,
        key_images=settings.key_images != OFF,
    )
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("loading models", total=1.0)
        detectors = load(settings)

        def progress(doing: str, fraction: float) -> None:
            bar.update(task, description=doing, completed=fraction)

        run = run_study([dicom_dir], detectors, write_into(out), context, progress)
        pictures = write_overlays(run, out)
    _print(wide_console(), run, out, pictures)


def _print(console: Console, run: StudyRun, out: Path, pictures: Sequence[Path]) -> None:
    console.print(findings_table(run.findings))
    for sentence in [*run.not_encoded, *(f"{file.path}: {file.reason}" for file in run.rejected)]:
        console.print(f"Note: {sentence}", markup=False)
    names = ["findings.json", *(item.name for item in run.objects), *(str(path.relative_to(out)) for path in pictures)]
    console.print(f"{run.seconds:.1f} s; in {out}: {', '.join(names)}", markup=False)


def findings_table(findings: StudyFindings) -> Table:
    """The findings as a table for a terminal; absent ones of single levels are left out."""
    table = Table("question", "site", "answer", "grade", "measured", title="AI findings: unverified, research use only")
    for finding in findings.findings:
        grade = ", ".join(f"{grade.scale} {grade.value}" for grade in finding.grades)
        measured = ", ".join(f"{m.name} {m.value:g} {m.unit}" for m in finding.measurements[:3])
        table.add_row(finding.question.value, _site(finding), _answer(finding), grade, measured)
    return table


def _answer(finding: Finding) -> str:
    match finding.assessment:
        case NotAssessed(sentence=sentence):
            return f"not assessed: {sentence}"
        case Absent():
            return "absent"
        case _:
            return "present"


def _site(finding: Finding) -> str:
    parts = (finding.site.level, finding.site.side, finding.site.endplate, finding.site.region)
    return " ".join(str(part) for part in parts if part is not None)
