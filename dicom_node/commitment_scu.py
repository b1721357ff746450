"""Storage Commitment as a user and as a provider that calls back (PS3.4 J.3): associations that this node requests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from pynetdicom import build_context, build_role, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from dicom_node.commitment import (
    REQUEST_ACTION,
    CommitmentReport,
    CommitmentRequest,
    report_dataset,
    report_of,
    request_dataset,
)
from dicom_node.scu import Destination, associated, failed_words, status_words
from dicom_node.storage_classes import COMMITMENT_SOP_INSTANCE_UID
from inference.errors import Failure, PeerFailure, Refusal

WAIT_FOR_REPORT_S = 2.0
"""How long the association of a request stays open for its report; after that the peer calls us."""
_SUCCESS = 0x0000
_PROCESSING_FAILURE = 0x0110
_INVALID_ARGUMENT_VALUE = 0x0115


def request_commitment(
    peer: Destination, request: CommitmentRequest, take_report: Callable[[CommitmentReport], bool]
) -> None:
    """Ask a peer to answer for instances (N-ACTION).

    Args:
        peer: whom.
        request: what.
        take_report: is given the report, in another thread, if it comes on this association; False where it is not
            known. Later it comes on one that the peer requests of our receiver.

    Raises:
        PeerFailure: no connection, the association was rejected, or the peer did not take the request.
    """
    came = threading.Event()

    def on_report(event: Any) -> tuple[int, None]:
        try:
            is_known = take_report(report_of(event.event_information))
        except Refusal:
            return _INVALID_ARGUMENT_VALUE, None
        except Failure:
            return _PROCESSING_FAILURE, None
        came.set()
        return (_SUCCESS if is_known else _INVALID_ARGUMENT_VALUE), None

    handlers = [(evt.EVT_N_EVENT_REPORT, on_report)]
    contexts = [build_context(StorageCommitmentPushModel)]
    with associated(peer, contexts, handlers=handlers) as (association, problem):
        if problem is not None or not association.is_established:
            raise PeerFailure(failed_words("A request for storage commitment", peer, problem))
        _ask(association, peer, request)
        came.wait(WAIT_FOR_REPORT_S)


def _ask(association: Association, peer: Destination, request: CommitmentRequest) -> None:
    try:
        answer, _ = association.send_n_action(
            request_dataset(request), REQUEST_ACTION, StorageCommitmentPushModel, COMMITMENT_SOP_INSTANCE_UID
        )
    except (RuntimeError, ValueError) as error:  # ended just before, or the context was not accepted
        raise PeerFailure(f"A request for storage commitment to {peer.name}: the association ended.") from error
    if answer.get("Status") != _SUCCESS:
        raise PeerFailure(f"A request for storage commitment to {peer.name}: {status_words(answer.get('Status'))}.")


def report_commitment(peer: Destination, report: CommitmentReport) -> None:
    """Tell a peer what this node answers for (N-EVENT-REPORT), as the provider on an association of ours.

    Raises:
        PeerFailure: no connection, the association was rejected, or the peer did not take the report.
    """
    roles = [build_role(StorageCommitmentPushModel, scp_role=True)]
    contexts = [build_context(StorageCommitmentPushModel)]
    with associated(peer, contexts, roles=roles) as (association, problem):
        if problem is not None or not association.is_established:
            raise PeerFailure(failed_words("A report on storage commitment", peer, problem))
        try:
            answer, _ = association.send_n_event_report(
                report_dataset(report), report.event_type, StorageCommitmentPushModel, COMMITMENT_SOP_INSTANCE_UID
            )
        except (RuntimeError, ValueError) as error:  # ended just before, or the peer did not agree to the roles
            sentence = f"{peer.name} does not take reports on storage commitment (role selection)."
            raise PeerFailure(sentence) from error
        if answer.get("Status") != _SUCCESS:
            raise PeerFailure(f"A report on storage commitment to {peer.name}: {status_words(answer.get('Status'))}.")
