"""Memory of a receiver that takes many instances in: ``python -m benchmarks.receiver_memory``.

One process with 16 associations, each of which sends small MR images with UIDs of their own as fast as they are
acknowledged; its resident memory is noted at every tenth of the way.
"""

from __future__ import annotations

import struct
import tempfile
import threading
import time
from itertools import count
from pathlib import Path
from typing import Annotated

import typer
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from rich.console import Console

from benchmarks.receivers import OURS, Started
from builders.dicom import SeriesPlan, slice_dataset, small_voxels
from builders.receiving import RawPeer, data_set_bytes, pdata, store_command

TEMPLATE_UID = f"2.25.{10**30}"
SUCCESS = struct.pack("<HHIH", 0, 0x0900, 2, 0x0000)
PIECE_BYTES = 1 << 17
NOTES = 10


def template_bytes(folder: Path, side: int) -> bytes:
    """The data set of one MR image, with a UID of constant length to replace."""
    dataset = slice_dataset(SeriesPlan(voxels=small_voxels(1, side, side)), 0)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = TEMPLATE_UID
    dataset.save_as(folder / "template.dcm", enforce_file_format=True)
    return data_set_bytes(folder / "template.dcm")


def send(port: int, template: bytes, numbers: count[int], last: int) -> None:
    """Send until the number is beyond the last; every instance must be acknowledged."""
    with RawPeer(port) as peer:
        peer.associate(MRImageStorage, ExplicitVRLittleEndian)
        while (number := next(numbers)) < last:
            uid = f"2.25.{10**30 + number + 1}"
            data = template.replace(TEMPLATE_UID.encode(), uid.encode())
            peer.send(pdata((1, 0x03, store_command(MRImageStorage, uid))))
            for start in range(0, len(data), PIECE_BYTES):
                control = 0x02 if start + PIECE_BYTES >= len(data) else 0x00
                peer.send(pdata((1, control, data[start : start + PIECE_BYTES])))
            answer = peer.read_pdu()
            if answer is None or SUCCESS not in answer[1]:
                raise RuntimeError(f"instance {number} was not acknowledged")


def measure(folder: Path, started: Started, *, instances: int, associations: int, side: int) -> list[float]:
    """Resident MiB when idle, and after every tenth of the instances."""
    template = template_bytes(folder, side)
    notes = [started.resident_mib()]
    for tenth in range(NOTES):
        numbers, last = count(tenth * instances // NOTES), (tenth + 1) * instances // NOTES
        threads = [
            threading.Thread(target=send, args=(started.port, template, numbers, last)) for _ in range(associations)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        notes.append(started.resident_mib())
    return notes


def main(
    *,
    folder: Annotated[Path | None, typer.Option(help="Work on the disk of this folder.")] = None,
    instances: Annotated[int, typer.Option(min=NOTES, help="In all associations together.")] = 100_000,
    associations: Annotated[int, typer.Option(min=1, max=20, help="At the same time.")] = 16,
    side: Annotated[int, typer.Option(min=1, help="Rows and columns of an image, 16 bits a pixel.")] = 32,
) -> None:
    """Print the memory along the way."""
    console = Console(width=100)
    with tempfile.TemporaryDirectory(dir=folder, prefix="spine-memory-") as name:
        home = Path(name)
        with OURS.started(home / "receiver") as started:
            begun = time.monotonic()
            notes = measure(home, started, instances=instances, associations=associations, side=side)
            seconds = time.monotonic() - begun
        kept = OURS.kept(home / "receiver")
    if kept != instances:
        raise RuntimeError(f"{kept} of {instances} instances were kept")
    console.print(f"{instances} instances over {associations} associations in {seconds:.0f} s, all kept")
    console.print("resident MiB, idle and at every tenth: " + ", ".join(f"{value:.0f}" for value in notes))


if __name__ == "__main__":
    typer.run(main)
