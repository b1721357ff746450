"""What this node asks of other DICOM nodes: C-STORE of results, C-ECHO, and C-FIND for the size of a study.

Instances go out as the bytes that they are stored as, in their own transfer syntax; a native one is encoded anew in
Implicit VR Little Endian where the peer takes nothing else (the default that every node must know, PS3.5 10.1).
TCP_NODELAY is set, else Nagle's algorithm and delayed acknowledgement cost 40 ms per message.
"""

from __future__ import annotations

import mmap
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association
from pynetdicom.dsutils import encode, split_dataset
from pynetdicom.events import EventHandlerType
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from dicom_node.delivery import OPEN_GATE, Gate, Ruling, SendOutcome, Verdict, rule_context, rule_store
from dicom_node.pdu import PeerGone, ProtocolFault
from dicom_node.peer_answer import PeerAnswer, Rejection
from dicom_node.requestor import Context, Rejected, StorageAssociation
from dicom_node.tls import TlsFiles, client_context
from dicom_node.tls_socket import CallingContext
from inference.errors import PeerFailure, SettingRefusal, StorageFailure

MAX_CONTEXTS = 128
"""Presentation context identifiers are the odd numbers of one byte: PS3.8 9.3.2.2."""
_CONVERTIBLE = (ExplicitVRLittleEndian, ExplicitVRBigEndian)
_REJECTED_PERMANENT = 1
"""Result of A-ASSOCIATE-RJ: PS3.8 Table 9-21."""
NO_ANSWER = Ruling(verdict=Verdict.FAILED, meaning="no association: the peer did not answer, or ended it")
_ECHO: Context = (str(Verification), str(ImplicitVRLittleEndian))
_PENDING = (0xFF00, 0xFF01)
"""C-FIND statuses that carry an answer: PS3.4 C.4.1.1.4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A peer that is reached by DIMSE, and who we are to it."""

    name: str
    ae_title: str
    host: str
    port: int
    calling_ae_title: str
    timeout_s: float = 30.0
    """Longest wait for the connection, and for each answer."""
    tls: TlsFiles | None = None
    """Our certificate and whom we believe; read at each connection. None: without TLS."""
    certificate_name: str = ""
    """For which host the peer's certificate is; empty: `host`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parcel:
    """A file to send and what its meta information says."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    offset: int
    """Of the data set in the file, in bytes."""

    @property
    def context(self) -> Context:
        return self.sop_class_uid, self.transfer_syntax_uid

    @property
    def default_context(self) -> Context | None:
        """The context to fall back to; None for compressed pixels, which are never decoded for a peer."""
        if self.transfer_syntax_uid in _CONVERTIBLE:
            return self.sop_class_uid, ImplicitVRLittleEndian
        return None

    def outcome(self, ruling: Ruling, status: int | None = None) -> SendOutcome:
        suffix = "" if status is None else f" (0x{status:04X})"
        return SendOutcome(
            sop_instance_uid=self.sop_instance_uid,
            verdict=ruling.verdict,
            status=status,
            sentence=f"{ruling.meaning}{suffix}",
        )


def send(files: Sequence[Path], destination: Destination, gate: Gate = OPEN_GATE) -> tuple[SendOutcome, ...]:
    """Send instances by C-STORE; one outcome per file, in the order given, whatever goes wrong at the peer.

    The gate is asked before each C-STORE, and told each answer.

    Raises:
        StorageFailure: a file cannot be read, or is not a PS3.10 file.
    """
    parcels = [_parcel(path) for path in files]
    outcomes: dict[Path, SendOutcome] = {}
    for batch in _batches(parcels):
        with _sending(destination, _contexts(batch)) as peer:
            for parcel in batch:
                outcome = parcel.outcome(peer) if isinstance(peer, Ruling) else _store(parcel, peer, gate)
                gate.after(parcel.path, outcome)
                outcomes[parcel.path] = outcome
    return tuple(outcomes[path] for path in files)


def echo(destination: Destination) -> None:
    """Ask the peer whether it is there (C-ECHO).

    Raises:
        PeerFailure: no connection, the association was rejected, or the answer is not Success.
    """
    with _sending(destination, [_ECHO]) as peer:
        if isinstance(peer, Ruling):
            raise PeerFailure(failed_words("C-ECHO", destination, peer))
        if not peer.is_accepted(_ECHO):
            raise PeerFailure(failed_words("C-ECHO", destination, None))
        status = peer.echo(_ECHO)
        if status != 0:
            raise PeerFailure(f"C-ECHO to {destination.name}: {status_words(status)}.")


def ask(destination: Destination, sop_classes: Sequence[str]) -> PeerAnswer:
    """Whether the peer takes our association, C-ECHO and these classes (Explicit VR Little Endian); sends nothing."""
    contexts = [_ECHO, *((uid, str(ExplicitVRLittleEndian)) for uid in sop_classes)]
    with _sending(destination, contexts) as peer:
        if isinstance(peer, Ruling):
            return PeerAnswer(rejection=peer.rejection, problem=peer.meaning)
        accepted = frozenset(context[0] for context in contexts if peer.is_accepted(context))
        return PeerAnswer(accepted=accepted, echo_status=peer.echo(_ECHO) if peer.is_accepted(_ECHO) else None)


def count_instances(peer: Destination, study_instance_uid: str) -> int | None:
    """NumberOfStudyRelatedInstances by C-FIND (study root); None where the peer does not know the study or the number.

    Raises:
        PeerFailure: no connection, the association or the query was rejected, or the peer failed while answering.
    """
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.StudyInstanceUID = study_instance_uid
    query.NumberOfStudyRelatedInstances = None
    model = StudyRootQueryRetrieveInformationModelFind
    count: int | None = None
    with associated(peer, [build_context(model)]) as (association, problem):
        if problem is not None or not association.is_established:
            raise PeerFailure(failed_words("C-FIND", peer, problem))
        for answer, identifier in association.send_c_find(query, model):
            status = answer.get("Status")
            if status in _PENDING and identifier is not None:
                value = identifier.get("NumberOfStudyRelatedInstances")
                count = count if value is None else int(value)
            elif status != 0:
                raise PeerFailure(f"C-FIND to {peer.name}: {status_words(status)}.")
    return count


def _parcel(path: Path) -> _Parcel:
    try:
        meta, offset = split_dataset(path)
        return _Parcel(
            path=path,
            sop_class_uid=str(meta.MediaStorageSOPClassUID),
            sop_instance_uid=str(meta.MediaStorageSOPInstanceUID),
            transfer_syntax_uid=str(meta.TransferSyntaxUID),
            offset=offset,
        )
    except (OSError, InvalidDicomError, AttributeError) as error:
        raise StorageFailure(f"{path.name} cannot be sent: it is not a readable PS3.10 file.") from error


def _batches(parcels: Sequence[_Parcel]) -> Iterator[list[_Parcel]]:
    """Split so that no batch needs more than MAX_CONTEXTS presentation contexts."""
    batch: list[_Parcel] = []
    needed: set[tuple[str, str]] = set()
    for parcel in parcels:
        wanted = {c for c in (parcel.context, parcel.default_context) if c is not None}
        if batch and len(needed | wanted) > MAX_CONTEXTS:
            yield batch
            batch, needed = [], set()
        batch.append(parcel)
        needed |= wanted
    if batch:
        yield batch


def _contexts(parcels: Sequence[_Parcel]) -> list[Context]:
    """One context per SOP class and transfer syntax, so that the peer answers for each (PS3.7 D.3.2)."""
    wanted = (context for parcel in parcels for context in (parcel.context, parcel.default_context))
    return list(dict.fromkeys(context for context in wanted if context is not None))


@contextmanager
def _sending(destination: Destination, contexts: Sequence[Context]) -> Iterator[StorageAssociation | Ruling]:
    """An association to store on, or why there is none; released at the end."""
    connection = _connected(destination)
    if isinstance(connection, Ruling):
        yield connection
        return
    association = StorageAssociation(connection, timeout_s=destination.timeout_s)
    try:
        yield _requested(association, destination, contexts) or association
    finally:
        association.close()


def _connected(destination: Destination) -> socket.socket | Ruling:
    """A connection, with TLS where the destination has it, or why there is none."""
    try:
        context = _calling_context(destination)
    except PeerFailure as failure:
        return Ruling(verdict=Verdict.FAILED, meaning=str(failure).rstrip("."))
    try:
        connection = socket.create_connection((destination.host, destination.port), destination.timeout_s)
    except OSError:
        return NO_ANSWER
    if context is None:
        return connection
    try:
        return context.wrap_socket(connection, server_hostname=destination.certificate_name or destination.host)
    except OSError:
        connection.close()
        return _without_tls(context)


def _requested(association: StorageAssociation, destination: Destination, contexts: Sequence[Context]) -> Ruling | None:
    """Ask for the association; why it does not stand, None where it does."""
    try:
        association.request(
            contexts, calling_ae_title=destination.calling_ae_title, called_ae_title=destination.ae_title
        )
    except Rejected as rejected:
        return _rejection(rejected.rejection.result, str(rejected), rejected.rejection)
    except (PeerGone, ProtocolFault):
        return NO_ANSWER
    return None


@contextmanager
def associated(
    destination: Destination,
    contexts: Sequence[PresentationContext],
    *,
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
    handlers: Sequence[EventHandlerType] = (),
) -> Iterator[tuple[Association, Ruling | None]]:
    """An association, and why it does not stand for everything that was to be sent; released at the end.

    Args:
        destination: the peer.
        contexts: what is proposed.
        roles: role selection, where this node is not the user of a SOP class.
        handlers: pynetdicom's, for what the peer may request of this node.

    Raises:
        PeerFailure: our own TLS files cannot be used now.
    """
    context = _calling_context(destination)
    opened: list[socket.socket] = []
    entity = AE(ae_title=destination.calling_ae_title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = destination.timeout_s
    entity.connection_timeout = destination.timeout_s
    association = entity.associate(
        destination.host,
        destination.port,
        contexts=list(contexts),
        ae_title=destination.ae_title,
        ext_neg=list(roles),
        evt_handlers=[(evt.EVT_CONN_OPEN, _take_connection, [opened]), *handlers],
        tls_args=None if context is None else (context, destination.certificate_name or destination.host),
    )
    try:
        problem = _without_tls(context) if context is not None and context.fault else _problem(association)
        yield association, problem
    finally:
        if association.is_established:
            association.release()
        for connection in opened:
            connection.close()  # pynetdicom leaves one open that the peer has reset


def _calling_context(destination: Destination) -> CallingContext | None:
    if destination.tls is None:
        return None
    try:
        return client_context(destination.tls)
    except SettingRefusal as refusal:
        raise PeerFailure(f"{destination.name} is not reached: {refusal.sentence}") from refusal


def _take_connection(event: evt.Event, opened: list[socket.socket]) -> None:
    transport = event.assoc.dul.socket
    if transport is not None and transport.socket is not None:
        transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.append(transport.socket)


def _without_tls(context: CallingContext) -> Ruling:
    return Ruling(verdict=Verdict.FAILED, meaning=f"no association: {context.fault}")


def _problem(association: Association) -> Ruling | None:
    """Why the association does not stand; None where it does, or where only its contexts were rejected."""
    if association.is_established or association.rejected_contexts:
        return None
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        return _rejection(answer.result, answer.reason_str)
    return NO_ANSWER


def _rejection(result: int | None, reason: str, rejection: Rejection | None = None) -> Ruling:
    verdict = Verdict.REFUSED if result == _REJECTED_PERMANENT else Verdict.FAILED
    return Ruling(verdict=verdict, meaning=f"the peer rejected the association: {reason}", rejection=rejection)


def _store(parcel: _Parcel, association: StorageAssociation, gate: Gate) -> SendOutcome:
    """Send one instance over an association."""
    accepted = [c for c in (parcel.context, parcel.default_context) if c is not None and association.is_accepted(c)]
    if not accepted:
        return parcel.outcome(rule_context(association.results[parcel.context]))
    if not association.is_open:
        return parcel.outcome(Ruling(verdict=Verdict.FAILED, meaning="the association ended before this instance"))
    with _payload(parcel, accepted[0]) as dataset:
        gate.before(parcel.path)
        status = association.store(accepted[0], parcel.sop_instance_uid, dataset)
    if status is None:
        return parcel.outcome(
            Ruling(verdict=Verdict.FAILED, meaning="the peer did not answer, or ended the association")
        )
    return parcel.outcome(rule_store(status), status)


@contextmanager
def _payload(parcel: _Parcel, context: Context) -> Iterator[bytes | memoryview]:
    """The data set's bytes: those of the file, mapped, or encoded anew in the default transfer syntax.

    Raises:
        StorageFailure: the file is gone.
    """
    if context != parcel.context:
        yield _in_default_syntax(parcel.path)
        return
    try:
        with (
            parcel.path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as whole,
            whole[parcel.offset :] as dataset,
        ):
            yield dataset
    except OSError as error:
        raise StorageFailure(f"{parcel.path.name} cannot be sent: it cannot be read any more.") from error


def _in_default_syntax(path: Path) -> bytes:
    dataset = dcmread(path)
    encoded = encode(dataset, is_implicit_vr=True, is_little_endian=True)
    if encoded is None:
        raise StorageFailure(f"{path.name} cannot be sent: it cannot be encoded in Implicit VR Little Endian.")
    return encoded


def failed_words(what: str, peer: Destination, problem: Ruling | None) -> str:
    """Why nothing could be asked of a peer."""
    return f"{what} to {peer.name}: {'the peer does not support it' if problem is None else problem.meaning}."


def status_words(status: int | None) -> str:
    """A status for people; None where there was no answer."""
    return "no answer" if status is None else f"status 0x{status:04X}"
