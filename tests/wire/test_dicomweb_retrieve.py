"""WADO-RS through a socket: whole instances, metadata, frames and bulk data, in the form that was asked for."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from builders.dicom import SeriesPlan, derived_uid, slice_dataset, small_voxels, write_series
from builders.dicomweb import DICOM, DICOM_AS_STORED, OCTETS, OHIF_FRAMES, Web, keep_result, take_in
from dicom_node.verdicts import Verdict

SYNTAXES = {
    "explicit": ExplicitVRLittleEndian,
    "implicit": ImplicitVRLittleEndian,
    "big": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "rle": RLELossless,
    "jpeg_ls": JPEGLSLossless,
}
PLAN = SeriesPlan(voxels=small_voxels(3, 33, 21), study="wado", series="explicit")


def encoded(dataset: Dataset, syntax: str) -> Dataset:
    if syntax in {RLELossless, JPEGLSLossless}:
        dataset.compress(syntax, generate_instance_uid=False)
        return dataset
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    return dataset


@pytest.fixture(scope="module")
def filled(shared_web, tmp_path_factory) -> Web:
    """A series of three slices, and one slice in each transfer syntax, each in a series of its own."""
    folder = tmp_path_factory.mktemp("wado")
    paths = write_series(folder / "series", PLAN)
    for name, syntax in SYNTAXES.items():
        dataset = slice_dataset(PLAN, 0)
        dataset.SeriesInstanceUID, dataset.SOPInstanceUID = uids(name)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        path = folder / f"{name}.dcm"
        big = syntax == ExplicitVRBigEndian
        encoded(dataset, syntax).save_as(
            path, enforce_file_format=True, little_endian=not big, implicit_vr=syntax == ImplicitVRLittleEndian
        )
        paths.append(path)
    assert set(take_in(shared_web.node, paths)) == {Verdict.STORED}
    return shared_web


def uids(name: str) -> tuple[str, str]:
    return derived_uid("series of", name), derived_uid("instance of", name)


def address(name: str) -> str:
    series, instance = uids(name)
    return f"/studies/{PLAN.study_instance_uid}/series/{series}/instances/{instance}"


SERIES = f"/studies/{PLAN.study_instance_uid}/series/{PLAN.series_instance_uid}"
FIRST = f"{SERIES}/instances/{PLAN.sop_instance_uid(0)}"


def parts(answer) -> list[tuple[str, bytes]]:
    """Content type and body of each part, split with nothing but the boundary."""
    boundary = answer.headers["content-type"].partition("boundary=")[2].strip('"').encode()
    pieces = answer.content.split(b"--" + boundary)
    assert pieces[-1].startswith(b"--")
    found = []
    for piece in pieces[1:-1]:
        head, _, body = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        found.append((lines["Content-Type"], body.removesuffix(b"\r\n")))
    return found


def test_a_series_as_it_is_stored(filled, tmp_path):
    answer = filled.get(SERIES, DICOM_AS_STORED)
    found = parts(answer)
    assert answer.headers["content-type"].startswith('multipart/related; type="application/dicom"')
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert [dcmread(BytesIO(body)).SOPInstanceUID for _, body in found] == [PLAN.sop_instance_uid(i) for i in range(3)]
    assert {kind for kind, _ in found} == {f"application/dicom; transfer-syntax={ExplicitVRLittleEndian}"}
    expected = slice_dataset(PLAN, 1).PixelData
    assert dcmread(BytesIO(found[1][1])).PixelData == expected


@pytest.mark.parametrize("name", SYNTAXES)
@pytest.mark.parametrize("accept", [DICOM, DICOM_AS_STORED], ids=["default", "as stored"])
def test_an_instance_in_every_transfer_syntax(filled, name, accept):
    ((kind, body),) = parts(filled.get(address(name), accept))
    dataset = dcmread(BytesIO(body))
    stored = SYNTAXES[name]
    as_is = accept is DICOM_AS_STORED and stored != DeflatedExplicitVRLittleEndian
    syntax = dataset.file_meta.TransferSyntaxUID
    assert syntax == (stored if as_is else ExplicitVRLittleEndian)
    assert kind == f"application/dicom; transfer-syntax={syntax}"
    assert np.array_equal(dataset.pixel_array, PLAN.voxels[0])
    assert (dataset.PatientName, dataset.EchoTime, dataset.SOPInstanceUID) == ("Invented^Patient", 110, uids(name)[1])


def test_a_study_holds_what_was_received_and_what_was_made(web, tmp_path):
    received = write_series(tmp_path / "in", PLAN)
    take_in(web.node, received)
    for revision in (1, 2):
        made = SeriesPlan(voxels=small_voxels(1), study="wado", series=f"made {revision}")
        keep_result(web.node, write_series(tmp_path / f"made{revision}", made)[0], "seg", revision)
    found = parts(web.get(f"/studies/{PLAN.study_instance_uid}", DICOM))
    assert len(found) == 5
    assert len(web.json(f"/studies/{PLAN.study_instance_uid}/series")) == 3
    assert len(web.json(f"/studies/{PLAN.study_instance_uid}/metadata")) == 5
    aside = tmp_path / "conflict.dcm"
    changed = slice_dataset(PLAN, 0)
    changed.PatientID = "another"
    changed.save_as(aside, enforce_file_format=True)
    assert take_in(web.node, [aside]) == [Verdict.CONFLICT]
    assert b"another" not in web.get(f"/studies/{PLAN.study_instance_uid}", DICOM).content
    assert web.json("/studies?PatientID=another") == []


def test_an_instance_by_itself_and_by_ranges(filled):
    by_itself = {"Accept": "application/dicom"}
    answer = filled.get(FIRST, by_itself)
    assert answer.headers["content-type"] == f"application/dicom; transfer-syntax={ExplicitVRLittleEndian}"
    whole = answer.content
    assert dcmread(BytesIO(whole)).SOPInstanceUID == PLAN.sop_instance_uid(0)
    for asked, expected in (("bytes=128-131", b"DICM"), ("bytes=-4", whole[-4:]), ("bytes=200-", whole[200:])):
        part = filled.get(FIRST, by_itself | {"Range": asked})
        assert (part.status_code, part.content) == (206, expected)
        assert part.headers["content-range"].endswith(f"/{len(whole)}")
    for asked in ("bytes=9999999-", "bytes=5-2", "bytes=-", "chunks=1-2", "bytes=0-1,4-5"):
        assert filled.get(FIRST, by_itself | {"Range": asked}).content == whole
    head = filled.get(FIRST, by_itself, method="HEAD")
    assert (head.content, int(head.headers["content-length"])) == (b"", len(whole))


def test_what_is_known_is_not_sent_again(filled):
    for path, accept in ((SERIES, DICOM), (f"{SERIES}/metadata", {"Accept": "*/*"}), (f"{FIRST}/frames/1", OCTETS)):
        tag = filled.get(path, accept).headers["etag"]
        again = filled.get(path, accept | {"If-None-Match": f'"other", {tag}'})
        assert (again.status_code, again.content) == (304, b"")
    assert filled.get(SERIES, DICOM_AS_STORED | {"If-None-Match": tag}).status_code == 200


def test_metadata_is_the_header_without_pixels(filled):
    found = filled.json(f"{SERIES}/metadata")
    assert [entry["00200013"]["Value"] for entry in found] == [[1], [2], [3]]
    source = slice_dataset(PLAN, 0)
    del source.PixelData
    expected = json.loads(source.to_json()) | {"00080005": {"vr": "CS", "Value": ["ISO_IR 192"]}}
    got = dict(found[0])
    assert got.pop("7FE00010") == {"vr": "OW", "BulkDataURI": f"{filled.url}{FIRST}/bulkdata/7FE00010"}
    assert got.pop("00083002")["Value"] == [ExplicitVRLittleEndian]
    assert got == expected


@pytest.mark.parametrize("name", SYNTAXES)
def test_metadata_of_every_transfer_syntax(filled, name):
    (found,) = filled.json(f"{address(name)}/metadata")
    assert found["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Invented^Patient"}]}
    assert found["00083002"]["Value"] == [SYNTAXES[name]]
    assert found["7FE00010"]["BulkDataURI"] == f"{filled.url}{address(name)}/bulkdata/7FE00010"


@pytest.mark.parametrize("name", SYNTAXES)
def test_frames_as_native_bytes(filled, name):
    ((kind, body),) = parts(filled.get(f"{address(name)}/frames/1", OCTETS))
    assert kind == f"application/octet-stream; transfer-syntax={ExplicitVRLittleEndian}"
    assert body == PLAN.voxels[0].astype("<u2").tobytes()


@pytest.mark.parametrize("name", ["rle", "jpeg_ls"])
def test_compressed_frames_as_they_are_stored(filled, name):
    ((_, whole),) = parts(filled.get(address(name), DICOM_AS_STORED))
    stream = get_frame(dcmread(BytesIO(whole)).PixelData, 0, number_of_frames=1)
    own = {"rle": "image/dicom-rle", "jpeg_ls": "image/jls"}[name]
    for accept, kind in (
        (OHIF_FRAMES, "application/octet-stream"),
        ({"Accept": f'multipart/related; type="{own}"'}, own),
        ({"Accept": f'multipart/related; type="{own}"; transfer-syntax={SYNTAXES[name]}'}, own),
        ({"Accept": 'multipart/related; type="image/*"'}, own),
    ):
        ((found_kind, body),) = parts(filled.get(f"{address(name)}/frames/1", accept))
        assert (found_kind, body) == (f"{kind}; transfer-syntax={SYNTAXES[name]}", stream)


@pytest.mark.parametrize("name", SYNTAXES)
def test_pixel_data_by_its_uri(filled, name):
    path = f"{address(name)}/bulkdata/7FE00010"
    ((_, body),) = parts(filled.get(path, OCTETS))
    assert body[: PLAN.voxels[0].nbytes] == PLAN.voxels[0].astype("<u2").tobytes()
    if name == "explicit":
        by_itself = {"Accept": "application/octet-stream", "Range": "bytes=2-5"}
        assert filled.get(path, by_itself).content == body[2:6]


def test_frames_of_a_segmentation_begin_on_a_byte(web, tmp_path):
    """1 bit pixels of 5 x 7: in the file the second frame begins in the middle of a byte."""
    masks = np.random.default_rng(3).integers(0, 2, (3, 5, 7), dtype=np.uint8)
    dataset = slice_dataset(PLAN, 0)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.66.4"
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = 5, 7, 3
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 1, 1, 0
    dataset.PixelData = np.packbits(masks.ravel(), bitorder="little").tobytes()
    dataset["PixelData"].VR = "OB"
    path = tmp_path / "seg.dcm"
    dataset.save_as(path, enforce_file_format=True)
    take_in(web.node, [path])
    found = parts(web.get(f"{FIRST}/frames/1,3,2", OCTETS))
    expected = [np.packbits(masks[index].ravel(), bitorder="little").tobytes() for index in (0, 2, 1)]
    assert [body for _, body in found] == expected


def test_a_document_and_large_values_are_behind_their_uris(web, tmp_path):
    dataset = slice_dataset(PLAN, 0)
    for keyword in ("PixelData", "Rows", "Columns"):
        delattr(dataset, keyword)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EncapsulatedPDFStorage
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    dataset.EncapsulatedDocument = b"%PDF-1.7 " + bytes(100_001)
    item = Dataset()
    item.EncapsulatedDocument = b"inner" + bytes(2001)
    small = Dataset()
    small.EncapsulatedDocument = b"tiny"
    dataset.ReferencedImageEvidenceSequence = [small, item]
    path = tmp_path / "pdf.dcm"
    dataset.save_as(path, enforce_file_format=True)
    take_in(web.node, [path])
    (header,) = web.json(f"{FIRST}/metadata")
    assert header["00420011"] == {"vr": "OB", "BulkDataURI": f"{web.url}{FIRST}/bulkdata/00420011"}
    inner = header["00089092"]["Value"][1]["00420011"]["BulkDataURI"].removeprefix(web.url)
    assert "InlineBinary" in header["00089092"]["Value"][0]["00420011"]
    assert web.get(inner, {"Accept": "*/*"}).content == item.EncapsulatedDocument
    ohif = 'multipart/related; type="application/pdf", multipart/related; type="application/octet-stream"'
    ((kind, body),) = parts(web.get(f"{FIRST}/bulkdata/00420011", {"Accept": ohif}))
    assert (kind, body) == ("application/pdf", dataset.EncapsulatedDocument)
    assert web.get(f"{FIRST}/bulkdata/00420011", {"Accept": "application/pdf"}).headers["content-type"] == kind
    assert web.get(f"{FIRST}/frames/1", OCTETS).status_code == 404


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        ("/studies/1.2.3", DICOM, 404),
        ("/studies/1.2.3/metadata", {"Accept": "*/*"}, 404),
        (f"{SERIES}/instances/1.2.3", DICOM, 404),
        (f"/studies/1.2.3/series/{PLAN.series_instance_uid}/instances/{PLAN.sop_instance_uid(0)}", DICOM, 404),
        ("/studies/'%20OR%201=1--/metadata", {"Accept": "*/*"}, 400),
        ("/studies/..%2f..%2fetc%2fpasswd/metadata", {"Accept": "*/*"}, 404),
        (SERIES, {"Accept": "image/png"}, 406),
        (
            SERIES,
            {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.90'},
            406,
        ),
        (SERIES, {"Accept": "multipart/related; type=application/dicom; q=0"}, 406),
        (f"{SERIES}/metadata", {"Accept": "text/html"}, 406),
        (f"{FIRST}/frames/2", OCTETS, 404),
        (f"{FIRST}/frames/0", OCTETS, 400),
        (f"{FIRST}/frames/-1", OCTETS, 400),
        (f"{FIRST}/frames/one", OCTETS, 400),
        (f"{FIRST}/frames/1,,2", OCTETS, 400),
        (f"{FIRST}/frames/1", {"Accept": 'multipart/related; type="image/jp2"'}, 406),
        (f"{FIRST}/bulkdata/00100010", OCTETS, 404),
        (f"{FIRST}/bulkdata/00420011", OCTETS, 404),
        (f"{FIRST}/bulkdata/..%2f..%2f..%2fetc%2fpasswd", OCTETS, 400),
        (f"{FIRST}/bulkdata/00081115/99/00081150", OCTETS, 404),
        (f"{FIRST}/bulkdata/nonsense", OCTETS, 400),
    ],
)
def test_what_cannot_be_had_is_a_problem(filled, path, accept, status):
    answer = filled.get(path, accept)
    assert answer.status_code == status, answer.text
    if answer.headers["content-type"] != "application/json":
        assert answer.headers["content-type"] == "application/problem+json"
    assert "Invented" not in answer.text


def test_one_damaged_instance_does_not_hide_its_series(web, tmp_path):
    """What cannot be decoded is sent as it is stored, with its real transfer syntax; by itself it is refused."""
    paths = write_series(tmp_path, PLAN)
    broken = dcmread(paths[1])
    broken.PixelData = encapsulate([b"no code stream"])
    broken["PixelData"].VR = "OB"
    broken.file_meta.TransferSyntaxUID = JPEGLSLossless
    broken.save_as(paths[1], enforce_file_format=True)
    take_in(web.node, paths)
    kinds = [kind.partition("=")[2] for kind, _ in parts(web.get(SERIES, DICOM))]
    assert kinds == [ExplicitVRLittleEndian, JPEGLSLossless, ExplicitVRLittleEndian]
    second = f"{SERIES}/instances/{PLAN.sop_instance_uid(1)}"
    assert web.get(second, DICOM).status_code == 406
    assert web.get(second, DICOM_AS_STORED).status_code == 200
    assert web.get(f"{second}/frames/1", OCTETS).status_code == 406
    assert web.get(f"{second}/frames/1,1", OCTETS).status_code == 406
    assert web.get(f"{second}/frames/1", OHIF_FRAMES).status_code == 200


def test_a_file_that_is_gone_is_our_failure(web, tmp_path):
    take_in(web.node, write_series(tmp_path / "in", PLAN))
    for path in Path(web.node.spool.path("received")).rglob("*.dcm"):
        path.unlink()
    answer = web.get(FIRST, DICOM)
    assert answer.status_code == 503
    assert str(tmp_path) not in answer.text
    assert len(web.json(f"{SERIES}/metadata")) == 3
