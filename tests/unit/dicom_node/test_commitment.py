"""The data sets of Storage Commitment, and their rows on both databases."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_node.commitment import (
    CommitmentReport,
    CommitmentRequest,
    FailedItem,
    Item,
    encode_dataset,
    read_report,
    read_request,
    report_dataset,
    request_dataset,
)
from inference.errors import Refusal

UIDS = st.integers(1, 10**20).map(lambda number: f"1.2.{number}")
ITEMS = st.builds(Item, UIDS, UIDS)


def test_the_data_sets_are_the_standard_s_byte_for_byte() -> None:
    request = CommitmentRequest(transaction_uid="2.25.7", items=(Item("1.2", "1.3"), Item("1.2", "1.4.5")))
    reference = bytes.fromhex
    one = reference("08005011 04000000 312e3200 08005511 04000000 312e3300".replace(" ", ""))
    two = reference("08005011 04000000 312e3200 08005511 06000000 312e342e3500".replace(" ", ""))
    uid = reference("08009511 06000000 322e32352e37".replace(" ", ""))

    def item(body: bytes) -> bytes:
        return reference("feff00e0") + len(body).to_bytes(4, "little") + body

    def sequence(tag: str, body: bytes) -> bytes:
        return reference(tag) + len(body).to_bytes(4, "little") + body

    both = sequence("08009911", item(one) + item(two))
    assert encode_dataset(request_dataset(request), ImplicitVRLittleEndian) == uid + both

    report = CommitmentReport(
        transaction_uid="2.25.7", committed=request.items[:1], failed=(FailedItem(request.items[1], 0x0112),)
    )
    # Failure Reason (0008,1197) US stands behind the reference (0008,1155), in a Failed SOP Sequence (0008,1198).
    failed = sequence("08009811", item(two + reference("08009711 02000000 1201".replace(" ", ""))))
    encoded = encode_dataset(report_dataset(report), ImplicitVRLittleEndian)
    assert encoded == uid + failed + sequence("08009911", item(one))
    assert read_report(encoded, ImplicitVRLittleEndian) == report


@pytest.mark.parametrize("damage", [b"", b"\x08\x00", b"\xff" * 64, bytes(200)])
def test_garbage_is_refused_in_a_sentence(damage: bytes) -> None:
    with pytest.raises(Refusal):
        read_request(damage, ExplicitVRLittleEndian)


@given(
    st.lists(ITEMS, max_size=5),
    st.lists(st.builds(FailedItem, ITEMS, st.integers(1, 0xFFFF)), max_size=5),
    st.sampled_from([str(ImplicitVRLittleEndian), str(ExplicitVRLittleEndian)]),
)
def test_what_is_written_is_read(committed: list[Item], failed: list[FailedItem], syntax: str) -> None:
    report = CommitmentReport(transaction_uid="2.25.1", committed=tuple(committed), failed=tuple(failed))
    assert read_report(encode_dataset(report_dataset(report), syntax), syntax) == report
    assert report.event_type == (2 if failed else 1)
    request = CommitmentRequest(transaction_uid="2.25.1", items=tuple(committed))
    if committed:
        assert read_request(encode_dataset(request_dataset(request), syntax), syntax) == request


@given(st.binary(max_size=400), st.sampled_from([str(ImplicitVRLittleEndian), str(ExplicitVRLittleEndian)]))
@pytest.mark.filterwarnings("ignore")
def test_any_bytes_are_a_request_or_are_refused(data: bytes, syntax: str) -> None:
    for read in (read_request, read_report):
        with contextlib.suppress(Refusal):
            assert read(data, syntax).transaction_uid
