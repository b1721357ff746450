"""C-STORE images per second: the same files, sent by DCMTK's ``storescu``, to each receiver in turn.

What is measured is a receiver that runs: each first gets as many other images, which nobody times, and rests until it
has nothing more to do.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.receivers import AE_TITLE, ORTHANC, OURS, RECEIVERS, STORESCP, Receiver, Started
from builders.dicom import AXIAL, SAGITTAL, SeriesPlan, write_series
from builders.peers import LOOPBACK, peer_environment, program

SEND_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is sent."""

    modality: str
    side: int
    """Rows and columns; 16 bits a pixel."""
    associations: int
    images: int
    """In all associations together."""

    @property
    def name(self) -> str:
        """In words."""
        plural = "s" if self.associations > 1 else ""
        return f"{self.modality} {self.side} x {self.side}, {self.associations} association{plural}"


CASES = (
    Case(modality="CT", side=512, associations=1, images=300),
    Case(modality="CT", side=512, associations=4, images=400),
    Case(modality="MR", side=256, associations=1, images=600),
    Case(modality="MR", side=256, associations=4, images=800),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestResult:
    """Images per second of one receiver in one case, each round; and its start-up and memory."""

    case: Case
    receiver: str
    images_per_s: tuple[float, ...]
    start_s: tuple[float, ...]
    """In an empty folder."""
    restart_s: tuple[float, ...]
    """In the folder that it just filled."""
    resident_mib_idle: tuple[float, ...]
    resident_mib_after: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median images per second of the rounds."""
        return statistics.median(self.images_per_s)


def measure_ingest(folder: Path, *, rounds: int, say: Callable[[str], None]) -> list[IngestResult]:
    """Run every case against every receiver `rounds` times; the receivers take turns within a round."""
    results = []
    for case in CASES:
        files = write_files(folder / "send", case, study="timed")
        others = write_files(folder / "others", case, study="first")
        measured: dict[str, list[tuple[float, ...]]] = {receiver.name: [] for receiver in RECEIVERS}
        for number in range(rounds):
            for receiver in RECEIVERS[number % len(RECEIVERS) :] + RECEIVERS[: number % len(RECEIVERS)]:
                say(f"{case.name}: {receiver.name}, round {number + 1} of {rounds}")
                measured[receiver.name].append(_measure(receiver, case, (others, files), folder / "receive"))
        results += [_result(case, name, rows) for name, rows in measured.items()]
        shutil.rmtree(folder / "send")
        shutil.rmtree(folder / "others")
    return results


def _measure(
    receiver: Receiver, case: Case, rounds: tuple[list[list[Path]], list[list[Path]]], folder: Path
) -> tuple[float, ...]:
    first, timed = rounds
    with receiver.started(folder) as started:
        idle = started.resident_mib()
        _send(first, started)
        started.wait_for_rest()
        seconds = _send(timed, started)
        kept = receiver.kept(folder)
        if kept != 2 * case.images:
            raise RuntimeError(f"{receiver.name} kept {kept} of {2 * case.images} images in {case.name}")
        after = started.resident_mib()
    with receiver.started(folder) as again:
        restart_s = again.seconds
    shutil.rmtree(folder)
    return case.images / seconds, started.seconds, restart_s, idle, after


def _send(files: list[list[Path]], started: Started) -> float:
    """Send each list over an association of its own, all at once; returns the seconds until the last one is done."""
    executable = program("storescu")
    if executable is None:
        raise FileNotFoundError("storescu is not installed: make peers")
    command = [str(executable), "-aet", "BENCH", "-aec", AE_TITLE, LOOPBACK, str(started.port)]
    begun = time.monotonic()
    senders = [
        subprocess.Popen(
            [*command, *map(str, paths)],
            env=peer_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for paths in files
    ]
    codes = [sender.wait(SEND_TIMEOUT_S) for sender in senders]
    seconds = time.monotonic() - begun
    if any(codes):
        raise RuntimeError(f"storescu ended with {codes} at {started.name}")
    return seconds


def write_files(folder: Path, case: Case, *, study: str = "timed") -> list[list[Path]]:
    """One list of files for each association, each with noise of its own in the pixels."""
    generator = np.random.default_rng(1)
    each = case.images // case.associations
    files = []
    for association in range(case.associations):
        voxels = generator.integers(0, 4096, (each, case.side, case.side), dtype=np.uint16)
        plan = SeriesPlan(
            voxels=voxels,
            study=f"bench {study} {case.name} {association}",
            modality=case.modality,
            orientation=AXIAL if case.modality == "CT" else SAGITTAL,
            number=association + 1,
        )
        files.append(write_series(folder / str(association), plan))
    return files


def _result(case: Case, name: str, rows: list[tuple[float, ...]]) -> IngestResult:
    rates, starts, restarts, idle, after = zip(*rows, strict=True)
    return IngestResult(
        case=case,
        receiver=name,
        images_per_s=rates,
        start_s=starts,
        restart_s=restarts,
        resident_mib_idle=idle,
        resident_mib_after=after,
    )


def ingest_as_json(results: Sequence[IngestResult]) -> list[dict[str, Any]]:
    """Every case with the rates of each round, and the ratios of the medians to the peers."""
    return [_case_as_json(case, {r.receiver: r for r in results if r.case == case}) for case in CASES]


def _case_as_json(case: Case, rates: Mapping[str, IngestResult]) -> dict[str, Any]:
    ours = rates[OURS.name].median
    return {
        "case": case.name,
        "images": case.images,
        "images_per_s": {receiver: round(result.median, 1) for receiver, result in rates.items()},
        "rounds": {receiver: [round(rate, 1) for rate in result.images_per_s] for receiver, result in rates.items()},
        "ratio_to_orthanc": round(ours / rates[ORTHANC.name].median, 2),
        "ratio_to_storescp": round(ours / rates[STORESCP.name].median, 2),
    }


def ingest_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """What `ingest_as_json` says."""
    names = [receiver.name for receiver in RECEIVERS]
    table = Table("C-STORE, images/s (median)", *names, "to Orthanc", "to storescp")
    for row in rows:
        rates = [f"{row['images_per_s'][name]:.0f}" for name in names]
        table.add_row(row["case"], *rates, f"{row['ratio_to_orthanc']:.2f} x", f"{row['ratio_to_storescp']:.2f} x")
    return table


def main(
    *,
    folder: Annotated[Path | None, typer.Option(help="Work on the disk of this folder.")] = None,
    rounds: Annotated[int, typer.Option(min=1, max=25, help="Times that each case is run.")] = 5,
) -> None:
    """Measure receiving alone, beside Orthanc and storescp, on loopback."""
    console = Console()
    with tempfile.TemporaryDirectory(dir=folder, prefix="spine-ingest-") as name, console.status("") as status:
        results = measure_ingest(Path(name), rounds=rounds, say=status.update)
    Console(width=120).print(ingest_table(ingest_as_json(results)))


if __name__ == "__main__":
    typer.run(main)
