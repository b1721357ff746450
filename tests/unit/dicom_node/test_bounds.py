"""A few bytes do not become gigabytes: deflated data sets and compressed frames are bounded before they are decoded."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread, dcmwrite, uid
from pydicom.encaps import encapsulate, generate_frames

from builders.dicom import SeriesPlan, slice_dataset, small_voxels, write_series
from builders.receiving import association, running_node, store_file
from dicom_node.bounds import (
    FRAME_MAX_BYTES,
    INFLATED_FREE_BYTES,
    DecodedSizeError,
    InflationError,
    bounded,
    inflate,
    inflated_limit,
)
from dicom_node.codestream import CodedSize, coded_size
from dicom_node.reader import index_study, read_volume
from inference.errors import ReasonCode, SeriesRefusal

BOMB_BYTES = 3 * INFLATED_FREE_BYTES
COMPRESSED = (uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.RLELossless)


@contextmanager
def memory_below(most: int) -> Iterator[None]:
    """Python's allocations, numpy's among them, stay below so many bytes."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def raw_deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


@pytest.fixture(scope="module")
def bomb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MR instance of 0.2 MB whose deflated data set has 192 MiB of zeros."""
    dataset = slice_dataset(SeriesPlan(voxels=small_voxels(1)), 0)
    dataset.PixelData = bytes(BOMB_BYTES)
    dataset.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    path = tmp_path_factory.mktemp("bomb") / "bomb.dcm"
    dcmwrite(path, dataset, enforce_file_format=True)
    assert path.stat().st_size < 400_000
    return path


@given(st.binary(max_size=100_000), st.integers(0, 9))
def test_what_is_within_the_bounds_is_inflated_as_zlib_does(data: bytes, level: int) -> None:
    deflater = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    deflated = deflater.compress(data) + deflater.flush()
    assert inflate(deflated) == data
    assert inflate(deflated + b"\0") == data, "a data set is padded to an even length"


def test_a_stream_that_ends_early_is_no_data_set() -> None:
    deflated = raw_deflate(bytes(range(256)) * 100)
    with pytest.raises(zlib.error):
        inflate(deflated[:-3])


def test_a_bomb_is_refused_before_it_fills_the_memory() -> None:
    deflated = raw_deflate(bytes(BOMB_BYTES))
    with memory_below(INFLATED_FREE_BYTES * 3 // 2), pytest.raises(InflationError, match="larger than 67108864"):
        inflate(deflated)
    assert inflated_limit(10 << 20) == 1000 << 20
    assert inflated_limit(1 << 40) == 1 << 30


def test_pydicom_itself_is_bounded_wherever_it_is_called(bomb: Path) -> None:
    with pytest.raises(InflationError):
        dcmread(bomb)


def test_a_bomb_is_refused_at_the_door_by_name(bomb: Path, tmp_path: Path) -> None:
    syntax = str(uid.DeflatedExplicitVRLittleEndian)
    with running_node(tmp_path) as node:
        with association(node.port, [(str(uid.MRImageStorage), syntax)]) as peer:
            assert store_file(peer, bomb).Status == 0xC000
        (entry,) = node.quarantined()
        assert "becomes larger than 67108864 bytes" in entry["reason"]
        assert node.rows() == []


@pytest.mark.parametrize("syntax", COMPRESSED)
def test_a_frame_s_own_size_is_read_from_its_code_stream(syntax: uid.UID) -> None:
    dataset = slice_dataset(SeriesPlan(voxels=small_voxels(1, 48, 32)), 0)
    dataset.compress(syntax, generate_instance_uid=False)
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    if syntax != uid.RLELossless:
        assert coded_size(frame, syntax) == CodedSize(48, 32, 1)
    assert bounded(dataset) is dataset


@given(st.binary(max_size=300), st.sampled_from([str(s) for s in (*COMPRESSED, uid.JPEGBaseline8Bit)]))
def test_garbage_has_no_size(data: bytes, syntax: str) -> None:
    found = coded_size(data, syntax)
    assert found is None or isinstance(found, CodedSize)


def claims_to_be(dataset, rows: int, columns: int) -> None:
    """Let a JPEG 2000 code stream say another size."""
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    at = frame.index(b"\xff\x51") + 6
    dataset.PixelData = encapsulate([frame[:at] + struct.pack(">II", columns, rows) + frame[at + 8 :]])


def test_a_code_stream_that_asks_for_more_than_its_header_is_not_decoded(tmp_path: Path) -> None:
    (path,) = write_series(tmp_path, SeriesPlan(voxels=small_voxels(1, 48, 32)))
    dataset = dcmread(path)
    dataset.compress(uid.JPEG2000Lossless, generate_instance_uid=False)
    claims_to_be(dataset, 60_000, 60_000)
    dataset.save_as(path)

    with pytest.raises(DecodedSizeError, match="says 60000x60000 of 1 samples, the header 48x32"):
        bounded(dcmread(path))
    (series,) = index_study([path]).series
    with memory_below(50 << 20), pytest.raises(SeriesRefusal, match="DecodedSizeError") as refused:
        read_volume(series)
    assert refused.value.code is ReasonCode.PIXEL_DATA


def test_a_header_that_asks_for_more_than_is_decoded_is_refused(tmp_path: Path) -> None:
    dataset = slice_dataset(SeriesPlan(voxels=small_voxels(1, 48, 32)), 0)
    dataset.compress(uid.JPEG2000Lossless, generate_instance_uid=False)
    claims_to_be(dataset, 60_000, 60_000)
    dataset.Rows = dataset.Columns = 60_000
    with pytest.raises(DecodedSizeError, match="1 frames of 60000x60000"):
        bounded(dataset)
    assert FRAME_MAX_BYTES < 60_000 * 60_000 * 2
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = 4096, 4096, 1000
    with pytest.raises(DecodedSizeError, match="1000 frames"):
        bounded(dataset)


def test_a_series_that_says_it_is_huge_is_refused_before_room_is_made(tmp_path: Path) -> None:
    paths = write_series(tmp_path, SeriesPlan(voxels=small_voxels(3, 48, 32)))
    for path in paths:
        dataset = dcmread(path)
        dataset.compress(uid.JPEG2000Lossless, generate_instance_uid=False)
        dataset.Rows = dataset.Columns = 60_000
        dataset.save_as(path)
    (series,) = index_study(paths).series
    with memory_below(50 << 20), pytest.raises(SeriesRefusal, match="10800000000 voxels") as refused:
        read_volume(series)
    assert refused.value.code is ReasonCode.PIXEL_DATA
