"""``spine-node infer``: one study from a folder, without a server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from inference.errors import StorageFailure, UsageRefusal
from inference.findings import Absent, Finding, NotAssessed, StudyFindings
from server.options import with_settings
from server.overlay import render_overlays
from server.settings import Settings
from server.study_kernel import config_digest, load
from server.study_run import RunContext, StudyRun, run_study


@with_settings
def command(
    settings: Settings,
    dicom_dir: Path = typer.Argument(help="Folder (or file) with the instances of one study."),
    out: Path = typer.Option(..., "--out", help="Folder for findings.json, sr.dcm, seg-*.dcm and overlay pictures."),
) -> None:
    """Read one study and write its findings."""
    if not dicom_dir.exists():
        raise UsageRefusal(f"There is no folder or file {dicom_dir}.")
    console = Console(stderr=True)
    context = RunContext(
        created=datetime.now(UTC), ae_title=settings.ae_title, config_digest=config_digest(settings)
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

        run = run_study([dicom_dir], detectors, _writer(out), context, progress)
        pictures = render_overlays(run.findings, run.volumes, run.segmentations)
        for name, data in pictures.items():
            _writer(out)(name, data)
    _print(Console(), run, out, [*pictures])


class _writer:  # noqa: N801 - used like a function
    """Writes results into a folder that is made when the first is written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, name: str, data: bytes) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / name).write_bytes(data)
        except OSError as error:
            raise StorageFailure(f"{self._folder / name} cannot be written: {error.strerror}.") from error


def _print(console: Console, run: StudyRun, out: Path, pictures: list[str]) -> None:
    console.print(findings_table(run.findings))
    for sentence in [*run.not_segmented, *(f"{file.path}: {file.reason}" for file in run.rejected)]:
        console.print(f"Note: {sentence}", markup=False)
    names = ["findings.json", *(item.name for item in run.objects), *pictures]
    console.print(f"{run.seconds:.1f} s; in {out}: {', '.join(names)}", markup=False)


def findings_table(findings: StudyFindings) -> Table:
    """The findings as a table for a terminal; absent ones of single levels are left out."""
    table = Table("question", "site", "answer", "grade", "measured", title="AI findings: unverified, research use only")
    for finding in findings.findings:
        grade = ", ".join(f"{grade.scale} {grade.value}" for grade in finding.grades)
        measured = ", ".join(f"{m.name} {m.value:g} {m.unit}" for m in finding.measurements[:3])
        table.add_row(finding.question.value, str(finding.site.label), _answer(finding), grade, measured)
    return table


def _answer(finding: Finding) -> str:
    match finding.assessment:
        case NotAssessed(sentence=sentence):
            return f"not assessed: {sentence}"
        case Absent():
            return "absent"
        case _:
            return "present"
