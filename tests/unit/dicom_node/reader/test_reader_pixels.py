"""Stored bits to modality values, in every encoding that is accepted."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread, uid
from pydicom.encaps import encapsulate

from builders.dicom import AXIAL, SeriesPlan, slice_dataset, small_voxels
from dicom_node.reader import index_study, read_volume
from dicom_node.reader.pixels import stored_bits
from dicom_node.storage_classes import ACCEPTED_TRANSFER_SYNTAXES
from inference.errors import ReasonCode, SeriesRefusal

CODE_STREAMS = Path(__file__).parent / "data"


def plan(voxels, **keywords) -> SeriesPlan:
    return SeriesPlan(voxels=voxels, step_mm=(-4.0, 0.0, 0.0), **keywords)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
def test_values_are_read_exactly(indexed, dtype):
    voxels = small_voxels(3).astype(dtype)
    if dtype is np.int16:
        voxels -= 500
    voxels[0, 0, 0] = np.iinfo(dtype).min
    voxels[0, 0, 1] = np.iinfo(dtype).max
    assert np.array_equal(read_volume(indexed(plan(voxels))).voxels, voxels.astype(np.float32))


def test_each_slice_has_its_own_slope_and_intercept(indexed):
    def change(dataset, index):
        dataset.RescaleSlope, dataset.RescaleIntercept = [1, 2.5, "0.001"][index], [-1024, 10, "0"][index]

    voxels = small_voxels(3)
    volume = read_volume(indexed(plan(voxels), change=change))
    expected = [voxels[0] - 1024.0, voxels[1] * 2.5 + 10, voxels[2] * 0.001]
    assert np.allclose(volume.voxels, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("slope", ["0", "1e400"])
def test_a_slope_that_maps_nothing_is_refused(indexed, slope):
    def change(dataset, index):
        dataset.RescaleSlope = 1
        dataset.RescaleIntercept = 0
        if slope == "0":
            dataset.RescaleSlope = 0
        else:
            dataset.BitsStored = 0

    with pytest.raises(SeriesRefusal) as caught:
        read_volume(indexed(plan(small_voxels(2)), change=change))
    assert caught.value.code is ReasonCode.PIXEL_DATA


@given(
    values=st.lists(st.integers(-2048, 2047), min_size=1, max_size=40),
    garbage=st.integers(0, 15),
    shift=st.integers(0, 4),
)
def test_garbage_around_the_stored_bits_is_ignored(values, garbage, shift):
    """12 stored bits of 16, at any HighBit; old overlays live in the others."""
    signed = np.array(values, dtype=np.int16)
    field = (signed.view(np.uint16) & 0x0FFF).astype(np.uint32)
    noise = (garbage << 12) | garbage
    stored = ((field << shift) | (noise & ~(0x0FFF << shift) & 0xFFFF)).astype(np.uint16)
    assert np.array_equal(stored_bits(stored.view(np.int16), 12, 12 + shift, signed=True), signed)
    assert np.array_equal(stored_bits(stored, 12, 12 + shift, signed=False), field)


def test_high_bits_with_old_overlays_do_not_reach_the_values(indexed):
    voxels = small_voxels(2)

    def change(dataset, index):
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.PixelData = (voxels[index] | 0xA000).astype("<u2").tobytes()

    assert np.array_equal(read_volume(indexed(plan(voxels), change=change)).voxels, voxels.astype(np.float32))


def test_overlay_planes_are_ignored(indexed):
    def change(dataset, index):
        dataset.add_new(0x6000_0010, "US", 32)
        dataset.add_new(0x6000_0011, "US", 24)
        dataset.add_new(0x6000_3000, "OW", b"\xff" * 96)

    voxels = small_voxels(2)
    series = indexed(plan(voxels), change=change)
    assert np.array_equal(read_volume(series).voxels, voxels.astype(np.float32))


@pytest.mark.parametrize("signed", [False, True])
def test_monochrome1_is_inverted_about_the_stored_range(indexed, signed):
    voxels = small_voxels(2) % 256
    voxels = (voxels - 128).astype(np.int16) if signed else voxels

    def change(dataset, index):
        dataset.PhotometricInterpretation = "MONOCHROME1"
        dataset.BitsStored, dataset.HighBit = 8, 7

    expected = (-1.0 if signed else 255.0) - voxels
    assert np.array_equal(read_volume(indexed(plan(voxels), change=change)).voxels, expected.astype(np.float32))


def test_hounsfield_units_are_not_inverted_by_monochrome1(indexed):
    def change(dataset, index):
        dataset.PhotometricInterpretation = "MONOCHROME1"

    voxels = small_voxels(2)
    volume = read_volume(indexed(plan(voxels, modality="CT"), change=change))
    assert np.array_equal(volume.voxels, voxels.astype(np.float32) - 1024)


def test_colour_is_refused(indexed):
    def change(dataset, index):
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        dataset.PixelData = bytes(32 * 24 * 3)

    with pytest.raises(SeriesRefusal, match="3 samples per pixel") as caught:
        read_volume(indexed(plan(small_voxels(2)), change=change))
    assert caught.value.code is ReasonCode.BURNED_IN


@pytest.mark.parametrize(
    "syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian]
)
def test_uncompressed_encodings(tmp_path, syntax):
    voxels = small_voxels(3).astype(np.int16) - 300
    write(tmp_path, plan(voxels), syntax)
    assert np.array_equal(read(tmp_path).voxels, voxels.astype(np.float32))


def test_big_endian(tmp_path):
    voxels = small_voxels(3)
    big = plan(voxels)
    for index in range(3):
        dataset = slice_dataset(big, index)
        dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRBigEndian
        dataset.PixelData = voxels[index].astype(">u2").tobytes()
        dataset["PixelData"].VR = "OW"
        dataset.save_as(tmp_path / f"{index}.dcm", enforce_file_format=True)
    assert np.array_equal(read(tmp_path).voxels, voxels.astype(np.float32))


LOSSLESS_BY_PYDICOM = (uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless)


@pytest.mark.parametrize("syntax", LOSSLESS_BY_PYDICOM)
@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_lossless_compression_is_read_exactly(tmp_path, syntax, dtype):
    voxels = small_voxels(3, 64, 64).astype(dtype)
    if dtype is np.int16:
        voxels -= 400
    compressible = plan(voxels)
    for index in range(3):
        dataset = slice_dataset(compressible, index)
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(tmp_path / f"{index}.dcm", enforce_file_format=True)
    assert np.array_equal(read(tmp_path).voxels, voxels.astype(np.float32))


@pytest.mark.peer("dcmtk")
@pytest.mark.parametrize(
    ("option", "syntax", "bits", "tolerance"),
    [
        ("+el", uid.JPEGLossless, 16, 0),
        ("+e1", uid.JPEGLosslessSV1, 16, 0),
        ("+eb", uid.JPEGBaseline8Bit, 8, 12),
        ("+ee", uid.JPEGExtended12Bit, 12, 40),
    ],
)
def test_jpeg_of_dcmtk_is_read(tmp_path, option, syntax, bits, tolerance):
    voxels = small_voxels(2) // (4 if bits == 8 else 1)
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    for index in range(2):
        dataset = slice_dataset(plan(voxels), index)
        dataset.BitsStored, dataset.HighBit = bits, bits - 1
        if bits == 8:
            dataset.BitsAllocated = 8
            dataset.PixelData = voxels[index].astype(np.uint8).tobytes()
        dataset.save_as(source / f"{index}.dcm", enforce_file_format=True)
        command = ["dcmcjpeg", option, "--uid-never", str(source / f"{index}.dcm"), str(target / f"{index}.dcm")]
        subprocess.run(command, check=True)
    assert dcmread(target / "0.dcm", stop_before_pixels=True).file_meta.TransferSyntaxUID == syntax
    difference = np.abs(read(target).voxels - voxels)
    assert difference.max() <= tolerance


@pytest.mark.peer("dcmtk")
@pytest.mark.parametrize(
    ("options", "syntax", "tolerance"),
    [(["+en", "+md", "3"], uid.JPEGLSNearLossless, 3), (["+el"], uid.JPEGLSLossless, 0)],
)
def test_jpeg_ls_of_dcmtk_is_read(tmp_path, options, syntax, tolerance):
    voxels = small_voxels(1)
    write(tmp_path / "source", plan(voxels), uid.ExplicitVRLittleEndian)
    target = tmp_path / "target"
    target.mkdir()
    files = [str(tmp_path / "source" / "0.dcm"), str(target / "0.dcm")]
    subprocess.run(["dcmcjpls", *options, "--uid-never", *files], check=True)
    assert dcmread(target / "0.dcm", stop_before_pixels=True).file_meta.TransferSyntaxUID == syntax
    assert np.abs(read(target).voxels - voxels).max() <= tolerance


def test_lossy_jpeg_2000_is_read(tmp_path):
    voxels = small_voxels(1, 64, 64)
    dataset = slice_dataset(plan(voxels), 0)
    dataset.compress(uid.JPEG2000, j2k_cr=[4], generate_instance_uid=False)
    dataset.save_as(tmp_path / "0.dcm", enforce_file_format=True)
    assert np.abs(read(tmp_path).voxels - voxels).mean() < 5


@pytest.mark.parametrize(
    ("name", "syntax", "tolerance"),
    [
        ("htj2k_lossless", uid.HTJ2KLossless, 0),
        ("htj2k_lossless", uid.HTJ2KLosslessRPCL, 0),
        ("htj2k_lossy", uid.HTJ2K, 40),
    ],
)
def test_high_throughput_jpeg_2000_is_read(tmp_path, name, syntax, tolerance):
    """The code streams are those of ``small_voxels(1, 32, 24)`` by OpenJPH's ojph_compress (RPCL order, two levels)."""
    voxels = small_voxels(1, 32, 24)
    dataset = slice_dataset(plan(voxels), 0)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([(CODE_STREAMS / f"{name}.j2c").read_bytes()])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(tmp_path / "0.dcm", enforce_file_format=True)
    assert np.abs(read(tmp_path).voxels - voxels).max() <= tolerance


def test_damaged_code_stream_is_refused(tmp_path):
    dataset = slice_dataset(plan(small_voxels(1)), 0)
    dataset.file_meta.TransferSyntaxUID = uid.JPEG2000Lossless
    dataset.PixelData = encapsulate([b"\xff\x4f\xff\x51 this is no code stream"])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(tmp_path / "0.dcm", enforce_file_format=True)
    with pytest.raises(SeriesRefusal, match="decoding failed") as caught:
        read(tmp_path)
    assert caught.value.code is ReasonCode.PIXEL_DATA


def test_a_code_stream_of_another_size_is_refused(tmp_path):
    """Some decoders hand out whatever the code stream holds."""
    dataset = slice_dataset(plan(small_voxels(1, 64, 64)), 0)
    dataset.compress(uid.JPEG2000Lossless, generate_instance_uid=False)
    dataset.Rows, dataset.Columns = 32, 24
    dataset.save_as(tmp_path / "0.dcm", enforce_file_format=True)
    with pytest.raises(SeriesRefusal) as caught:
        read(tmp_path)
    assert caught.value.code is ReasonCode.PIXEL_DATA


def test_unknown_transfer_syntax_is_refused_with_its_uid(tmp_path):
    dataset = slice_dataset(plan(small_voxels(1)), 0)
    dataset.file_meta.TransferSyntaxUID = uid.UID("1.2.840.10008.1.2.4.100")
    dataset.PixelData = encapsulate([b"\0\0\1\xb3 mpeg "])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(tmp_path / "0.dcm", enforce_file_format=True)
    with pytest.raises(SeriesRefusal, match=r"1\.2\.840\.10008\.1\.2\.4\.100"):
        read(tmp_path)


def test_eight_bits(indexed):
    voxels = small_voxels(2, 8, 6) % 200

    def change(dataset, index):
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        dataset.PixelData = voxels[index].astype(np.uint8).tobytes()

    assert np.array_equal(read_volume(indexed(plan(voxels), change=change)).voxels, voxels.astype(np.float32))


def test_the_order_of_slices_is_that_of_their_positions(indexed):
    voxels = np.arange(4, dtype=np.uint16)[:, None, None] * np.ones((1, 3, 3), dtype=np.uint16)
    up = SeriesPlan(voxels=voxels, modality="CT", orientation=AXIAL, step_mm=(0.0, 0.0, -1.0))
    assert read_volume(indexed(up)).voxels[:, 0, 0].tolist() == [-1021.0, -1022.0, -1023.0, -1024.0]


def write(folder: Path, series: SeriesPlan, syntax: uid.UID) -> None:
    folder.mkdir(exist_ok=True)
    for index in range(series.voxels.shape[0]):
        dataset = slice_dataset(series, index)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(folder / f"{index}.dcm", enforce_file_format=True)


def read(folder: Path):
    (series,) = index_study([folder]).series
    return read_volume(series)


def test_every_accepted_transfer_syntax_is_tested_here():
    tested = {
        uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian, *LOSSLESS_BY_PYDICOM, uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGBaseline8Bit,
        uid.JPEGExtended12Bit, uid.JPEGLSNearLossless, uid.JPEG2000, uid.HTJ2K, uid.HTJ2KLossless,
        uid.HTJ2KLosslessRPCL,
    }  # fmt: skip
    assert tested >= ACCEPTED_TRANSFER_SYNTAXES
