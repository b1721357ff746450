"""What reading the header costs before an instance is acknowledged: ``PYTHONPATH=tests python -m benchmarks.headers``.

Each instance is taken in as the receiver does it, without a network: written to the receive log, header read, synced,
row committed. Decision 37 rests on the part that the header has in it.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from pydicom.filereader import read_file_meta_info
from rich.console import Console
from rich.table import Table

from benchmarks.ingest import CASES, write_files
from builders.receiving import NO_WATERMARK, data_set_bytes, sqlite_engine
from dicom_node.inbox import Inbox, ReceiverMetrics, StoreRequest
from dicom_node.receive_log import LogRules
from dicom_node.recorder import Recorder
from dicom_node.spool import Spool
from dicom_node.tables import metadata
from dicom_node.verdicts import Verdict

PIECE_BYTES = 1 << 17
"""What one P-DATA-TF of DCMTK's storescu holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderCost:
    """Seconds for each instance."""

    header: tuple[float, ...]
    """To read the header where its bytes were just written."""
    whole: tuple[float, ...]
    """From the first byte of the data set until the row is committed, header included."""


def measure(folder: Path, paths: Sequence[Path]) -> HeaderCost:
    """Take every file in once; a header is read of each a second time, in a place that is then given back."""
    header, whole = [], []
    with _inbox(folder) as inbox:
        for path in paths:
            request, data = _request(path), memoryview(data_set_bytes(path))
            incoming = inbox.open_file(request)
            incoming.write(data)
            begun = time.perf_counter()
            incoming.header()
            header.append(time.perf_counter() - begun)
            incoming.discard()

            begun = time.perf_counter()
            arrival = inbox.begin(request)
            for start in range(0, len(data), PIECE_BYTES):
                arrival.write(data[start : start + PIECE_BYTES])
            verdict = arrival.finish()
            whole.append(time.perf_counter() - begun)
            if verdict is not Verdict.STORED:
                raise RuntimeError(f"{path.name} was not stored: {verdict}")
    return HeaderCost(header=tuple(header), whole=tuple(whole))


@contextmanager
def _inbox(folder: Path) -> Iterator[Inbox]:
    engine = sqlite_engine(folder / "node.sqlite")
    metadata.create_all(engine)
    spool, recorder = Spool(folder / "spool"), Recorder(engine, deadline_s=30)
    spool.open_log(LogRules(), has_room=lambda _: True, on_damage=lambda _record, _copy: None)
    recorder.start()
    try:
        while spool.log is not None and not spool.log.is_ready():
            time.sleep(0.05)
        yield Inbox(spool, recorder, engine, rules=NO_WATERMARK, metrics=ReceiverMetrics(), clock=time.time)
    finally:
        recorder.stop(30)
        spool.close(30)
        engine.dispose()


def _request(path: Path) -> StoreRequest:
    meta = read_file_meta_info(path)
    return StoreRequest(
        sop_class_uid=meta.MediaStorageSOPClassUID,
        sop_instance_uid=meta.MediaStorageSOPInstanceUID,
        transfer_syntax_uid=meta.TransferSyntaxUID,
        negotiated_sop_class_uid=meta.MediaStorageSOPClassUID,
        calling_ae_title="BENCH",
    )


def main(
    *,
    folder: Annotated[Path | None, typer.Option(help="Work on the disk of this folder.")] = None,
    images: Annotated[Path | None, typer.Option(help="A folder of real images, measured too.")] = None,
) -> None:
    """Print the table."""
    table = Table("median of one instance", "instances", "header, us", "whole, us", "share")
    with tempfile.TemporaryDirectory(dir=folder, prefix="spine-headers-") as name:
        kinds = {
            f"generated {case.modality}": write_files(Path(name) / case.modality, case)[0]
            for case in CASES
            if case.associations == 1
        }
        if images is not None:
            kinds[images.name] = sorted(images.rglob("*.dcm"))
        for number, (kind, paths) in enumerate(kinds.items()):
            node = Path(name) / str(number)
            node.mkdir()
            cost = measure(node, paths)
            header, whole = statistics.median(cost.header), statistics.median(cost.whole)
            figures = (str(len(paths)), f"{1e6 * header:.0f}", f"{1e6 * whole:.0f}", f"{header / whole:.1%}")
            table.add_row(kind, *figures)
    Console(width=100).print(table)


if __name__ == "__main__":
    typer.run(main)
