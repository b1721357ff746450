"""C-STORE, C-ECHO and C-FIND against real peers: DCMTK, Orthanc, and a pynetdicom SCP that misbehaves on purpose."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless
from pynetdicom import AE, build_context, evt
from pynetdicom.sop_class import (
    CTImageStorage,
    MRImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)
from pynetdicom.transport import AssociationSocket

from builders.dicom import SeriesPlan, small_voxels, write_series
from builders.gates import CountingGate
from builders.peers import wait_until
from dicom_node import scu
from dicom_node.delivery import Verdict
from dicom_node.scu import Destination, count_instances, echo, send
from inference.errors import PeerFailure, StorageFailure
from server.fence import Overtaken

# pynetdicom 3.0.4 does not close the socket of a connection that was refused (AssociationSocket._shutdown_socket);
# Python does at once, and says so.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"
)

ACCEPTED, REFUSED, FAILED = Verdict.ACCEPTED, Verdict.REFUSED, Verdict.FAILED
MR, CT = str(MRImageStorage), str(CTImageStorage)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two MR instances and one CT instance."""
    mr = write_series(tmp_path / "mr", SeriesPlan(voxels=small_voxels(2)))
    ct = write_series(tmp_path / "ct", SeriesPlan(voxels=small_voxels(1), modality="CT", series="ct"))
    return [*mr, *ct]


@pytest.fixture
def scp() -> Iterator[Callable[..., Destination]]:
    """Start a pynetdicom SCP: ``scp(contexts, handlers)``; gives the destination that reaches it."""
    servers = []

    def start(
        contexts: list[Any], handlers: list[Any], *, ae_title: str = "PEER", timeout_s: float = 10.0
    ) -> Destination:
        entity = AE(ae_title=ae_title)
        entity.require_called_aet = True
        entity.supported_contexts = contexts
        server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        servers.append(server)
        return to(server.server_address[1], ae_title=ae_title, timeout_s=timeout_s)

    yield start
    for server in servers:
        server.shutdown()


def to(port: int, *, ae_title: str = "PEER", timeout_s: float = 10.0) -> Destination:
    return Destination(
        name="peer", ae_title=ae_title, host="127.0.0.1", port=port, calling_ae_title="SPINEAI", timeout_s=timeout_s
    )


def answering(status: int | Callable[[evt.Event], int]) -> list[Any]:
    """A C-STORE handler."""
    return [(evt.EVT_C_STORE, status if callable(status) else lambda _: status)]


def verdicts(outcomes: tuple[scu.SendOutcome, ...]) -> list[Verdict]:
    return [outcome.verdict for outcome in outcomes]


@pytest.mark.peer("dcmtk")
def test_storescp_gets_every_instance(files, storescp):
    peer = storescp()
    outcomes = send(files, to(peer.port, ae_title=peer.ae_title))
    assert verdicts(outcomes) == [ACCEPTED] * 3
    assert [o.status for o in outcomes] == [0, 0, 0]
    sent = {pydicom.dcmread(p).SOPInstanceUID: pydicom.dcmread(p).PixelData for p in files}
    received = {pydicom.dcmread(p).SOPInstanceUID: pydicom.dcmread(p).PixelData for p in peer.wait_for(3)}
    assert received == sent
    assert [o.sop_instance_uid for o in outcomes] == [pydicom.dcmread(p).SOPInstanceUID for p in files]


def test_the_bytes_go_out_as_they_are_stored(files, scp):
    got = []
    destination = scp(
        [build_context(MR), build_context(CT)],
        answering(lambda event: got.append(event.request.DataSet.getvalue()) or 0),
    )
    send(files, destination)
    stored = [path.read_bytes() for path in files]
    assert [whole.endswith(dataset) for whole, dataset in zip(stored, got, strict=True)] == [True] * 3


def test_the_gate_is_asked_before_each_instance_and_stops_the_next(files, scp):
    got = []
    destination = scp([build_context(MR), build_context(CT)], answering(lambda event: got.append(event) or 0))
    gate = CountingGate(1)
    with pytest.raises(Overtaken):
        send(files, destination, gate)
    assert gate.asked == [f"before {files[0].stem}", f"after {files[0].stem}: accepted"]
    assert len(got) == 1


def test_compressed_pixels_go_out_in_their_own_transfer_syntax(tmp_path, files, scp):
    dataset = pydicom.dcmread(files[0])
    dataset.compress(RLELossless)
    path = tmp_path / "rle.dcm"
    dataset.save_as(path)
    syntaxes = []
    destination = scp(
        [build_context(MR, [RLELossless, ExplicitVRLittleEndian])],
        answering(lambda event: syntaxes.append(event.context.transfer_syntax) or 0),
    )
    assert verdicts(send([path, files[1]], destination)) == [ACCEPTED, ACCEPTED]
    assert syntaxes == [RLELossless, ExplicitVRLittleEndian]


def test_a_peer_that_cannot_read_the_compression_refuses_only_that(tmp_path, files, scp):
    dataset = pydicom.dcmread(files[0])
    dataset.compress(RLELossless)
    path = tmp_path / "rle.dcm"
    dataset.save_as(path)
    outcomes = send([path, files[1]], scp([build_context(MR, [ExplicitVRLittleEndian])], answering(0)))
    assert verdicts(outcomes) == [REFUSED, ACCEPTED]
    assert outcomes[0].sentence == "transfer syntax not supported by the peer"


def test_a_peer_that_knows_only_the_default_transfer_syntax(files, scp):
    got = []
    destination = scp(
        [build_context(MR, [ImplicitVRLittleEndian]), build_context(CT, [ImplicitVRLittleEndian])],
        answering(lambda event: got.append(event.dataset) or 0),
    )
    assert verdicts(send(files, destination)) == [ACCEPTED] * 3
    assert [d.PixelData for d in got] == [pydicom.dcmread(p).PixelData for p in files]
    assert [str(d.PatientName) for d in got] == ["Invented^Patient"] * 3


def test_a_peer_that_does_not_know_one_sop_class_takes_the_rest(files, scp):
    outcomes = send(files, scp([build_context(MR)], answering(0)))
    assert verdicts(outcomes) == [ACCEPTED, ACCEPTED, REFUSED]
    assert outcomes[2].sentence == "SOP class not supported by the peer"


def test_a_peer_that_knows_no_sop_class_refuses_all(files, scp):
    outcomes = send(files, scp([build_context(Verification)], []))
    assert verdicts(outcomes) == [REFUSED] * 3


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(0x0000, ACCEPTED), (0xB000, ACCEPTED), (0xA700, FAILED), (0xA900, REFUSED), (0xC001, REFUSED)],
)
def test_each_status_is_classified(files, scp, status, verdict):
    (outcome,) = send(files[:1], scp([build_context(MR)], answering(status)))
    assert (outcome.verdict, outcome.status) == (verdict, status)
    assert f"(0x{status:04X})" in outcome.sentence


def test_one_of_two_instances_is_refused(files, scp):
    second = pydicom.dcmread(files[1]).SOPInstanceUID
    outcomes = send(
        files[:2],
        scp([build_context(MR)], answering(lambda e: 0xA900 if e.request.AffectedSOPInstanceUID == second else 0)),
    )
    assert verdicts(outcomes) == [ACCEPTED, REFUSED]


def test_a_peer_that_aborts_keeps_what_it_acknowledged(files, scp):
    count = 0

    def abort_on_second(event: evt.Event) -> int:
        nonlocal count
        count += 1
        if count == 2:
            event.assoc.abort()
        return 0

    outcomes = send(files, scp([build_context(MR), build_context(CT)], answering(abort_on_second)))
    assert verdicts(outcomes) == [ACCEPTED, FAILED, FAILED]


def test_nobody_there(files, free_port):
    outcomes = send(files, to(free_port, timeout_s=2))
    assert verdicts(outcomes) == [FAILED] * 3
    assert {o.status for o in outcomes} == {None}


def test_a_peer_that_never_answers(files):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        outcomes = send(files[:1], to(silent.getsockname()[1], timeout_s=1))
    assert verdicts(outcomes) == [FAILED]


def test_wrong_called_ae_title_is_a_permanent_refusal(files, scp):
    right = scp([build_context(MR)], answering(0), ae_title="RIGHT")
    (outcome,) = send(files[:1], to(right.port, ae_title="WRONG"))
    assert outcome.verdict is REFUSED
    assert outcome.sentence == "the peer rejected the association: Called AE title not recognised"


@pytest.mark.peer("orthanc")
def test_orthanc_refuses_a_wrong_ae_title(files, orthanc):
    server = orthanc()
    (outcome,) = send(files[:1], to(server.dicom_port, ae_title="WRONG"))
    assert outcome.verdict is REFUSED


def test_no_delay_is_set_on_the_connection(scp, monkeypatch):
    options = []
    original = scu._take_connection

    def look(event: evt.Event, opened: list[socket.socket]) -> None:
        original(event, opened)
        options.append(event.assoc.dul.socket.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(scu, "_take_connection", look)
    with scu.associated(scp([build_context(Verification)], []), [build_context(Verification)]):
        pass
    assert options
    assert all(options)


def test_more_contexts_than_one_association_can_hold_are_split(tmp_path):
    classes = [f"1.2.840.10008.5.1.4.1.1.{n}" for n in range(200)]
    parcels = [
        scu._Parcel(
            path=tmp_path,
            sop_class_uid=c,
            sop_instance_uid="1.2",
            transfer_syntax_uid=str(ExplicitVRLittleEndian),
            offset=0,
        )
        for c in classes
    ]
    batches = list(scu._batches(parcels))
    assert [p.sop_class_uid for batch in batches for p in batch] == classes
    assert [len(scu._contexts(batch)) for batch in batches] == [128, 128, 128, 16]


def test_nothing_to_send_opens_no_association(free_port):
    assert send([], to(free_port)) == ()


def test_a_file_that_is_not_dicom_is_our_failure(tmp_path, free_port):
    path = tmp_path / "note.txt"
    path.write_text("not DICOM")
    with pytest.raises(StorageFailure, match=r"note\.txt cannot be sent"):
        send([path], to(free_port))


@pytest.mark.peer("dcmtk")
def test_echo(storescp, free_port):
    peer = storescp()
    echo(to(peer.port, ae_title=peer.ae_title))
    with pytest.raises(PeerFailure, match="C-ECHO to peer: no association"):
        echo(to(free_port, timeout_s=2))


def test_echo_to_a_peer_without_verification(scp):
    with pytest.raises(PeerFailure, match="the peer does not support it"):
        echo(scp([build_context(MR)], []))


@pytest.mark.peer("orthanc")
def test_count_asks_orthanc_for_the_size_of_a_study(files, orthanc):
    server = orthanc()
    server.upload(files)
    study = pydicom.dcmread(files[0]).StudyInstanceUID
    destination = to(server.dicom_port, ae_title=server.ae_title)
    assert count_instances(destination, study) == 3
    assert count_instances(destination, "1.2.3.4.5") is None


def test_count_from_a_peer_that_leaves_the_number_out(scp):
    def answer(event: evt.Event) -> Iterator[tuple[int, Any]]:
        identifier = event.identifier
        del identifier.NumberOfStudyRelatedInstances
        yield 0xFF00, identifier

    contexts = [build_context(StudyRootQueryRetrieveInformationModelFind)]
    assert count_instances(scp(contexts, [(evt.EVT_C_FIND, answer)]), "1.2.3") is None


def test_count_from_a_peer_that_fails(scp, free_port):
    def fail(event: evt.Event) -> Iterator[tuple[int, Any]]:
        yield 0xA700, None

    contexts = [build_context(StudyRootQueryRetrieveInformationModelFind)]
    with pytest.raises(PeerFailure, match="C-FIND to peer: status 0xA700"):
        count_instances(scp(contexts, [(evt.EVT_C_FIND, fail)]), "1.2.3")
    with pytest.raises(PeerFailure, match="C-FIND to peer: no association"):
        count_instances(to(free_port, timeout_s=2), "1.2.3")


def open_sockets() -> set[str]:
    found = (str(descriptor.resolve()) for descriptor in Path("/proc/self/fd").iterdir())
    return {target for target in found if "socket:" in target}


def test_no_connection_is_left_open_that_the_peer_has_reset(monkeypatch):
    monkeypatch.setattr(AssociationSocket, "_shutdown_socket", lambda _: None)  # as it is where shutting down fails
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def reset() -> None:
            connection, _ = listening.accept()
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

        peer = threading.Thread(target=reset)
        peer.start()
        before = open_sockets()
        with pytest.raises(PeerFailure, match="C-FIND to peer: no association"):
            count_instances(to(listening.getsockname()[1], timeout_s=5), "1.2.3")
        peer.join()
        assert open_sockets() <= before


def test_no_thread_is_left_behind(files, scp):
    destination = scp([build_context(MR)], answering(0))
    before = threading.active_count()
    send(files[:1], destination)
    wait_until(lambda: threading.active_count() <= before, timeout_s=20, what="the association's threads to end")
