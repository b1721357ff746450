"""Files that the commands about claims read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from claims.claim import ClaimRefusal
from claims.intake import read_claims
from claims.intake.own import ReportFacts
from claims.intake.read import Intake
from claims.reading import read_report
from claims.report import ReadReport
from inference.errors import UsageRefusal
from server.claims.reports import report_of

Criteria = Annotated[
    list[Path] | None, typer.Option("--criteria", help="A folder with criteria tables of your own; may be repeated.")
]


def file_bytes(path: Path) -> bytes:
    """What a file holds; UsageRefusal where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageRefusal(f"{path} cannot be read: {error.strerror}.") from error


def one_claim(path: Path) -> Intake:
    """A file with one claim."""
    intake = read_claims(file_bytes(path))
    if len(intake.claims) != 1:
        raise ClaimRefusal(f"A packet is of one claim, got a file with {len(intake.claims)}.")
    return intake


def reports_of(paths: Sequence[Path], beside: Intake) -> list[ReadReport]:
    """The reports read, each with the facts given for it: the first fact for the first report, and so on."""
    facts = [*beside.reports, *[ReportFacts()] * len(paths)]
    return [read_report(report_of(file_bytes(path), fact)) for path, fact in zip(paths, facts, strict=False)]
