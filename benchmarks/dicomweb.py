"""WADO-RS and QIDO-RS of this node beside Orthanc's DICOMweb plugin: the same CT series, the same requests, in turn.

``python -m benchmarks.dicomweb`` runs it alone. The pixels are noise; they are stored in Explicit VR Little Endian, so
that neither server decodes anything.
"""

from __future__ import annotations

import http.client
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from builders.dicom import AXIAL, SeriesPlan, write_series
from builders.node import Node
from builders.orthanc import Orthanc
from dicom_node.stow import StowDestination, send

IMAGES, SIDE = 300, 512
FRAMES = 40
"""Single-frame requests of which the median is taken."""
READ_BYTES = 1 << 20
JSON = "application/dicom+json"
AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
EXPLICIT = 'multipart/related; type="application/dicom"'
FRAME = "multipart/related; type=application/octet-stream; transfer-syntax=*"
OURS, ORTHANC = "this node", "Orthanc"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebResult:
    """Seconds of one server, each round."""

    series_s: tuple[float, ...]
    """All instances of the series, as they are stored."""
    explicit_s: tuple[float, ...]
    """The same, where no transfer syntax is asked for."""
    metadata_s: tuple[float, ...]
    """The series' metadata, as a viewer asks for it when it opens a study."""
    frame_s: tuple[float, ...]
    """One frame, median of FRAMES requests on one connection."""
    open_s: tuple[float, ...]
    """Search of the study, its series, the metadata, then the first frame: what is between a click and an image."""


def measure_web(folder: Path, *, rounds: int, say: Callable[[str], None]) -> Mapping[str, WebResult]:
    """Fill both servers, then ask them in turn."""
    generator = np.random.default_rng(2)
    voxels = generator.integers(0, 4096, (IMAGES, SIDE, SIDE), dtype=np.uint16)
    plan = SeriesPlan(voxels=voxels, study="bench web", modality="CT", orientation=AXIAL)
    files = write_series(folder / "files", plan)
    say("DICOMweb: filling both servers")
    with _ours(folder / "node", files) as ours, _orthanc(folder / "orthanc", files) as orthanc:
        bases = {OURS: ours, ORTHANC: orthanc}
        measured: dict[str, list[tuple[float, ...]]] = {name: [] for name in bases}
        for port in bases.values():
            _round(port, plan)  # not counted: files and indices are read for the first time
        for number in range(rounds):
            for name in sorted(bases, reverse=bool(number % 2)):
                say(f"DICOMweb: {name}, round {number + 1} of {rounds}")
                measured[name].append(_round(bases[name], plan))
    names = WebResult.__slots__
    return {
        name: WebResult(**dict(zip(names, map(tuple, zip(*rows, strict=True)), strict=True)))
        for name, rows in measured.items()
    }


@contextmanager
def _ours(folder: Path, files: Sequence[Path]) -> Iterator[int]:
    with Node.started(folder, role="web") as node:
        send(files, StowDestination(name=OURS, url=f"{node.url}/dicom-web/studies", timeout_s=300))
        yield node.http_port


@contextmanager
def _orthanc(folder: Path, files: Sequence[Path]) -> Iterator[int]:
    with Orthanc.started(folder) as server:
        server.upload(files)
        yield server.http_port


def _round(port: int, plan: SeriesPlan) -> tuple[float, ...]:
    study = f"/dicom-web/studies/{plan.study_instance_uid}"
    series = f"{study}/series/{plan.series_instance_uid}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    size = IMAGES * SIDE * SIDE * 2
    as_stored = _timed(connection, series, AS_STORED, at_least=size)
    explicit = _timed(connection, series, EXPLICIT, at_least=size)
    metadata = _timed(connection, f"{series}/metadata", JSON, at_least=IMAGES * 500)
    frames = [
        _timed(connection, f"{series}/instances/{plan.sop_instance_uid(i)}/frames/1", FRAME, at_least=SIDE * SIDE * 2)
        for i in range(FRAMES)
    ]
    search = f"/dicom-web/studies?StudyInstanceUID={plan.study_instance_uid}"
    opened = _timed(connection, search, JSON) + _timed(connection, f"{study}/series", JSON) + metadata + frames[0]
    connection.close()
    return as_stored, explicit, metadata, statistics.median(frames), opened


def _timed(connection: http.client.HTTPConnection, path: str, accept: str, *, at_least: int = 1) -> float:
    begun = time.perf_counter()
    connection.request("GET", path, headers={"Accept": accept})
    answer = connection.getresponse()
    received = 0
    while chunk := answer.read(READ_BYTES):
        received += len(chunk)
    if answer.status != http.client.OK or received < at_least:
        raise RuntimeError(f"{path} was answered with {answer.status} and {received} bytes")
    return time.perf_counter() - begun


def web_as_json(results: Mapping[str, WebResult]) -> dict[str, Any]:
    """Medians in seconds, MiB/s, and how many times as fast as Orthanc this node is."""
    names = WebResult.__slots__
    medians = {
        server: {name: statistics.median(getattr(result, name)) for name in names} for server, result in results.items()
    }
    mib = IMAGES * SIDE * SIDE * 2 / 1024**2
    return {
        "images": IMAGES,
        "seconds": {server: {name: round(value, 4) for name, value in row.items()} for server, row in medians.items()},
        "series_mib_per_s": {server: round(mib / row["series_s"]) for server, row in medians.items()},
        "ratio_to_orthanc": {name: round(medians[ORTHANC][name] / medians[OURS][name], 2) for name in names},
    }


_WORDS: Mapping[str, str] = {
    "series_s": "series as stored",
    "explicit_s": "series, no transfer syntax asked for",
    "metadata_s": "metadata of the series",
    "frame_s": "one frame",
    "open_s": "search, metadata and first frame",
}


def web_table(results: dict[str, Any]) -> Table:
    """For people."""
    table = Table(f"DICOMweb, CT of {results['images']} slices, ms (median)", OURS, ORTHANC, "speed to Orthanc")
    for name, words in _WORDS.items():
        seconds = [f"{results['seconds'][server][name] * 1000:.1f}" for server in (OURS, ORTHANC)]
        table.add_row(words, *seconds, f"{results['ratio_to_orthanc'][name]:.2f} x")
    return table


def main(*, rounds: Annotated[int, typer.Option(min=1, help="Times that each request is made.")] = 3) -> None:
    """Measure and print."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="spine-bench-") as name:
        results = measure_web(Path(name), rounds=rounds, say=console.log)
    console.print(web_table(web_as_json(results)))


if __name__ == "__main__":
    typer.run(main)
