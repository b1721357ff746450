"""A small written series, and validators that say what they found."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from sqlalchemy import Engine, create_engine

from builders.dicom import SeriesPlan, small_voxels, write_series
from builders.peers import program, require_peers
from builders.postgres import PostgresCluster
from builders.receiving import sqlite_engine
from dicom_node.tables import metadata

SMALL = SeriesPlan(voxels=small_voxels(5), pixel_spacing_mm=(1.5, 0.75))


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenSeries:
    """A series on disk and its headers."""

    plan: SeriesPlan
    paths: tuple[Path, ...]
    headers: tuple[Dataset, ...]

    @property
    def sources(self) -> dict[str, tuple[Dataset, ...]]:
        return {self.plan.series_instance_uid: self.headers}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., WrittenSeries]:
    """Write a series: ``write(SeriesPlan(...))``; without a plan, another copy of the small series."""

    def make(plan: SeriesPlan = SMALL) -> WrittenSeries:
        return _written(tmp_path / f"series-{plan.number}", plan)

    return make


def _written(folder: Path, plan: SeriesPlan) -> WrittenSeries:
    paths = tuple(write_series(folder, plan))
    headers = tuple(pydicom.dcmread(path, stop_before_pixels=True) for path in paths)
    return WrittenSeries(plan=plan, paths=paths, headers=headers)


@pytest.fixture(scope="session")
def series(tmp_path_factory: pytest.TempPathFactory) -> WrittenSeries:
    """The small series: five slices of 32 x 24 with oblong pixels; read it only."""
    return _written(tmp_path_factory.mktemp("series"), SMALL)


def _run(name: str, *arguments: object) -> list[str]:
    executable = program(name)
    assert executable is not None, f"{name} is not installed"
    command = [str(executable), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]


@pytest.fixture
def dciodvfy() -> Callable[[Path], list[str]]:
    """Errors that dciodvfy finds in a file, and warnings that are not the ones that are known and meant."""
    meant = ("Unrecognized defined term = <99SPINEAI>", "DeviceUID(0018,1002)> - Attribute is not present in standard")

    def run(path: Path) -> list[str]:
        lines = _run("dciodvfy", "-new", path)
        assert lines, "dciodvfy said nothing"
        found = [line for line in lines if line.startswith(("Error", "Warning"))]
        return [line for line in found if not any(words in line for words in meant)]

    return run


@pytest.fixture
def dcentvfy() -> Callable[..., list[str]]:
    """What dcentvfy finds inconsistent between files; it looks for Accession Number of an SR in another entity."""

    def run(*paths: Path) -> list[str]:
        meant = "Different information entities for attribute - Element=<AccessionNumber>"
        return [line for line in _run("dcentvfy", *paths) if meant not in line]

    return run


@pytest.fixture
def dsrdump() -> Callable[[Path], str]:
    """The text that DCMTK prints for a report."""

    def run(path: Path) -> str:
        lines = _run("dsrdump", "+Pl", path)
        errors = [line for line in lines if line.startswith(("E:", "F:"))]
        assert not errors, errors
        return "\n".join(lines)

    return run


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A database of one real cluster for the session."""
    require_peers("postgresql")
    with PostgresCluster.started() as cluster:
        yield cluster.new_database().replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer("postgresql"))])
def any_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An engine on a database with the node's empty tables: each test runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        engine = sqlite_engine(tmp_path / "node.sqlite")
    else:
        engine = create_engine(request.getfixturevalue("postgres_url"))
    metadata.create_all(engine)
    yield engine
    metadata.drop_all(engine)
    engine.dispose()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine on a SQLite file with the node's empty tables."""
    made = sqlite_engine(tmp_path / "db.sqlite")
    metadata.create_all(made)
    yield made
    made.dispose()
