"""The receive log's records as bytes: read back whole, or not at all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dicom_node import log_record
from dicom_node.log_record import BLOCK_BYTES, NO_NONCE, Record, decode_record, encode_record
from dicom_node.store import Instance

NONCE = bytes(range(16))
uids = st.lists(st.integers(0, 10**12), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
records = st.builds(
    Record,
    instance=st.builds(
        Instance,
        sop_instance_uid=uids,
        study_instance_uid=uids,
        series_instance_uid=uids,
        sop_class_uid=uids,
        transfer_syntax_uid=uids,
        path=uids.map("received/aa/{}.dcm".format),
        size_bytes=st.integers(0, 2**32),
        sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
        received_at=st.floats(0, 4e9),
        source_ae_title=st.text(max_size=16),
        ours=st.booleans(),
    ),
    prefix_bytes=st.integers(0, 5000),
    is_void=st.booleans(),
)


@given(record=records)
def test_record_is_read_back(record: Record) -> None:
    block = encode_record(record, NONCE)
    assert len(block) == BLOCK_BYTES
    assert decode_record(block, NONCE) == record
    assert decode_record(block, bytes(16)) is decode_record(block, bytes(15) + b"\1") is None


@given(record=records, data=st.data())
def test_damaged_record_is_no_record(record: Record, data: st.DataObject) -> None:
    block = bytearray(encode_record(record, NONCE))
    used = len(bytes(block).rstrip(b"\0"))
    block[data.draw(st.integers(0, used - 1))] ^= data.draw(st.integers(1, 255))
    assert decode_record(bytes(block), NONCE) is None


@given(noise=st.binary(max_size=3 * BLOCK_BYTES))
def test_noise_holds_no_records(noise: bytes) -> None:
    assert log_record.decode_start(noise[:BLOCK_BYTES]) == NO_NONCE
    assert list(log_record.scan(memoryview(noise))) == []
