"""What one durable instance costs, by how it is written: ``python -m benchmarks.syncing``.

The receive log (dicom_node.receive_log) rests on these figures: in place, begun early, and no row synced.
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

PIECE_BYTES = 1 << 17
"""What one P-DATA-TF of DCMTK's storescu holds."""
ROUNDS = 3
SIZES: Mapping[str, int] = {"CT 512 x 512": 525_000, "MR 256 x 256": 132_000}


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write(descriptor: int, data: bytes, at: int, *, is_early: bool = False) -> None:
    for start in range(0, len(data), PIECE_BYTES):
        piece = data[start : start + PIECE_BYTES]
        os.pwrite(descriptor, piece, at + start)
        if is_early:
            os.posix_fadvise(descriptor, at + start, len(piece), os.POSIX_FADV_DONTNEED)
        time.sleep(0.0001)  # the next unit arrives; not counted


def _file(folder: Path, data: bytes, number: int) -> float:
    with _opened(folder / f"{number}.tmp") as descriptor:
        _write(descriptor, data, 0)
        begun = time.perf_counter()
        os.fdatasync(descriptor)
    (folder / f"{number}.tmp").rename(folder / f"{number}.dcm")
    directory = os.open(folder, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)
    return time.perf_counter() - begun


def _in_place(path: Path, *, is_early: bool) -> Callable[[Path, bytes, int], float]:
    def run(folder: Path, data: bytes, number: int) -> float:
        with _opened(folder / path) as descriptor:
            _write(descriptor, data, number * len(data), is_early=is_early)
            begun = time.perf_counter()
            os.fdatasync(descriptor)
            return time.perf_counter() - begun

    return run


def _commit(mode: str) -> Callable[[Path, bytes, int], float]:
    def run(folder: Path, _data: bytes, number: int) -> float:
        with closing(sqlite3.connect(folder / "rows.sqlite", isolation_level=None)) as connection:
            connection.execute(f"PRAGMA synchronous={mode}")
            connection.execute("SELECT count(*) FROM rows")  # reads the schema, which is not counted
            begun = time.perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT OR REPLACE INTO rows VALUES (?, ?)", (f"{mode}{number}", "x" * 400))
            connection.execute("COMMIT")
            return time.perf_counter() - begun

    return run


WAYS: Mapping[str, Callable[[Path, bytes, int], float]] = {
    "a file, renamed, and its folder": _file,
    "appended": _in_place(Path("appended"), is_early=False),
    "preallocated (fallocate)": _in_place(Path("preallocated"), is_early=False),
    "in place": _in_place(Path("written"), is_early=False),
    "in place, write-back begun early": _in_place(Path("written"), is_early=True),
    "a row, synced (SQLite WAL, FULL)": _commit("FULL"),
    "a row, not synced (WAL, NORMAL)": _commit("NORMAL"),
}


def measure(folder: Path, size: int, instances: int) -> dict[str, float]:
    """Median milliseconds from the last byte written until it is durable, for each way."""
    data = os.urandom(size)
    with _opened(folder / "preallocated") as descriptor:
        os.posix_fallocate(descriptor, 0, size * instances * ROUNDS)
        os.fsync(descriptor)
    with _opened(folder / "written") as descriptor:
        for number in range(instances * ROUNDS):
            os.pwrite(descriptor, bytes(size), number * size)
        os.fsync(descriptor)
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    with closing(sqlite3.connect(folder / "rows.sqlite")) as connection:  # held: the last to close ends the WAL
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE rows (key TEXT PRIMARY KEY, words TEXT)")
        for turn in range(ROUNDS):
            for name, way in WAYS.items():
                seconds[name] += [way(folder, data, turn * instances + number) for number in range(instances)]
    return {name: 1000 * statistics.median(values) for name, values in seconds.items()}


def main(
    *,
    folder: Annotated[Path | None, typer.Option(help="Work on the disk of this folder.")] = None,
    instances: Annotated[int, typer.Option(min=1, help="Instances of each way in each of three rounds.")] = 60,
) -> None:
    """Print the table."""
    table = Table("until it is durable, ms (median)", *SIZES)
    figures = []
    for size in SIZES.values():
        with tempfile.TemporaryDirectory(dir=folder, prefix="spine-sync-") as name:
            figures.append(measure(Path(name), size, instances))
    for way in WAYS:
        table.add_row(way, *(f"{column[way]:.3f}" for column in figures))
    Console(width=100).print(table)


if __name__ == "__main__":
    typer.run(main)
