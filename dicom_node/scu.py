"""What this node asks of other DICOM nodes: C-STORE of results, C-ECHO, and C-FIND for the size of a study.

Instances go out as the bytes that they are stored as, in their own transfer syntax; a native one is encoded anew in
Implicit VR Little Endian where the peer takes nothing else (the default that every node must know, PS3.5 10.1).
TCP_NODELAY is set, else Nagle's algorithm and delayed acknowledgement cost 40 ms per message.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pynetdicom._config
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from dicom_node.delivery import OPEN_GATE, Gate, Ruling, SendOutcome, Verdict, rule_context, rule_store
from inference.errors import PeerFailure, StorageFailure

pynetdicom._config.STORE_SEND_CHUNKED_DATASET = True  # noqa: SLF001 - the documented switch: a path is sent as its bytes

MAX_CONTEXTS = 128
"""Presentation context identifiers are the odd numbers of one byte: PS3.8 9.3.2.2."""
_CONVERTIBLE = (ExplicitVRLittleEndian, ExplicitVRBigEndian)
_REJECTED_PERMANENT = 1
"""Result of A-ASSOCIATE-RJ: PS3.8 Table 9-21."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parcel:
    """A file to send and what its meta information says."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str

    @property
    def context(self) -> tuple[str, str]:
        return self.sop_class_uid, self.transfer_syntax_uid

    @property
    def default_context(self) -> tuple[str, str] | None:
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
        contexts = _contexts(batch)
        with _associated(destination, contexts) as (association, problem):
            for parcel in batch:
                if problem is None:
                    gate.before(parcel.path)
                    outcomes[parcel.path] = _store(parcel, association)
                else:
                    outcomes[parcel.path] = parcel.outcome(problem)
                gate.after(parcel.path, outcomes[parcel.path])
    return tuple(outcomes[path] for path in files)


def echo(destination: Destination) -> None:
    """Ask the peer whether it is there (C-ECHO).

    Raises:
        PeerFailure: no connection, the association was rejected, or the answer is not Success.
    """
    with _associated(destination, [build_context(Verification)]) as (association, problem):
        if problem is not None or not association.is_established:
            raise PeerFailure(_failed("C-ECHO", destination, problem))
        status = association.send_c_echo().get("Status")
        if status != 0:
            raise PeerFailure(f"C-ECHO to {destination.name}: {_status_words(status)}.")


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
    with _associated(peer, [build_context(model)]) as (association, problem):
        if problem is not None or not association.is_established:
            raise PeerFailure(_failed("C-FIND", peer, problem))
        for answer, identifier in association.send_c_find(query, model):
            status = answer.get("Status")
            if status in _PENDING and identifier is not None:
                value = identifier.get("NumberOfStudyRelatedInstances")
                count = count if value is None else int(value)
            elif status != 0:
                raise PeerFailure(f"C-FIND to {peer.name}: {_status_words(status)}.")
    return count


def _parcel(path: Path) -> _Parcel:
    try:
        meta = read_file_meta_info(path)
        return _Parcel(
            path=path,
            sop_class_uid=str(meta.MediaStorageSOPClassUID),
            sop_instance_uid=str(meta.MediaStorageSOPInstanceUID),
            transfer_syntax_uid=str(meta.TransferSyntaxUID),
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


def _contexts(parcels: Sequence[_Parcel]) -> list[PresentationContext]:
    """One context per SOP class and transfer syntax, so that the peer answers for each (PS3.7 D.3.2)."""
    pairs: dict[tuple[str, str], None] = {}
    for parcel in parcels:
        pairs.update(dict.fromkeys(c for c in (parcel.context, parcel.default_context) if c is not None))
    return [build_context(sop_class, [syntax]) for sop_class, syntax in pairs]


@contextmanager
def _associated(
    destination: Destination, contexts: Sequence[PresentationContext]
) -> Iterator[tuple[Association, Ruling | None]]:
    """An association, and why it does not stand for everything that was to be sent; released at the end."""
    entity = AE(ae_title=destination.calling_ae_title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = destination.timeout_s
    entity.connection_timeout = destination.timeout_s
    association = entity.associate(
        destination.host,
        destination.port,
        contexts=list(contexts),
        ae_title=destination.ae_title,
        evt_handlers=[(evt.EVT_CONN_OPEN, _set_no_delay)],
    )
    try:
        problem = _problem(association)
        yield association, problem
    finally:
        if association.is_established:
            association.release()


def _set_no_delay(event: evt.Event) -> None:
    transport = event.assoc.dul.socket
    if transport is not None and transport.socket is not None:
        transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _problem(association: Association) -> Ruling | None:
    """Why the association does not stand; None where it does, or where only its contexts were rejected."""
    if association.is_established or association.rejected_contexts:
        return None
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        verdict = Verdict.REFUSED if answer.result == _REJECTED_PERMANENT else Verdict.FAILED
        return Ruling(verdict=verdict, meaning=f"the peer rejected the association: {answer.reason_str}")
    return Ruling(verdict=Verdict.FAILED, meaning="no association: the peer did not answer, or ended it")


def _store(parcel: _Parcel, association: Association) -> SendOutcome:
    """Send one instance over a standing association."""
    accepted = {(str(c.abstract_syntax), str(c.transfer_syntax[0])) for c in association.accepted_contexts}
    if parcel.context not in accepted and parcel.default_context not in accepted:
        return parcel.outcome(rule_context(_rejections(association).get(parcel.context, 0)))
    if not association.is_established:
        return parcel.outcome(Ruling(verdict=Verdict.FAILED, meaning="the association ended before this instance"))
    payload = parcel.path if parcel.context in accepted else _in_default_syntax(parcel.path)
    status = _status(association, payload)
    if status is None:
        return parcel.outcome(
            Ruling(verdict=Verdict.FAILED, meaning="the peer did not answer, or ended the association")
        )
    return parcel.outcome(rule_store(status), status)


def _status(association: Association, payload: Path | Dataset) -> int | None:
    """The peer's answer to a C-STORE; None where it gave none, or ended the association just before."""
    try:
        status = association.send_c_store(payload).get("Status")
    except RuntimeError:  # pynetdicom's word for an association that is no longer established
        return None
    return None if status is None else int(status)


def _rejections(association: Association) -> Mapping[tuple[str, str], int]:
    """Result of each rejected context, by SOP class and transfer syntax."""
    return {
        (str(c.abstract_syntax), str(c.transfer_syntax[0])): int(c.result or 0) for c in association.rejected_contexts
    }


def _in_default_syntax(path: Path) -> Dataset:
    dataset = dcmread(path)
    converted = Dataset()
    converted.update(dataset)
    converted.file_meta = dataset.file_meta
    converted.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return converted


def _failed(what: str, peer: Destination, problem: Ruling | None) -> str:
    return f"{what} to {peer.name}: {'the peer does not support it' if problem is None else problem.meaning}."


def _status_words(status: int | None) -> str:
    return "no answer" if status is None else f"status 0x{status:04X}"
