"""Whether an association is accepted, and with which presentation contexts (PS3.8 9.3, PS3.7 Annex D).

The codec of the association units and the choice of a transfer syntax are pynetdicom's; this module adds the policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.presentation import PresentationContext, build_context, negotiate_as_acceptor

from dicom_node.admission import Admitted, CheckUser, Origin, PeerRules, UserIdentity, admit, no_rules
from dicom_node.file_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_node.pdu import HEADER_BYTES, AbortReason, PduType, ProtocolFault
from dicom_node.storage_classes import COMMITMENT_SOP_CLASS_UID, STORAGE_CLASSES, VERIFICATION_SOP_CLASS_UID

APPLICATION_CONTEXT_NAME = "1.2.840.10008.3.1.1.1"
"""DICOM Application Context (PS3.7 A.2.1)."""
PROTOCOL_VERSION_BIT = 0x0001
"""Bit 0 is version 1; the other bits are not tested (PS3.8 Table 9-11)."""
ACCEPTED = 0
"""Result of a presentation context (PS3.8 Table 9-18)."""


_TRUST_DIAGNOSTICS = frozenset({1, 3, 7})
"""No reason given, calling and called AE title not recognized, of the service user (PS3.8 Table 9-21)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """The three values of an A-ASSOCIATE-RJ (PS3.8 Table 9-21), and what they mean."""

    result: int
    source: int
    diagnostic: int
    word: str
    """For the log, the metrics and the audit trail."""
    calling_ae_title: str = ""
    """Of the request, where it was read."""

    @property
    def is_of_trust(self) -> bool:
        """Whether the peer is not one of those that may associate."""
        return (self.result, self.source) == (1, 1) and self.diagnostic in _TRUST_DIAGNOSTICS

    def encode(self) -> bytes:
        """The body of the unit."""
        return bytes((0, self.result, self.source, self.diagnostic))


APPLICATION_CONTEXT_NOT_SUPPORTED = Rejection(result=1, source=1, diagnostic=2, word="application_context")
CALLING_AE_TITLE_NOT_RECOGNIZED = Rejection(result=1, source=1, diagnostic=3, word="calling_ae_title")
CALLED_AE_TITLE_NOT_RECOGNIZED = Rejection(result=1, source=1, diagnostic=7, word="called_ae_title")
PROTOCOL_VERSION_NOT_SUPPORTED = Rejection(result=1, source=2, diagnostic=2, word="protocol_version")
NO_REASON_GIVEN = Rejection(result=1, source=1, diagnostic=1, word="no_reason_given")
"""What a peer is told whose address, certificate or user is not let in: which one it was would help a stranger."""
LOCAL_LIMIT_EXCEEDED = Rejection(result=2, source=3, diagnostic=2, word="local_limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationPolicy:
    """Who may associate."""

    ae_title: str
    """Ours; the called AE title must be this one."""
    calling_ae_titles: frozenset[str]
    """Who may call; empty: anybody."""
    max_pdu_bytes: int
    """Maximum Length Received that we announce."""
    peers: PeerRules = no_rules
    check_user: CheckUser | None = None
    """None: what a request says about its user is ignored (PS3.7 D.3.3.7)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedContext:
    """One accepted presentation context."""

    abstract_syntax_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedAssociation:
    """What was agreed."""

    calling_ae_title: str
    contexts: Mapping[int, AcceptedContext]
    peer_max_pdu_bytes: int
    """Maximum Length Received of the peer; 0: no limit."""
    response: bytes
    """Body of the A-ASSOCIATE-AC."""
    peer_name: str = ""
    """Of the rule that let it in."""
    user: str = ""
    """Who proved to be its user."""


def supported_contexts() -> list[PresentationContext]:
    """A presentation context for each accepted SOP class, verification and storage commitment.

    An archive that tells us what it commits to is the provider on an association that it requests itself; it says so by
    role selection (PS3.4 J.3.3, PS3.7 D.3.3.4).
    """
    contexts = [build_context(entry.uid, list(entry.transfer_syntaxes)) for entry in STORAGE_CLASSES.values()]
    services = [
        build_context(uid, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
        for uid in (VERIFICATION_SOP_CLASS_UID, COMMITMENT_SOP_CLASS_UID)
    ]
    services[-1].scu_role = services[-1].scp_role = True
    return [*contexts, *services]


def negotiate(
    body: bytes, policy: AssociationPolicy, contexts: list[PresentationContext], origin: Origin
) -> AcceptedAssociation | Rejection:
    """Decide about an association request.

    Args:
        body: body of the A-ASSOCIATE-RQ.
        policy: who may associate.
        contexts: from `supported_contexts`.
        origin: from where it comes.

    Raises:
        ProtocolFault: the request cannot be read.
    """
    version, request = _decode(body)
    calling_ae_title = request.calling_ae_title.strip()
    answer = _rejection(version, request, policy) or _admission(calling_ae_title, request, policy, origin)
    if isinstance(answer, Rejection):
        return replace(answer, calling_ae_title=calling_ae_title)
    answered, roles = negotiate_as_acceptor(
        request.presentation_context_definition_list, contexts, _proposed_roles(request)
    )
    agreed = {
        int(context.context_id or 0): AcceptedContext(
            abstract_syntax_uid=str(context.abstract_syntax), transfer_syntax_uid=str(context.transfer_syntax[0])
        )
        for context in answered
        if context.result == ACCEPTED
    }
    return AcceptedAssociation(
        calling_ae_title=calling_ae_title,
        contexts=agreed,
        peer_max_pdu_bytes=_peer_max_pdu_bytes(request),
        response=_encode_acceptance(request, answered, policy, roles, confirms_user=answer.confirms_user),
        peer_name=answer.peer_name,
        user=answer.user,
    )


def own_user_information(max_pdu_bytes: int) -> list[Any]:
    """What we say about ourselves in a request and in an acceptance (PS3.7 D.3.3.1 and D.3.3.2)."""
    length = MaximumLengthNotification()
    length.maximum_length_received = max_pdu_bytes
    class_uid = ImplementationClassUIDNotification()
    class_uid.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    version_name = ImplementationVersionNameNotification()
    version_name.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    return [length, class_uid, version_name]


def _decode(body: bytes) -> tuple[int, A_ASSOCIATE]:
    unit = A_ASSOCIATE_RQ()
    whole = bytes((PduType.ASSOCIATE_RQ, 0)) + len(body).to_bytes(4, "big") + body
    try:
        unit.decode(whole)
        return unit.protocol_version, unit.to_primitive()
    except Exception as error:  # pynetdicom's parsers raise whatever the bytes make them raise
        sentence = f"the association request cannot be read ({type(error).__name__})"
        raise ProtocolFault(sentence, AbortReason.INVALID_PARAMETER_VALUE) from error


def _rejection(version: int, request: A_ASSOCIATE, policy: AssociationPolicy) -> Rejection | None:
    if not version & PROTOCOL_VERSION_BIT:
        return PROTOCOL_VERSION_NOT_SUPPORTED
    if request.application_context_name != APPLICATION_CONTEXT_NAME:
        return APPLICATION_CONTEXT_NOT_SUPPORTED
    if request.called_ae_title.strip() != policy.ae_title:
        return CALLED_AE_TITLE_NOT_RECOGNIZED
    if policy.calling_ae_titles and request.calling_ae_title.strip() not in policy.calling_ae_titles:
        return CALLING_AE_TITLE_NOT_RECOGNIZED
    return None


def _admission(
    calling_ae_title: str, request: A_ASSOCIATE, policy: AssociationPolicy, origin: Origin
) -> Admitted | Rejection:
    found = admit(calling_ae_title, origin, _identity(request), rules=policy.peers(), check_user=policy.check_user)
    if isinstance(found, Admitted):
        return found
    told = CALLING_AE_TITLE_NOT_RECOGNIZED if found == CALLING_AE_TITLE_NOT_RECOGNIZED.word else NO_REASON_GIVEN
    return replace(told, word=found)


def _identity(request: A_ASSOCIATE) -> UserIdentity | None:
    for item in request.user_information:
        if isinstance(item, UserIdentityNegotiation):
            return UserIdentity(
                type=int(item.user_identity_type or 0),
                primary=item.primary_field or b"",
                secondary=item.secondary_field or b"",
                wants_response=bool(item.positive_response_requested),
            )
    return None


def _peer_max_pdu_bytes(request: A_ASSOCIATE) -> int:
    for item in request.user_information:
        if isinstance(item, MaximumLengthNotification):
            return int(item.maximum_length_received or 0)
    return 0


def _proposed_roles(request: A_ASSOCIATE) -> dict[UID, tuple[bool | None, bool | None]]:
    """Of each SOP class that role selection names, whether the requestor proposes to be SCU, and SCP."""
    items = (item for item in request.user_information if isinstance(item, SCP_SCU_RoleSelectionNegotiation))
    return {UID(str(item.sop_class_uid)): (bool(item.scu_role), bool(item.scp_role)) for item in items}


def _encode_acceptance(
    request: A_ASSOCIATE,
    answered: list[PresentationContext],
    policy: AssociationPolicy,
    roles: list[SCP_SCU_RoleSelectionNegotiation],
    *,
    confirms_user: bool,
) -> bytes:
    acceptance = A_ASSOCIATE()
    acceptance.application_context_name = UID(APPLICATION_CONTEXT_NAME)
    acceptance.calling_ae_title = request.calling_ae_title
    acceptance.called_ae_title = request.called_ae_title
    acceptance.result, acceptance.result_source = 0x00, 0x01
    acceptance.presentation_context_definition_results_list = answered
    acceptance.user_information = [*own_user_information(policy.max_pdu_bytes), *roles]
    if confirms_user:
        confirmation = UserIdentityNegotiation()
        confirmation.server_response = b""  # nothing to say to a name and a passcode (PS3.7 Table D.3-15)
        acceptance.user_information.append(confirmation)
    unit = A_ASSOCIATE_AC()
    unit.from_primitive(acceptance)
    return unit.encode()[HEADER_BYTES:]
