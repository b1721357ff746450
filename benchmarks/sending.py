"""C-STORE images per second that this node sends, beside pynetdicom's own sender and DCMTK's ``storescu``.

``python -m benchmarks.sending`` runs it alone. All send the same files over one association to DCMTK's ``storescp``, in
turn. pynetdicom gets what it can be given: TCP_NODELAY and the files' bytes unparsed (STORE_SEND_CHUNKED_DATASET).
"""

from __future__ import annotations

import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pynetdicom._config
import typer
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import CTImageStorage, MRImageStorage  # type: ignore[attr-defined]
from rich.console import Console
from rich.table import Table

from benchmarks.ingest import CASES, Case, write_files
from benchmarks.receivers import AE_TITLE, STORESCP, SUCCESS
from builders.peers import LOOPBACK, peer_environment, program
from dicom_node.delivery import Verdict
from dicom_node.scu import Destination, send

OURS, PYNETDICOM, STORESCU = "this node", "pynetdicom", "storescu"
TIMEOUT_S = 120.0
MISSED_ANSWER_S = 2.0
"""pynetdicom 3.0.4 now and then misses an answer that comes at once ("received unexpected C-STORE service message") and
then waits until its timeout; such messages are sent again and not counted."""


def measure_sending(folder: Path, *, rounds: int, say: Callable[[str], None]) -> dict[Case, dict[str, float]]:
    """Median images per second of each sender, for the cases of one association."""
    results: dict[Case, dict[str, float]] = {}
    for case in (case for case in CASES if case.associations == 1):
        (files,) = write_files(folder / "send", case)
        rates: dict[str, list[float]] = {name: [] for name in SENDERS}
        for number in range(rounds):
            for name in sorted(SENDERS, reverse=bool(number % 2)):
                say(f"sending {case.name}: {name}, round {number + 1} of {rounds}")
                rates[name].append(case.images / _timed(SENDERS[name], files, folder / "receive"))
        results[case] = {name: statistics.median(values) for name, values in rates.items()}
        shutil.rmtree(folder / "send")
    return results


def _timed(sender: Callable[[Sequence[Path], int], float], files: Sequence[Path], folder: Path) -> float:
    shutil.rmtree(folder, ignore_errors=True)
    with STORESCP.started(folder) as started:
        seconds = sender(files, started.port)
        kept = STORESCP.kept(folder)
    if kept != len(files):
        raise RuntimeError(f"storescp kept {kept} of {len(files)} images")
    return seconds


def _ours(files: Sequence[Path], port: int) -> float:
    peer = Destination(name="peer", ae_title=AE_TITLE, host=LOOPBACK, port=port, calling_ae_title="BENCH")
    begun = time.monotonic()
    outcomes = send(files, peer)
    seconds = time.monotonic() - begun
    if any(outcome.verdict is not Verdict.ACCEPTED for outcome in outcomes):
        raise RuntimeError("storescp did not take every image")
    return seconds


def _pynetdicom(files: Sequence[Path], port: int) -> float:
    pynetdicom._config.STORE_SEND_CHUNKED_DATASET = True  # noqa: SLF001 - the documented switch
    seconds, left = 0.0, list(files)
    while left:
        association = _associated(port)
        while left and association.is_established:
            begun = time.monotonic()
            if association.send_c_store(left[-1]).get("Status") == SUCCESS:
                seconds += time.monotonic() - begun
                left.pop()
        if association.is_established:
            association.release()
    return seconds


def _associated(port: int) -> Association:
    entity = AE(ae_title="BENCH")
    entity.dimse_timeout = MISSED_ANSWER_S
    contexts = [build_context(uid, ExplicitVRLittleEndian) for uid in (CTImageStorage, MRImageStorage)]
    handlers = [(evt.EVT_CONN_OPEN, _set_no_delay)]
    return entity.associate(LOOPBACK, port, contexts=contexts, ae_title=AE_TITLE, evt_handlers=handlers)


def _set_no_delay(event: evt.Event) -> None:
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _storescu(files: Sequence[Path], port: int) -> float:
    command = [str(program("storescu")), "-aet", "BENCH", "-aec", AE_TITLE, LOOPBACK, str(port), *map(str, files)]
    begun = time.monotonic()
    subprocess.run(command, env=peer_environment(), check=True, capture_output=True, timeout=TIMEOUT_S)
    return time.monotonic() - begun


SENDERS: Mapping[str, Callable[[Sequence[Path], int], float]] = {
    OURS: _ours,
    PYNETDICOM: _pynetdicom,
    STORESCU: _storescu,
}


def sending_as_json(results: Mapping[Case, Mapping[str, float]]) -> list[dict[str, Any]]:
    """Images per second, and ratios to both peers."""
    return [
        {
            "case": case.name,
            "images_per_s": {name: round(rate, 1) for name, rate in rates.items()},
            "ratio": {name: round(rates[OURS] / rates[name], 2) for name in (PYNETDICOM, STORESCU)},
        }
        for case, rates in results.items()
    ]


def sending_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """For people."""
    table = Table("sending by C-STORE, images/s", *SENDERS, f"to {PYNETDICOM}", f"to {STORESCU}")
    for row in rows:
        rates = [f"{row['images_per_s'][name]:.0f}" for name in SENDERS]
        table.add_row(row["case"], *rates, *(f"{row['ratio'][name]:.2f} x" for name in (PYNETDICOM, STORESCU)))
    return table


def main(*, rounds: Annotated[int, typer.Option(min=1, help="Times that each case is run.")] = 3) -> None:
    """Measure and print."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="spine-bench-") as name:
        results = measure_sending(Path(name), rounds=rounds, say=console.log)
    console.print(sending_table(sending_as_json(results)))


if __name__ == "__main__":
    typer.run(main)
