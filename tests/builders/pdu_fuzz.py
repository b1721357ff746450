"""Broken units at a real receiver: valid conversations, cut, flipped, swapped and stretched."""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from benchmarks.receivers import OURS
from builders.dicom import SeriesPlan, small_voxels, write_series
from builders.peers import LOOPBACK
from builders.receiving import association_request, data_set_bytes, pdata, store_command
from dicom_node.storage_classes import VERIFICATION_SOP_CLASS_UID

CONNECTIONS_AT_ONCE = 4
HANG_S = 20.0
"""The receiver ends a conversation that we have ended within this time."""
RELEASE = struct.pack(">BxI4x", 5, 4)
ABORT = struct.pack(">BxI4x", 7, 4)
LENGTHS = (0, 1, 2, 5, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class FuzzResult:
    """What stood it."""

    units: int
    conversations: int
    memory_mib: tuple[float, float]
    """Resident memory of the receiver, after a fifth of the units and at the end."""
    tracebacks: int
    """In its log."""


def fuzz(folder: Path, *, units: int, seed: int = 1, say: Callable[[str], None] = lambda _: None) -> FuzzResult:
    """Send so many units to a receiver of its own process; it answers C-ECHO before and after.

    Raises:
        TimeoutError: the receiver kept a connection that we had ended.
        RuntimeError: it answers no more.
    """
    (path,) = write_series(folder / "valid", SeriesPlan(voxels=small_voxels(1, 16, 16)))
    conversation = _conversation(data_set_bytes(path))
    with OURS.started(folder / "node") as started:
        fifth = _send(conversation, started.port, units // 5, seed)
        early = started.resident_mib()
        say(f"{fifth[0]} units of {units}")
        rest = _send(conversation, started.port, units - fifth[0], seed + 1)
        late = started.resident_mib()
        log = (folder / "node" / "receiver.log").read_text(errors="replace")
    with OURS.started(folder / "node"):  # it starts again on what it kept
        sent, conversations = fifth[0] + rest[0], fifth[1] + rest[1]
    return FuzzResult(
        units=sent, conversations=conversations, memory_mib=(early, late), tracebacks=log.count("Traceback")
    )


def _conversation(data: bytes) -> list[bytes]:
    """C-ECHO, C-STORE and release, as they should be."""
    echo = store_command(VERIFICATION_SOP_CLASS_UID, "1.2", data_set_type=0x0101, field=0x0030)
    store = store_command(MRImageStorage, "1.2.3.4")
    halves = (data[: len(data) // 2], data[len(data) // 2 :])
    return [
        association_request(MRImageStorage, ExplicitVRLittleEndian),
        pdata((1, 0x03, echo)),
        pdata((1, 0x03, store)),
        pdata((1, 0x00, halves[0])),
        pdata((1, 0x02, halves[1])),
        RELEASE,
    ]


def _send(conversation: list[bytes], port: int, units: int, seed: int) -> tuple[int, int]:
    """Over several connections at once; how many units and conversations it were."""
    lock, done, faults = threading.Lock(), [0, 0], []

    def run(number: int) -> None:
        chance = random.Random(seed * 1000 + number)  # noqa: S311 - repeatable
        try:
            while done[0] < units:
                broken = _broken(conversation, chance)
                _converse(port, broken)
                with lock:
                    done[0] += len(broken)
                    done[1] += 1
        except OSError as error:
            faults.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(CONNECTIONS_AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    return done[0], done[1]


def _broken(conversation: list[bytes], chance: random.Random) -> list[bytes]:
    """The conversation, whole up to a random unit, with one to four faults from there on."""
    units = [bytearray(unit) for unit in conversation]
    first = chance.randrange(len(units))
    for _ in range(chance.randint(1, 4)):
        FAULTS[chance.randrange(len(FAULTS))](units, chance.randrange(first, len(units)), chance)
    return [bytes(unit) for unit in units]


def _flip(units: list[bytearray], at: int, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 8)):
        if units[at]:
            units[at][chance.randrange(len(units[at]))] ^= 1 << chance.randrange(8)


def _cut(units: list[bytearray], at: int, chance: random.Random) -> None:
    del units[at][chance.randrange(len(units[at]) + 1) :]


def _stretch(units: list[bytearray], at: int, chance: random.Random) -> None:
    units[at][chance.randrange(len(units[at]) + 1) : 0] = chance.randbytes(chance.choice((1, 2, 7, 64, 5000)))


def _lie(units: list[bytearray], at: int, chance: random.Random) -> None:
    """Another length, of the unit or anywhere."""
    place = 2 if chance.random() < 0.5 else chance.randrange(max(len(units[at]) - 3, 1))
    units[at][place : place + 4] = struct.pack(">I", chance.choice(LENGTHS))


def _swap(units: list[bytearray], at: int, chance: random.Random) -> None:
    other = chance.randrange(len(units))
    units[at], units[other] = units[other], units[at]


def _repeat(units: list[bytearray], at: int, chance: random.Random) -> None:
    units[at:at] = [bytearray(units[at]) for _ in range(chance.randint(1, 3))]


def _retype(units: list[bytearray], at: int, chance: random.Random) -> None:
    if units[at]:
        units[at][0] = chance.randrange(12)


def _insert(units: list[bytearray], at: int, chance: random.Random) -> None:
    units.insert(at, bytearray(chance.choice((RELEASE, ABORT, chance.randbytes(chance.randint(1, 200))))))


FAULTS = (_flip, _cut, _stretch, _lie, _swap, _repeat, _retype, _insert)


def _converse(port: int, units: list[bytes]) -> None:
    """Send all, end our side, read until the receiver ends its own."""
    with socket.create_connection((LOOPBACK, port), timeout=HANG_S) as connection:
        try:
            connection.sendall(b"".join(units))
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 16):
                continue
        except (ConnectionResetError, BrokenPipeError):
            return  # it hung up first
