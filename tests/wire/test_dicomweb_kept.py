"""What the index keeps of headers: answers from it are those from the files, and it never speaks for another file."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)
from sqlalchemy import delete, func, select, update

from builders.dicom import SeriesPlan, derived_uid, slice_dataset, small_voxels, write_series
from builders.dicomweb import OCTETS, Web, keep_result, take_in
from dicom_node.tables import instances, web_headers, web_instances
from dicom_node.verdicts import Verdict
from server.database import make_engine, reading

PLAN = SeriesPlan(voxels=small_voxels(3, 33, 21), study="kept", series="three")
STUDY = f"/studies/{PLAN.study_instance_uid}"
SERIES = f"{STUDY}/series/{PLAN.series_instance_uid}"
FIRST = f"{SERIES}/instances/{PLAN.sop_instance_uid(0)}"
NATIVE = {"explicit": ExplicitVRLittleEndian, "implicit": ImplicitVRLittleEndian}
OTHER = {"big": ExplicitVRBigEndian, "deflated": DeflatedExplicitVRLittleEndian, "rle": RLELossless}


def write(folder: Path, name: str, syntax: str) -> Path:
    """Two frames of 7 x 5 pixels of 8 bits, with a large private value, in a series of its own."""
    dataset = slice_dataset(PLAN, 0)
    dataset.SeriesInstanceUID = derived_uid("series of", name)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = derived_uid("instance of", name)
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = 7, 5, 2
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = np.arange(70, dtype=np.uint8).tobytes()
    dataset["PixelData"].VR = "OB"
    dataset.private_block(0x0011, "KEPT", create=True).add_new(0x01, "OB", b"\1\2" * 900)
    if syntax == RLELossless:
        dataset.compress(syntax, generate_instance_uid=False, encoding_plugin="pydicom")
    dataset.file_meta.TransferSyntaxUID = syntax
    path = folder / f"{name}.dcm"
    little = syntax != ExplicitVRBigEndian
    dataset.save_as(path, enforce_file_format=True, little_endian=little, implicit_vr=syntax == ImplicitVRLittleEndian)
    return path


def address(name: str) -> str:
    return f"{STUDY}/series/{derived_uid('series of', name)}/instances/{derived_uid('instance of', name)}"


def index(web: Web) -> int:
    """Have everything read; how many headers are kept."""
    assert web.get("/studies").status_code == 200
    return count(web)


def count(web: Web) -> int:
    with reading(web.node.engine) as connection:
        return connection.execute(select(func.count()).select_from(web_headers)).scalar_one()


def files(web: Web) -> Iterator[Path]:
    return web.node.spool.path("received").rglob("*.dcm")


def test_answers_are_those_that_the_files_give(web, tmp_path):
    """In every transfer syntax, before there is an index and after; each BulkDataURI leads to the value."""
    take_in(web.node, [write(tmp_path, name, syntax) for name, syntax in (NATIVE | OTHER).items()])
    names = [*NATIVE, *OTHER]
    paths = [*(f"{address(name)}/metadata" for name in names), f"{STUDY}/metadata"]
    frames = [f"{address(name)}/frames/{numbers}" for name in names for numbers in ("1", "2", "3")]
    before = [web.get(path).content for path in paths], [pixels(web, path) for path in frames]
    assert index(web) == len(names)
    assert ([web.get(path).content for path in paths], [pixels(web, path) for path in frames]) == before
    assert pixels(web, f"{address('implicit')}/frames/2") == (200, np.arange(35, 70, dtype=np.uint8).tobytes())
    for name in names:
        (entry,) = web.json(f"{address(name)}/metadata")
        uri = entry["00111001"]["BulkDataURI"]
        assert uri == f"{web.url}{address(name)}/bulkdata/00111001"
        assert b"\1\2" * 900 in web.get(uri.removeprefix(web.url), OCTETS).content


def pixels(web: Web, path: str) -> tuple[int, bytes]:
    """Status and, of one part, the bytes between its head and the last boundary."""
    answer = web.get(path, OCTETS)
    body = answer.content.partition(b"\r\n\r\n")[2]
    return answer.status_code, body[: body.rfind(b"\r\n--")]


def test_only_pixels_that_lie_as_they_are_sent_have_a_layout(web, tmp_path):
    take_in(web.node, [write(tmp_path, name, syntax) for name, syntax in (NATIVE | OTHER).items()])
    index(web)
    with reading(web.node.engine) as connection:
        laid = select(web_headers.c.sop_instance_uid).where(web_headers.c.pixels_at.is_not(None))
        assert set(connection.execute(laid).scalars()) == {derived_uid("instance of", name) for name in NATIVE}


def test_headers_are_not_read_again(web, tmp_path):
    """Metadata are answered although the files are gone; a frame of such a file is our failure, said by name."""
    take_in(web.node, write_series(tmp_path / "in", PLAN))
    index(web)
    before = web.get(f"{SERIES}/metadata").content
    assert web.get(f"{FIRST}/frames/1", OCTETS).status_code == 200
    for path in list(files(web)):
        path.write_bytes(path.read_bytes()[:-10])
    assert web.get(f"{SERIES}/metadata").content == before
    assert "shorter than it was" in web.get(f"{FIRST}/frames/1", OCTETS).text
    for path in list(files(web)):
        path.unlink()
    assert web.get(f"{SERIES}/metadata").content == before
    answer = web.get(f"{FIRST}/frames/1", OCTETS)
    assert answer.status_code == 503
    assert str(tmp_path) not in answer.text


def test_what_is_kept_may_be_lost_and_is_made_again(web, tmp_path):
    take_in(web.node, write_series(tmp_path, PLAN))
    index(web)
    before = web.get(f"{SERIES}/metadata").content
    with web.node.engine.begin() as connection:
        connection.execute(delete(web_headers))
    assert web.get(f"{SERIES}/metadata").content == before
    with web.node.engine.begin() as connection:
        connection.execute(delete(web_instances))
    web.json(f"{SERIES}/instances")
    assert count(web) == 3
    assert web.get(f"{SERIES}/metadata").content == before


def test_a_header_says_nothing_about_another_file(web, tmp_path):
    """The row of a file that is no longer the one served (an object of ours that came back, was made again)."""
    take_in(web.node, write_series(tmp_path, PLAN))
    index(web)
    before = web.get(f"{SERIES}/metadata").content, pixels(web, f"{FIRST}/frames/1")
    wrong = {"path": "received/another", "pixels_at": 1, "document": b"no zlib"}
    with web.node.engine.begin() as connection:
        connection.execute(update(web_headers).values(wrong))
    assert (web.get(f"{SERIES}/metadata").content, pixels(web, f"{FIRST}/frames/1")) == before


def test_a_second_sending_changes_nothing_and_a_result_is_added(web, tmp_path):
    paths = write_series(tmp_path / "first", PLAN)
    take_in(web.node, paths)
    index(web)
    before = web.get(f"{SERIES}/metadata"), pixels(web, f"{FIRST}/frames/1")
    again = dcmread(paths[0])
    again.PatientID, again.PixelData = "CHANGED", bytes(len(again.PixelData))
    again.save_as(tmp_path / "again.dcm")
    assert take_in(web.node, [paths[1], tmp_path / "again.dcm"]) == [Verdict.DUPLICATE, Verdict.CONFLICT]
    index(web)
    after = web.get(f"{SERIES}/metadata"), pixels(web, f"{FIRST}/frames/1")
    assert (after[0].content, after[0].headers["etag"]) == (before[0].content, before[0].headers["etag"])
    assert after[1] == before[1]
    made = write(tmp_path, "made", ExplicitVRLittleEndian)
    keep_result(web.node, made, "seg")
    index(web)
    whole = web.get(f"{STUDY}/metadata")
    assert len(whole.json()) == 4
    keep_result(web.node, write(tmp_path, "made again", ExplicitVRLittleEndian), "seg", revision=2)
    assert len(web.json(f"{STUDY}/metadata")) == 5  # before the index knows it
    index(web)
    later = web.get(f"{STUDY}/metadata")
    assert len(later.json()) == 5
    assert later.headers["etag"] != whole.headers["etag"]


def test_a_large_header_is_read_from_its_file(web, tmp_path):
    dataset = slice_dataset(PLAN, 0)
    dataset.TextValue = np.random.default_rng(1).integers(33, 91, 200_000, dtype=np.uint8).tobytes().decode()
    dataset.save_as(tmp_path / "large.dcm", enforce_file_format=True)
    take_in(web.node, [tmp_path / "large.dcm"])
    before = web.get(f"{FIRST}/metadata").content
    index(web)
    with reading(web.node.engine) as connection:
        assert connection.execute(select(web_headers.c.document)).scalars().all() == [None]
    assert len(before) > 200_000
    assert web.get(f"{FIRST}/metadata").content == before


def test_a_text_that_looks_like_an_address_stays_as_it_is(web, tmp_path):
    dataset = slice_dataset(PLAN, 0)
    dataset.SeriesDescription = '"BulkDataURI":"x'
    dataset.save_as(tmp_path / "text.dcm", enforce_file_format=True)
    take_in(web.node, [tmp_path / "text.dcm"])
    index(web)
    (entry,) = web.json(f"{FIRST}/metadata")
    assert entry["0008103E"]["Value"] == ['"BulkDataURI":"x']
    assert entry["7FE00010"]["BulkDataURI"] == f"{web.url}{FIRST}/bulkdata/7FE00010"


READER = """
import sys
from functools import partial
from pathlib import Path
import dicom_node.dicomweb.index as index
from dicom_node.dicomweb.held import Holdings
from dicom_node.spool import Spool
from server.database import make_engine, reading
index.BATCH = 3
engine = make_engine(f"sqlite:///{sys.argv[1]}/spine.sqlite")
index.SearchIndex(engine, Holdings(reading=partial(reading, engine), spool=Spool(Path(sys.argv[1])))).refresh()
"""


def test_a_kill_leaves_no_row_without_its_header(web, tmp_path):
    """kill -9 of the process that reads: what was committed is whole, and the rest is read afterwards."""
    plan = SeriesPlan(voxels=small_voxels(60), study="killed", series="sixty")
    take_in(web.node, write_series(tmp_path / "in", plan))
    folder = web.node.settings.data_dir
    with subprocess.Popen([sys.executable, "-c", READER, str(folder)]) as reader:
        while rows(folder, web_instances) == 0:
            assert reader.poll() is None
            time.sleep(0.001)
        reader.send_signal(signal.SIGKILL)
    assert rows(folder, web_headers) == rows(folder, web_instances)
    assert rows(folder, web_instances) < rows(folder, instances) == 60
    series = f"/studies/{plan.study_instance_uid}/series/{plan.series_instance_uid}"
    found = web.json(f"{series}/metadata")
    assert index(web) == 60
    whole = web.json(f"{series}/metadata")
    assert [number(entry) for entry in whole] == list(range(1, 61))
    assert sorted(found, key=number) == whole


def number(entry) -> int:
    return entry["00200013"]["Value"][0]


def rows(folder: Path, table) -> int:
    engine = make_engine(f"sqlite:///{folder}/spine.sqlite")
    try:
        with reading(engine) as connection:
            return connection.execute(select(func.count()).select_from(table)).scalar_one()
    finally:
        engine.dispose()


@pytest.mark.parametrize("header", ["bytes=0-9", "bytes=-4"])
def test_pixels_may_still_be_had_by_range(web, tmp_path, header):
    take_in(web.node, write_series(tmp_path, PLAN))
    index(web)
    value = dcmread(min(tmp_path.glob("*.dcm"))).PixelData
    assert len(value) == 33 * 21 * 2
    answer = web.get(f"{FIRST}/bulkdata/7FE00010", {"Accept": "application/octet-stream", "Range": header})
    assert answer.status_code == 206
    assert answer.content in {value[:10], value[-4:]}
    whole = web.get(f"{FIRST}/bulkdata/7FE00010", {"Accept": "application/octet-stream"})
    known = {"Accept": "application/octet-stream", "If-None-Match": whole.headers["etag"]}
    assert web.get(f"{FIRST}/bulkdata/7FE00010", known).status_code == 304
