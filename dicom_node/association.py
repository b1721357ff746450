"""One association from the first byte to the last, in one blocking thread: negotiate, serve, end.

What is served: C-STORE, C-ECHO, and Storage Commitment (dicom_node.commitment_scp).

Whatever ends an association (release, abort, silence, a broken protocol, our own stop), what was acknowledged stays,
and what was not is forgotten: the sender still has it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from pynetdicom.presentation import PresentationContext

from dicom_node.admission import Origin
from dicom_node.commitment import CommitmentReport
from dicom_node.commitment_scp import SILENCE_S, CommitmentService, NormalizedArrival, OwedReport
from dicom_node.dimse import MAX_COMMAND_BYTES, Command, CommandField, decode_command, encode_response
from dicom_node.inbox import Arrival, Inbox, StoreRequest
from dicom_node.limits import Guest, TooSlow
from dicom_node.negotiation import (
    LOCAL_LIMIT_EXCEEDED,
    AcceptedAssociation,
    AcceptedContext,
    AssociationPolicy,
    Rejection,
    negotiate,
)
from dicom_node.pdu import AbortReason, DataValue, PduStream, PduType, PeerGone, ProtocolFault, data_values
from dicom_node.storage_classes import VERIFICATION_SOP_CLASS_UID
from dicom_node.tls_socket import HandshakeFault, HandshakeReason
from dicom_node.verdicts import RESPONSES, Verdict
from dicom_node.witness import AssociationEvent, AssociationEventKind, Witness, nobody
from inference.errors import Failure

SUCCESS = 0x0000
SOP_CLASS_NOT_SUPPORTED = 0x0122
"""PS3.7 C.5.10."""
SHORTEST_WAIT_S = 0.1
"""For a request after a handshake that took all its time; a limit of 0 would be none."""
CLOSE_TIMEOUT_S = 2.0
"""How long the peer may take to close after our last unit; then we close."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationSetting:
    """What every association of a receiver shares."""

    policy: AssociationPolicy
    contexts: list[PresentationContext]
    inbox: Inbox
    is_stopping: Callable[[], bool]
    """Whether the receiver is about to stop: the current instance is finished, then the association aborted."""
    request_timeout_s: float
    """From connection to association request (ARTIM, PS3.8 9.1.5)."""
    network_timeout_s: float
    """Longest silence afterwards, and longest time for one unit."""
    commitment: CommitmentService | None = None
    """None: Storage Commitment is refused."""
    witness: Witness = nobody


@dataclass(slots=True, kw_only=True)
class _Transfer:
    """A request whose data set is arriving."""

    context_id: int
    command: Command
    arrival: Arrival | NormalizedArrival


@dataclass(slots=True, kw_only=True)
class Association:
    """The server's side of one association."""

    stream: PduStream
    setting: AssociationSetting
    has_place: bool
    """False: over the limit of associations; answered with a rejection."""
    guest: Guest
    """What its peer may take."""
    origin: Origin
    """Who is on the other side; before a handshake no more than an address."""
    greet: Callable[[float], Origin]
    """Begins TLS where the port has it, within so many seconds, and says who it is then."""
    current_study_uid: str | None = None
    """Study of the last instance that was stored on this association."""
    message_count: int = 0
    """C-STORE requests so far."""
    _agreed: AcceptedAssociation | None = None
    _command: bytearray = field(default_factory=bytearray)
    _transfer: _Transfer | None = None
    _owed: OwedReport | None = None
    """A report on a request of this association, which waits for the peer to be silent."""
    _reported: dict[int, tuple[int, CommitmentReport]] = field(default_factory=dict)
    """Reports that the peer has still to confirm, by Message ID: the request's number, and what was said."""
    _stored: Counter[str] = field(default_factory=Counter)
    """Acknowledged instances, by study."""

    @property
    def arriving_study_uid(self) -> str | None:
        """The study that an instance is arriving for right now, as far as can be known: that of the one before it."""
        return self.current_study_uid if self._transfer is not None else None

    @property
    def is_between_messages(self) -> bool:
        """Whether nothing is half received."""
        return self._transfer is None

    def run(self) -> None:
        """Serve until the association is over; the socket is closed when this returns."""
        name = threading.current_thread().name
        try:
            ending = self._serve() if self._negotiate() else "rejected"
        except ProtocolFault as fault:
            log.warning("association_fault", extra={"association": name, "fault": str(fault)})
            self.stream.abort(fault.reason)
            ending = "faulty"
        except HandshakeFault as fault:
            self._note_no_tls(fault.reason)
            ending = "without_tls"
        except PeerGone as gone:
            if gone.timed_out or self.setting.is_stopping():
                self.stream.abort(AbortReason.NOT_SPECIFIED)
            ending = self._ending(gone)
        finally:
            if self._transfer is not None:
                self._transfer.arrival.abandon()
            self._transfer = None
            self.stream.await_close(CLOSE_TIMEOUT_S)
            self.stream.close()
            self._tell_transfers()
        self.setting.inbox.metrics.count(f"associations_{ending}")
        level = logging.DEBUG if ending == "probed" else logging.INFO
        log.log(level, "association_ended", extra={"association": name, "ending": ending})

    def _ending(self, gone: PeerGone) -> str:
        """A connection without a byte is how a load balancer asks whether anybody listens."""
        if isinstance(gone, TooSlow):
            return "too_slow"
        if gone.timed_out:
            return "timed_out"
        return "broken" if self.stream.has_read else "probed"

    def _negotiate(self) -> bool:
        deadline = time.monotonic() + self.setting.request_timeout_s
        self.origin = self.greet(self.setting.request_timeout_s)
        self.stream.set_timeout(max(deadline - time.monotonic(), SHORTEST_WAIT_S))
        pdu_type, body = self.stream.read()
        if pdu_type is not PduType.ASSOCIATE_RQ:
            raise ProtocolFault(f"{pdu_type.name} before an association", AbortReason.UNEXPECTED_PDU)
        answer = negotiate(bytes(body), self.setting.policy, self.setting.contexts, self.origin)
        if not self.has_place:
            answer = LOCAL_LIMIT_EXCEEDED
        elif isinstance(answer, AcceptedAssociation):
            answer = self.guest.rejection(answer.calling_ae_title) or answer
        if isinstance(answer, Rejection):
            seen = {"reason": answer.word, "calling_ae_title": answer.calling_ae_title, "host": self.origin.address}
            log.warning("association_rejected", extra=seen)
            self.setting.inbox.metrics.count(f"associations_rejected_{answer.word}")
            self.stream.send(PduType.ASSOCIATE_RJ, answer.encode())
            if answer.is_of_trust:
                self._tell_refusal(answer.word, answer.calling_ae_title)
            return False
        self._agreed = answer
        self.stream.send(PduType.ASSOCIATE_AC, answer.response)
        self.stream.set_timeout(self.setting.network_timeout_s)
        self.setting.inbox.metrics.count("associations_accepted")
        return True

    def _serve(self) -> str:
        """Serve until the peer releases or aborts; how it ended."""
        while True:
            self._report_when_silent()
            pdu_type, body = self.stream.read()
            if (wait := self.guest.received(len(body))) > 0:
                time.sleep(wait)
            match pdu_type:
                case PduType.DATA:
                    for value in data_values(body):
                        self._take(value)
                case PduType.RELEASE_RQ:
                    self.stream.send(PduType.RELEASE_RP, bytes(4))
                    return "released"
                case PduType.ABORT:
                    return "aborted"
                case _:
                    raise ProtocolFault(f"{pdu_type.name} inside an association", AbortReason.UNEXPECTED_PDU)
            if self.setting.is_stopping() and self.is_between_messages:
                self.stream.abort(AbortReason.NOT_SPECIFIED)
                return "stopped"

    def _take(self, value: DataValue) -> None:
        if value.is_command:
            self._take_command(value)
            return
        transfer = self._transfer
        if transfer is None or value.context_id != transfer.context_id:
            raise ProtocolFault("a data set fragment without its command", AbortReason.UNEXPECTED_PDU)
        transfer.arrival.write(value.data)
        self.guest.sent(len(value.data))
        if value.is_last:
            self._finish(transfer)

    def _take_command(self, value: DataValue) -> None:
        if self._transfer is not None:
            raise ProtocolFault("a command inside a data set", AbortReason.UNEXPECTED_PDU)
        self._command += value.data
        if len(self._command) > MAX_COMMAND_BYTES:
            raise ProtocolFault("a command set without end", AbortReason.INVALID_PARAMETER_VALUE)
        if not value.is_last:
            return
        command = decode_command(bytes(self._command))
        self._command.clear()
        self.guest.ended_message()  # what follows it is timed by itself
        context = self._agreement.contexts.get(value.context_id)
        if context is None:
            sentence = f"presentation context {value.context_id} was not accepted"
            raise ProtocolFault(sentence, AbortReason.INVALID_PARAMETER_VALUE)
        self._begin(value.context_id, context, command)

    def _begin(self, context_id: int, context: AcceptedContext, command: Command) -> None:
        match command.field:
            case CommandField.C_ECHO_RQ if not command.has_data_set:
                is_verification = context.abstract_syntax_uid == VERIFICATION_SOP_CLASS_UID
                self._respond(context_id, command, SUCCESS if is_verification else SOP_CLASS_NOT_SUPPORTED)
                self.setting.inbox.metrics.count("echoes")
            case CommandField.C_STORE_RQ if command.has_data_set:
                request = StoreRequest(
                    sop_class_uid=command.sop_class_uid,
                    sop_instance_uid=command.sop_instance_uid,
                    transfer_syntax_uid=context.transfer_syntax_uid,
                    negotiated_sop_class_uid=context.abstract_syntax_uid,
                    calling_ae_title=self._agreement.calling_ae_title,
                )
                self.message_count += 1
                arrival = self.setting.inbox.begin(request)
                if self.guest.is_over_quota():
                    arrival.refuse(Verdict.OVER_QUOTA)
                self._transfer = _Transfer(context_id=context_id, command=command, arrival=arrival)
            case CommandField.C_STORE_RQ:
                response = RESPONSES[Verdict.NO_DATA_SET]
                self._respond(context_id, command, response.status, response.comment)
            case CommandField.N_ACTION_RQ | CommandField.N_EVENT_REPORT_RQ:
                self._begin_normalized(context_id, context, command)
            case CommandField.N_EVENT_REPORT_RSP:
                self._take_confirmation(command)
            case CommandField.C_CANCEL_RQ:
                return  # nothing that we do can be cancelled (PS3.7 9.3.2.3 is for queries)
            case _:
                raise ProtocolFault(f"{command.field.name} is no request", AbortReason.UNEXPECTED_PDU)

    def _begin_normalized(self, context_id: int, context: AcceptedContext, command: Command) -> None:
        arrival = NormalizedArrival(
            service=self.setting.commitment,
            command=command,
            context=context,
            calling_ae_title=self._agreement.calling_ae_title,
        )
        transfer = _Transfer(context_id=context_id, command=command, arrival=arrival)
        if command.has_data_set:
            self._transfer = transfer
        else:
            self._finish_normalized(transfer, arrival)

    def _finish(self, transfer: _Transfer) -> None:
        if isinstance(transfer.arrival, NormalizedArrival):
            self._finish_normalized(transfer, transfer.arrival)
            return
        verdict = transfer.arrival.finish()
        self.current_study_uid = transfer.arrival.study_instance_uid or self.current_study_uid
        self._transfer = None
        response = RESPONSES[verdict]
        if response.status == SUCCESS:
            self._note_stored(transfer.arrival.study_instance_uid)
        else:
            log.warning("instance_not_accepted", extra={"verdict": str(verdict), "status": f"{response.status:#06x}"})
        self._respond(transfer.context_id, transfer.command, response.status, response.comment)

    def _finish_normalized(self, transfer: _Transfer, arrival: NormalizedArrival) -> None:
        reply = arrival.reply()
        self._transfer = None
        name = transfer.command.field.name.lower()
        self.setting.inbox.metrics.count(f"{name}_{'taken' if reply.status == SUCCESS else 'refused'}")
        if reply.status != SUCCESS:
            log.warning("commitment_refused", extra={"reason": name, "status": f"{reply.status:#06x}"})
        self._respond(transfer.context_id, transfer.command, reply.status, reply.comment)
        if reply.number is not None:
            self._owed = OwedReport(number=reply.number, context_id=transfer.context_id, context=arrival.context)

    def _report_when_silent(self) -> None:
        """Give the report that is owed, if the peer waits for it here: else it is given on another association."""
        owed = self._owed
        if owed is None or self.setting.commitment is None or not self.stream.is_silent(SILENCE_S):
            return
        self._owed = None
        try:
            report = self.setting.commitment.report(owed.number)
        except Failure:
            return  # told later
        command, data = owed.message(report)
        most = self._agreement.peer_max_pdu_bytes
        self._reported[owed.message_id] = (owed.number, report)
        self.stream.send_data(owed.context_id, command, most)
        self.stream.send_data(owed.context_id, data, most, is_command=False)

    def _take_confirmation(self, command: Command) -> None:
        number, report = self._reported.pop(command.message_id, (None, None))
        if number is None or report is None or self.setting.commitment is None:
            raise ProtocolFault("a response to a report that was not given", AbortReason.UNEXPECTED_PDU)
        if command.status != SUCCESS:
            log.warning("commitment_report_refused", extra={"status": f"{command.status:#06x}"})
            return  # tried again on another association
        try:
            self.setting.commitment.told(number, report)
        except Failure as failure:
            log.warning("commitment_not_recorded", extra={"error": type(failure).__name__})

    def _note_stored(self, study_instance_uid: str | None) -> None:
        if study_instance_uid is None:
            return
        self._stored[study_instance_uid] += 1
        if self._stored[study_instance_uid] == 1:
            self._tell(AssociationEventKind.BEGUN, study_instance_uid=study_instance_uid)

    def _tell_transfers(self) -> None:
        for study_instance_uid, count in self._stored.items():
            self._tell(AssociationEventKind.TRANSFERRED, study_instance_uid=study_instance_uid, instances=count)

    def _note_no_tls(self, reason: HandshakeReason) -> None:
        is_knock = reason is HandshakeReason.PEER_LEFT
        log.log(
            logging.INFO if is_knock else logging.WARNING,
            "tls_handshake_failed",
            extra={"reason": reason.value, "host": self.origin.address},
        )
        self.setting.inbox.metrics.count(f"tls_handshakes_failed_{reason}")
        if not is_knock:
            self._tell_refusal(reason.value)

    def _tell_refusal(self, word: str, calling_ae_title: str = "") -> None:
        refused = AssociationEventKind.REFUSED
        told = AssociationEvent(kind=refused, origin=self.origin, reason=word, calling_ae_title=calling_ae_title)
        self.setting.witness(told)

    def _tell(self, kind: AssociationEventKind, *, study_instance_uid: str, instances: int = 0) -> None:
        agreed = self._agreement
        told = AssociationEvent(
            kind=kind,
            origin=self.origin,
            calling_ae_title=agreed.calling_ae_title,
            user=agreed.user,
            study_instance_uid=study_instance_uid,
            instances=instances,
        )
        self.setting.witness(told)

    def _respond(self, context_id: int, command: Command, status: int, comment: str = "") -> None:
        self.guest.ended_message()
        encoded = encode_response(command, status, comment)
        self.stream.send_data(context_id, encoded, self._agreement.peer_max_pdu_bytes)

    @property
    def _agreement(self) -> AcceptedAssociation:
        assert self._agreed is not None, "data is served after negotiation only"  # noqa: S101 - states the invariant
        return self._agreed
