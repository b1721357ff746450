"""Association requests and answers against pynetdicom's, both ways, cut short and flipped."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, UserIdentityNegotiation
from pynetdicom.presentation import PresentationContext, build_context

from builders.fragments import encoded_unit, units_in
from builders.receiving import association_request_of
from dicom_node import requestor
from dicom_node.admission import Origin
from dicom_node.negotiation import (
    APPLICATION_CONTEXT_NAME,
    AcceptedAssociation,
    AssociationPolicy,
    Rejection,
    negotiate,
    own_user_information,
    supported_contexts,
)
from dicom_node.pdu import HEADER_BYTES, PduType, PeerGone, ProtocolFault
from dicom_node.peer_answer import Rejection as PeerRejection
from dicom_node.requestor import Context, Rejected
from dicom_node.storage_classes import VERIFICATION_SOP_CLASS_UID

STORE, UNKNOWN = str(MRImageStorage), "1.2.3"
SYNTAXES = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
OURS = [build_context(uid, list(SYNTAXES)) for uid in (STORE, VERIFICATION_SOP_CLASS_UID)]
POLICY = AssociationPolicy(ae_title="SPINEAI", calling_ae_titles=frozenset(), max_pdu_bytes=1 << 14)
LOOPBACK = Origin(address="127.0.0.1")

AE_TITLES = st.from_regex(r"\A[A-Z0-9_]{1,16}\Z")
LENGTHS = st.integers(0, 0xFFFFFFFF)
PROPOSALS = st.lists(
    st.tuples(
        st.sampled_from([STORE, VERIFICATION_SOP_CLASS_UID, UNKNOWN]),
        st.lists(st.sampled_from([*SYNTAXES, "1.2.4"]), min_size=1, max_size=3, unique=True),
    ),
    min_size=1,
    max_size=20,
)
WORDS = st.text("abcé", min_size=1, max_size=9)


def _identity(name: str, passcode: str) -> UserIdentityNegotiation:
    identity = UserIdentityNegotiation()
    identity.user_identity_type, identity.positive_response_requested = 2, True
    identity.primary_field, identity.secondary_field = name.encode(), passcode.encode()
    return identity


def _read_request(body: bytes) -> A_ASSOCIATE:
    unit = A_ASSOCIATE_RQ()
    unit.decode(encoded_unit((PduType.ASSOCIATE_RQ, body)))
    return unit.to_primitive()


def _read_acceptance(body: bytes) -> A_ASSOCIATE:
    unit = A_ASSOCIATE_AC()
    unit.decode(encoded_unit((PduType.ASSOCIATE_AC, body)))
    return unit.to_primitive()


@given(AE_TITLES, PROPOSALS, LENGTHS, WORDS, WORDS, st.lists(st.integers(1, 90), max_size=40))
def test_their_request_is_read_and_our_answer_is_read_by_them(calling, proposed, length, name, passcode, lengths):
    asked = []
    policy = AssociationPolicy(
        ae_title="SPINEAI",
        calling_ae_titles=frozenset(),
        max_pdu_bytes=1 << 14,
        check_user=lambda *user: asked.append(user) is None,
    )
    contexts = [build_context(uid, syntaxes) for uid, syntaxes in proposed]
    encoded = association_request_of(contexts, calling=calling, max_pdu=length, user=_identity(name, passcode))
    ((kind, body),), _ = units_in(encoded, lengths)
    answer = negotiate(body, policy, OURS, LOOPBACK)
    assert kind == PduType.ASSOCIATE_RQ
    assert isinstance(answer, AcceptedAssociation)
    assert (answer.calling_ae_title, answer.peer_max_pdu_bytes) == (calling, length)
    assert (answer.user, asked) == (name, [(name, passcode, "127.0.0.1")])
    expected = {
        2 * index + 1: (uid, next(syntax for syntax in syntaxes if syntax in SYNTAXES))
        for index, (uid, syntaxes) in enumerate(proposed)
        if uid != UNKNOWN and set(syntaxes) & set(SYNTAXES)
    }
    agreed = {number: (c.abstract_syntax_uid, c.transfer_syntax_uid) for number, c in answer.contexts.items()}
    assert {number: uid for number, (uid, _) in agreed.items()} == {n: uid for n, (uid, _) in expected.items()}
    read = _read_acceptance(answer.response)
    results = read.presentation_context_definition_results_list
    assert [c.context_id for c in results] == [2 * index + 1 for index in range(len(proposed))]
    taken = {c.context_id: str(c.transfer_syntax[0]) for c in results if c.result == 0}
    assert taken == {number: syntax for number, (_, syntax) in agreed.items()}
    assert all(taken[number] in proposed[number // 2][1] for number in taken)
    assert read.maximum_length_received == policy.max_pdu_bytes


@given(
    st.lists(st.tuples(st.sampled_from([STORE, UNKNOWN]), st.sampled_from(SYNTAXES)), min_size=1, unique=True),
    AE_TITLES,
    LENGTHS,
)
def test_our_request_is_read_by_them_and_their_answer_by_us(proposed, calling, length):
    contexts = {context: 2 * index + 1 for index, context in enumerate(proposed)}
    body = requestor._encode_request(contexts, calling, "PEER")
    request = _read_request(body)
    read = request.presentation_context_definition_list
    assert [(str(c.abstract_syntax), str(c.transfer_syntax[0]), c.context_id) for c in read] == [
        (*context, number) for context, number in contexts.items()
    ]
    assert (request.calling_ae_title.strip(), request.called_ae_title.strip()) == (calling, "PEER")

    answer = requestor._decode_answer(PduType.ASSOCIATE_AC, memoryview(_acceptance(read, length)))
    assert answer.maximum_length_received == length
    assert requestor._results(contexts, answer) == {context: 0 if context[0] == STORE else 3 for context in contexts}


def _acceptance(proposed: Sequence[PresentationContext], length: int) -> bytes:
    """Of a peer that takes MR images only (PS3.8 Table 9-18: 3 is abstract syntax not supported)."""
    for context in proposed:
        context.result = 0 if context.abstract_syntax == STORE else 3
    acceptance = A_ASSOCIATE()
    acceptance.application_context_name = UID(APPLICATION_CONTEXT_NAME)
    acceptance.calling_ae_title, acceptance.called_ae_title = "SPINEAI", "PEER"
    acceptance.result, acceptance.result_source = 0, 1
    acceptance.presentation_context_definition_results_list = list(proposed)
    acceptance.user_information = own_user_information(length)
    unit = A_ASSOCIATE_AC()
    unit.from_primitive(acceptance)
    return unit.encode()[HEADER_BYTES:]


@pytest.mark.parametrize(
    ("result", "source", "reason"),
    [(1, 1, 1), (1, 1, 2), (1, 1, 3), (1, 1, 7), (1, 2, 1), (1, 2, 2), (2, 3, 1), (2, 3, 2)],
)
def test_rejections_are_read_both_ways(result, source, reason):
    ours = Rejection(result=result, source=source, diagnostic=reason, word="").encode()
    unit = A_ASSOCIATE_RJ()
    unit.decode(encoded_unit((PduType.ASSOCIATE_RJ, ours)))
    assert (unit.result, unit.source, unit.reason_diagnostic) == (result, source, reason)
    with pytest.raises(Rejected) as caught:
        requestor._decode_answer(PduType.ASSOCIATE_RJ, memoryview(unit.encode()[HEADER_BYTES:]))
    assert caught.value.rejection == PeerRejection(result=result, source=source, reason=reason)


REQUEST = association_request_of(
    [build_context(STORE, list(SYNTAXES)), build_context(VERIFICATION_SOP_CLASS_UID, list(SYNTAXES))],
    user=_identity("somebody", "passcode"),
)[HEADER_BYTES:]
PROPOSED: dict[Context, int] = {(STORE, SYNTAXES[0]): 1, (VERIFICATION_SOP_CLASS_UID, SYNTAXES[0]): 3}
ANSWER = _acceptance(
    _read_request(requestor._encode_request(PROPOSED, "SPINEAI", "PEER")).presentation_context_definition_list, 1 << 14
)


@given(st.data())
def test_a_broken_request_is_a_fault_or_another_request(data):
    with contextlib.suppress(ProtocolFault):
        assert isinstance(
            negotiate(_broken(REQUEST, data), POLICY, supported_contexts(), LOOPBACK),
            (AcceptedAssociation, Rejection),
        )


@given(st.data(), st.sampled_from([PduType.ASSOCIATE_AC, PduType.ASSOCIATE_RJ, PduType.RELEASE_RP, PduType.ABORT]))
def test_a_broken_answer_is_a_fault_or_another_answer(data, kind):
    with contextlib.suppress(ProtocolFault, PeerGone, Rejected):
        answer = requestor._decode_answer(kind, memoryview(_broken(ANSWER, data)))
        assert set(requestor._results(PROPOSED, answer)) == set(PROPOSED)
        assert (answer.maximum_length_received or 0) >= 0


def _broken(whole: bytes, data: st.DataObject) -> bytes:
    """Cut, with bytes flipped, or with another length somewhere."""
    broken = bytearray(whole[: data.draw(st.sampled_from([len(whole), data.draw(st.integers(0, len(whole)))]))])
    for place in data.draw(st.lists(st.integers(0, len(broken) - 1), max_size=4)) if broken else ():
        broken[place] ^= data.draw(st.integers(1, 255))
    if len(broken) > 1 and data.draw(st.booleans()):
        struct.pack_into(">H", broken, data.draw(st.integers(0, len(broken) - 2)), data.draw(st.integers(0, 0xFFFF)))
    return bytes(broken)
