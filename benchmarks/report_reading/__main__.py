"""``python -m benchmarks.report_reading``: read the corpus, print precision and recall of both parts with counts."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.report_reading.corpus import load
from benchmarks.report_reading.score import Score, score

REPORT_WIDTH = 120
"""Columns of the tables where there is no terminal."""


def main(
    *, verbose: Annotated[bool, typer.Option(help="List each difference from the development part's labels.")] = False
) -> None:
    """Measure on the development part and on the held-out part."""
    console = Console(width=None if sys.stdout.isatty() else REPORT_WIDTH, highlight=False)
    reports = load()
    development = score(report for report in reports if not report.is_held_out)
    _show(console, "Development part", development, lines=development.misses if verbose else ())
    _show(console, "Held-out part", score(report for report in reports if report.is_held_out))


def _show(console: Console, title: str, result: Score, lines: tuple[str, ...] | list[str] = ()) -> None:
    table = Table(title=f"{title}: {result.reports} reports")
    for column in ("topic", "polarity", "labelled", "found", "asked instead", "said", "right", "precision", "recall"):
        table.add_column(column, justify="left" if column in ("topic", "polarity") else "right")
    for (topic, polarity), tally in sorted(result.tallies.items()):
        counts = (tally.labelled, tally.found, tally.asked, tally.said, tally.right)
        table.add_row(topic, polarity, *map(str, counts), _percent(tally.precision), _percent(tally.recall))
    console.print(table)
    console.print(f"age of affirmed fractures right: {result.ages_right} of {result.ages}")
    console.print(f"types of affirmed Modic change right: {result.types_right} of {result.types}")
    console.print(f"falsely affirmed: {len(result.falsely_affirmed)}; falsely recent: {len(result.falsely_recent)}")
    for line in (*result.falsely_affirmed, *result.falsely_recent, *lines):
        console.print(f"  {line}")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


if __name__ == "__main__":
    typer.run(main)
