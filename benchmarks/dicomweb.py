"""WADO-RS and QIDO-RS of this node beside Orthanc's DICOMweb plugin: the same CT series, the same requests, in turn.

``python -m benchmarks.dicomweb`` runs it alone. The pixels are noise; they are stored in Explicit VR Little Endian, so
that neither server decodes anything. Both servers take turns question by question, so that what else the machine does
meets both alike; the requests of a question go over one connection, as a browser's do.
"""

from __future__ import annotations

import http.client
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
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
FRAMES, SEARCHES = 40, 10
"""Requests of a question of which the median is taken."""
READ_BYTES = 1 << 20
JSON = "application/dicom+json"
AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
EXPLICIT = 'multipart/related; type="application/dicom"'
FRAME = "multipart/related; type=application/octet-stream; transfer-syntax=*"
OURS, ORTHANC = "this node", "Orthanc"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebResult:
    """Seconds of one server, each round."""

    first_s: tuple[float, ...]
    """As ``open_s``, as the first requests after the server was started."""
    open_s: tuple[float, ...]
    """Search of the study, its series, the metadata, then the first frame: what is between a click and an image."""
    study_search_s: tuple[float, ...]
    """QIDO-RS: the study, by its UID."""
    series_search_s: tuple[float, ...]
    """QIDO-RS: its series."""
    instance_search_s: tuple[float, ...]
    """QIDO-RS: the instances of the series."""
    metadata_s: tuple[float, ...]
    """The series' metadata, as a viewer asks for it when it opens a study."""
    frame_s: tuple[float, ...]
    """One frame."""
    series_s: tuple[float, ...]
    """All instances of the series, as they are stored."""
    explicit_s: tuple[float, ...]
    """The same, where no transfer syntax is asked for."""


def measure_web(folder: Path, *, rounds: int, say: Callable[[str], None]) -> Mapping[str, WebResult]:
    """Fill both servers; in each round start both again, and ask them in turn."""
    generator = np.random.default_rng(2)
    voxels = generator.integers(0, 4096, (IMAGES, SIDE, SIDE), dtype=np.uint16)
    plan = SeriesPlan(voxels=voxels, study="bench web", modality="CT", orientation=AXIAL)
    files = write_series(folder / "files", plan)
    say("DICOMweb: filling both servers")
    with _ours(folder / "node") as node, _orthanc(folder / "orthanc") as orthanc:
        send(files, StowDestination(name=OURS, url=f"{node.url}/dicom-web/studies", timeout_s=300))
        orthanc.upload(files)
        for port in (node.http_port, orthanc.http_port):
            _Client(port, plan).metadata()  # not counted: what has to be read once is read now
    measured: dict[str, list[dict[str, float]]] = {OURS: [], ORTHANC: []}
    for number in range(rounds):
        say(f"DICOMweb: round {number + 1} of {rounds}")
        with _ours(folder / "node") as node, _orthanc(folder / "orthanc") as orthanc:
            clients = {OURS: _Client(node.http_port, plan), ORTHANC: _Client(orthanc.http_port, plan)}
            rows: dict[str, dict[str, float]] = {name: {} for name in clients}
            for question in WebResult.__slots__:
                for name in sorted(clients, reverse=bool(number % 2)):
                    clients[name].connect()
                    rows[name][question] = QUESTIONS[question](clients[name])
            for name, row in rows.items():
                measured[name].append(row)
    return {
        name: WebResult(**{question: tuple(row[question] for row in rows) for question in WebResult.__slots__})
        for name, rows in measured.items()
    }


def _ours(folder: Path) -> AbstractContextManager[Node]:
    return Node.started(folder, role="web")


def _orthanc(folder: Path) -> AbstractContextManager[Orthanc]:
    return Orthanc.started(folder, is_verbose=False, settings={"KeepAlive": True, "TcpNoDelay": True})


class _Client:
    """One connection to one server."""

    def __init__(self, port: int, plan: SeriesPlan) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        self._plan = plan
        self._study = f"/dicom-web/studies/{plan.study_instance_uid}"
        self._series = f"{self._study}/series/{plan.series_instance_uid}"

    def connect(self) -> None:
        """Anew: either server closes a connection that was not used while the other one answered."""
        self._connection.close()
        self._connection.connect()

    def study_search(self) -> float:
        return _timed(self._connection, f"/dicom-web/studies?StudyInstanceUID={self._plan.study_instance_uid}", JSON)

    def series_search(self) -> float:
        return _timed(self._connection, f"{self._study}/series", JSON)

    def instance_search(self) -> float:
        return _timed(self._connection, f"{self._series}/instances", JSON, at_least=IMAGES * 200)

    def retrieved(self, accept: str) -> float:
        return _timed(self._connection, self._series, accept, at_least=IMAGES * SIDE * SIDE * 2)

    def metadata(self) -> float:
        return _timed(self._connection, f"{self._series}/metadata", JSON, at_least=IMAGES * 500)

    def frame(self, index: int = 0) -> float:
        path = f"{self._series}/instances/{self._plan.sop_instance_uid(index)}/frames/1"
        return _timed(self._connection, path, FRAME, at_least=SIDE * SIDE * 2)

    def opened(self) -> float:
        return self.study_search() + self.series_search() + self.metadata() + self.frame()


def _median(ask: Callable[[], float]) -> float:
    return statistics.median(ask() for _ in range(SEARCHES))


QUESTIONS: Mapping[str, Callable[[_Client], float]] = {
    "first_s": _Client.opened,
    "open_s": _Client.opened,
    "study_search_s": lambda client: _median(client.study_search),
    "series_search_s": lambda client: _median(client.series_search),
    "instance_search_s": lambda client: _median(client.instance_search),
    "metadata_s": _Client.metadata,
    "frame_s": lambda client: statistics.median(client.frame(index) for index in range(FRAMES)),
    "series_s": lambda client: client.retrieved(AS_STORED),
    "explicit_s": lambda client: client.retrieved(EXPLICIT),
}
"""How each figure of a round is measured."""


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
    "first_s": "first after a start",
    "open_s": "searches, metadata, frame",
    "study_search_s": "search: the study",
    "series_search_s": "search: its series",
    "instance_search_s": "search: instances of a series",
    "metadata_s": "metadata of the series",
    "frame_s": "one frame",
    "series_s": "series as stored",
    "explicit_s": "series, no syntax asked for",
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
