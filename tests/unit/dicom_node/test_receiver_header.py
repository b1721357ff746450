"""The header reader says what pydicom says, in every encoding, and nothing but a HeaderFault for noise."""

from __future__ import annotations

import zlib
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from dicom_node.header import HeaderEnds, HeaderFault, InstanceHeader, is_uid, read_header

SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
]


def encode(dataset: Dataset, syntax: str) -> bytes:
    stream = DicomBytesIO()
    stream.is_little_endian = syntax != ExplicitVRBigEndian
    stream.is_implicit_VR = syntax == ImplicitVRLittleEndian
    write_dataset(stream, dataset)
    data = stream.getvalue()
    if syntax == DeflatedExplicitVRLittleEndian:
        compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = compressor.compress(data) + compressor.flush()
    return data


def example(*, undefined_length: bool = False, private_bytes: int = 0) -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    dataset.SOPInstanceUID = "1.2.3.45"
    dataset.Manufacturer = "Somebody"
    inner = Dataset()
    inner.ReferencedSOPClassUID, inner.ReferencedSOPInstanceUID = "1.2.3", "1.2.4"
    outer = Dataset()
    outer.ReferencedSeriesSequence = Sequence([inner, Dataset(), inner])
    dataset.ReferencedStudySequence = Sequence([outer, outer])
    dataset.PatientName = "山田^太郎"
    if private_bytes:
        dataset.private_block(0x0019, "SPINE TEST", create=True).add_new(0x01, "OB", bytes(private_bytes))
    dataset.StudyInstanceUID = "1.2.3"
    dataset.SeriesInstanceUID = "1.2.3.4"
    dataset.Rows = 7
    dataset.add_new(0x7FE00010, "OW", bytes(64))
    if undefined_length:
        for element in dataset.iterall():
            if element.VR == "SQ":
                element.is_undefined_length = True
                for item in element.value:
                    item.is_undefined_length_sequence_item = True
    return dataset


EXPECTED = InstanceHeader(
    sop_class_uid="1.2.840.10008.5.1.4.1.1.4",
    sop_instance_uid="1.2.3.45",
    study_instance_uid="1.2.3",
    series_instance_uid="1.2.3.4",
    manufacturer="Somebody",
)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("lengths", ["defined", "undefined"])
@pytest.mark.parametrize("offset", [0, 340])
def test_header_is_read_in_every_encoding(syntax: str, lengths: str, offset: int) -> None:
    data = bytes(offset) + encode(example(undefined_length=lengths == "undefined"), syntax)
    assert read_header(data, syntax, offset=offset) == EXPECTED


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_huge_private_element_in_front_is_passed_over(syntax: str) -> None:
    assert read_header(encode(example(private_bytes=20_000_000), syntax), syntax) == EXPECTED


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_begin_of_a_data_set_tells_the_same_or_that_it_is_too_short(syntax: str) -> None:
    data = encode(example(undefined_length=True), syntax)
    told = 0
    for length in range(1, len(data) + 1):
        try:
            assert read_header(data[:length], syntax, is_whole=False) == EXPECTED
            told += 1
        except HeaderEnds:
            assert told == 0, "a longer begin tells no less"
    assert bool(told) == (syntax != DeflatedExplicitVRLittleEndian)


def test_unknown_vr_of_undefined_length_holds_an_implicit_sequence() -> None:
    """PS3.5 6.2.2 note 2; seen from archives that convert private implicit sequences."""
    item = encode(example(), ImplicitVRLittleEndian)[:60]
    unknown = b"\x09\0\x10\x10UN\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0" + len(item).to_bytes(4, "little") + item
    unknown += b"\xfe\xff\xdd\xe0\0\0\0\0"
    before = Dataset()
    before.SOPClassUID, before.SOPInstanceUID, before.Manufacturer = EXPECTED.sop_class_uid, "1.2.3.45", "Somebody"
    after = Dataset()
    after.StudyInstanceUID, after.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    data = encode(before, ExplicitVRLittleEndian) + unknown + encode(after, ExplicitVRLittleEndian)
    assert read_header(data, ExplicitVRLittleEndian) == EXPECTED


def test_missing_elements_are_empty() -> None:
    dataset = Dataset()
    dataset.Rows = 3
    header = read_header(encode(dataset, ExplicitVRLittleEndian), ExplicitVRLittleEndian)
    assert header == InstanceHeader(
        sop_class_uid="", sop_instance_uid="", study_instance_uid="", series_instance_uid="", manufacturer=""
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"\x08\0\x16\0UI", "ends inside an element"),
        (b"\x08\0\x16\0UI\x40\0" + b"1.2", "says 64 bytes, 3 are left"),
        (b"\x08\0\x16\0ui\x04\0" + b"1.2\0", "no value representation"),
        (b"\x08\0\x10\x11SQ\0\0\xff\xff\xff\xff\x08\0\x18\0UI\x04\x001.2\0", "where a sequence item must begin"),
        (b"\x08\0\x10\x11SQ\0\0\xff\xff\xff\xff", "ends inside an element"),
        ((b"\x08\0\x10\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\xff\xff\xff\xff") * 100, "nest deeper"),
    ],
)
def test_fault_says_what_is_wrong(data: bytes, words: str) -> None:
    with pytest.raises(HeaderFault, match=words):
        read_header(data, ExplicitVRLittleEndian)


def test_what_is_not_deflated_is_refused() -> None:
    with pytest.raises(HeaderFault, match="deflate"):
        read_header(b"\xff\xff\xff\xff", DeflatedExplicitVRLittleEndian)


def test_deflate_bomb_is_not_inflated_whole() -> None:
    """A hundred megabytes of zeros in a hundred kilobytes: the first element ends the reading."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    bomb = b"".join(compressor.compress(bytes(1 << 24)) for _ in range(6)) + compressor.flush()
    with pytest.raises(HeaderFault, match="no value representation"):
        read_header(bomb, DeflatedExplicitVRLittleEndian)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_noise_never_gives_anything_but_a_header_or_a_fault(data: st.DataObject) -> None:
    syntax = data.draw(st.sampled_from(SYNTAXES))
    encoded = bytearray(encode(example(undefined_length=data.draw(st.booleans())), syntax))
    for _ in range(data.draw(st.integers(0, 8))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(encoded)))
    try:
        header: Any = read_header(bytes(encoded[:cut]), syntax)
    except HeaderFault:
        return
    assert isinstance(header, InstanceHeader)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(SYNTAXES))
def test_random_bytes_never_raise_anything_else(noise: bytes, syntax: str) -> None:
    try:
        read_header(noise, syntax)
    except HeaderFault:
        return


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1.2.840.10008.1.1", True),
        ("2.25." + "9" * 39, True),
        ("1.02.3", True),
        ("1" * 64, True),
        ("1" * 65, False),
        ("", False),
        ("1..2", False),
        (".1", False),
        ("1.", False),
        ("1.2/../3", False),
        ("1.2\n", False),
        ("１.2", False),
        ("a.b", False),
    ],
)
def test_is_uid(value: str, expected: object) -> None:
    assert is_uid(value) is expected


def test_example_is_what_pydicom_writes_and_reads() -> None:
    data = encode(example(), ExplicitVRLittleEndian)
    again = read_dataset(BytesIO(data), is_implicit_VR=False, is_little_endian=True)
    assert (again.SOPInstanceUID, again.StudyInstanceUID) == (EXPECTED.sop_instance_uid, EXPECTED.study_instance_uid)
