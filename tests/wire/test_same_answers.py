"""The same scripted bytes to this node, to pynetdicom and to DCMTK: whoever takes them has to take them here too.

Compared is the kind of each answer (acceptance, rejection, response with its status, abort, release, silence), not its
wording. Where the peers differ from the standard or from each other, the case says which answers are right.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification

from builders.dicom import SeriesPlan, slice_dataset, small_voxels
from builders.peers import LOOPBACK, StoreScp
from builders.receiving import RawPeer, association_request, data_set_bytes, pdata, running_node, store_command

PLAN = SeriesPlan(voxels=small_voxels(1))
MR = (MRImageStorage, ExplicitVRLittleEndian)
UID = PLAN.sop_instance_uid(0)
RELEASE, ABORT = struct.pack(">BxI4x", 5, 4), struct.pack(">BxI4x", 7, 4)
KINDS = {2: "accepted", 3: "rejected", 5: "release", 6: "released", 7: "aborted"}
COMMAND, COMMAND_LAST, DATA, DATA_LAST = 0x01, 0x03, 0x00, 0x02


@contextmanager
def ours(folder: Path) -> Iterator[int]:
    with running_node(folder) as node:
        yield node.port


@contextmanager
def pynetdicom_peer(_folder: Path) -> Iterator[int]:
    entity = AE(ae_title="SPINEAI")
    entity.add_supported_context(*MR)
    entity.add_supported_context(Verification)
    entity.require_called_aet = True
    server = entity.start_server((LOOPBACK, 0), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda _: 0x0000)])
    try:
        yield server.socket.getsockname()[1]  # type: ignore[union-attr]
    finally:
        server.shutdown()


@contextmanager
def dcmtk_peer(folder: Path) -> Iterator[int]:
    folder.mkdir()
    with StoreScp.started(folder, ae_title="SPINEAI") as scp:
        yield scp.port


def instance(folder: Path) -> bytes:
    slice_dataset(PLAN, 0).save_as(folder / "one.dcm", enforce_file_format=True)
    return data_set_bytes(folder / "one.dcm")


def one_unit(data: bytes) -> list[bytes]:
    return [pdata((1, COMMAND_LAST, store_command(MR[0], UID)), (1, DATA_LAST, data))]


def tiny_units(data: bytes) -> list[bytes]:
    command = store_command(MR[0], UID)
    parts = [pdata((1, COMMAND, command[:10])), pdata((1, COMMAND_LAST, command[10:]))]
    cuts = range(0, len(data), 600)
    return parts + [pdata((1, DATA_LAST if at + 600 >= len(data) else DATA, data[at : at + 600])) for at in cuts]


SCRIPTS: dict[str, tuple[Callable[[bytes], list[bytes]], set[tuple[str, ...]]]] = {
    "store, then release": (lambda d: [*one_unit(d), RELEASE], {("accepted", "0000", "released")}),
    "store in tiny units": (lambda d: [*tiny_units(d), RELEASE], {("accepted", "0000", "released")}),
    # Without waiting for the first answer, which nobody has to allow (PS3.7 D.3.3.3): pynetdicom drops one of the two.
    "store twice at once": (
        lambda d: [*one_unit(d), *one_unit(d), RELEASE],
        {("accepted", "0000", "0000", "released"), ("accepted", "0000", "released")},
    ),
    "release at once": (lambda _: [RELEASE], {("accepted", "released")}),
    "abort in a data set": (
        lambda d: [pdata((1, COMMAND_LAST, store_command(MR[0], UID))), pdata((1, DATA, d[:600])), ABORT],
        {("accepted",)},
    ),
    "unit that does not exist": (lambda _: [struct.pack(">BxI4x", 0x2A, 4)], {("accepted", "aborted")}),
    "second request": (
        lambda _: [association_request(*MR)],
        {("accepted", "aborted")},
    ),
}


def answers(port: int, units: list[bytes]) -> tuple[str, ...]:
    """What comes back on one association, in order, until the peer closes."""
    with RawPeer(port) as peer:
        peer.send(association_request(*MR))
        kinds = [_kind(peer.read_pdu())]
        for unit in units:
            try:
                peer.send(unit)
            except OSError:
                break
        while (answer := peer.read_pdu()) is not None:
            kinds.append(_kind(answer))
            if kinds[-1] in {"released", "aborted"}:
                break
        return tuple(kinds)


def _kind(answer: tuple[int, bytes] | None) -> str:
    assert answer is not None, "closed without an answer"
    if answer[0] in KINDS:
        return KINDS[answer[0]]
    at = answer[1].index(struct.pack("<HHI", 0, 0x0900, 2)) + 8
    return f"{int.from_bytes(answer[1][at : at + 2], 'little'):04X}"


@pytest.mark.peer("dcmtk")
@pytest.mark.parametrize("script", SCRIPTS)
def test_scripted_bytes_get_the_same_kinds_of_answers_everywhere(tmp_path: Path, script: str) -> None:
    units, right = SCRIPTS[script]
    data = instance(tmp_path)
    said = {}
    for name, peer in {"this node": ours, "pynetdicom": pynetdicom_peer, "DCMTK": dcmtk_peer}.items():
        with peer(tmp_path / name.replace(" ", "-")) as port:
            said[name] = answers(port, units(data))
    assert set(said.values()) <= right, said


@pytest.mark.parametrize("peer", [ours, pynetdicom_peer], ids=["this node", "pynetdicom"])
def test_another_called_title_is_rejected_for_the_same_reason(
    tmp_path: Path, peer: Callable[[Path], Iterator[int]]
) -> None:
    with peer(tmp_path / "peer") as port, RawPeer(port) as raw:  # type: ignore[attr-defined]
        raw.send(association_request(*MR, called="OTHER"))
        answer = raw.read_pdu()
    assert answer == (3, bytes((0, 1, 1, 7)))  # PS3.8 Table 9-21: called AE title not recognized
