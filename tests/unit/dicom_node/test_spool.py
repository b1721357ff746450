from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom import dcmread

from builders.dicom import SeriesPlan, slice_dataset, small_voxels
from builders.receiving import data_set_bytes
from dicom_node.file_meta import IMPLEMENTATION_CLASS_UID, FileMeta, decode_file_meta, encode_file_meta
from dicom_node.header import HeaderFault
from dicom_node.spool import Spool, content_key, key_of, quarantine_path, received_path

EXPLICIT = "1.2.840.10008.1.2.1"
META = FileMeta(
    sop_class_uid="1.2.840.10008.5.1.4.1.1.4",
    sop_instance_uid="1.2.3.45",
    transfer_syntax_uid=EXPLICIT,
    source_ae_title="MODALITY",
)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture
def data_set(tmp_path: Path) -> bytes:
    path = tmp_path / "one.dcm"
    slice_dataset(SeriesPlan(voxels=small_voxels()), 0).save_as(path, enforce_file_format=True)
    return data_set_bytes(path)


def files(spool: Spool) -> set[str]:
    return {path for top in ("received", "quarantine", "results") for path in spool.files(top)}


def unfinished(spool: Spool) -> list[str]:
    return [path for path in spool.files("tmp") if not path.endswith(".lock")]


def test_making_a_spool_touches_nothing(tmp_path: Path) -> None:
    Spool(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()


def test_published_file_is_a_dicom_file_with_exactly_the_received_data_set(spool: Spool, data_set: bytes) -> None:
    incoming = spool.receive_file(META)
    for start in range(0, len(data_set), 100):
        incoming.write(memoryview(data_set)[start : start + 100])
    assert (incoming.size_bytes, incoming.sha256) == (len(data_set), hashlib.sha256(data_set).hexdigest())
    assert incoming.header().study_instance_uid == SeriesPlan(voxels=small_voxels()).study_instance_uid
    relative = received_path("1.2", "1.2.3.45", key_of(incoming))
    incoming.publish(spool.path(relative))
    assert files(spool) == {relative}
    assert unfinished(spool) == []
    assert data_set_bytes(spool.path(relative)) == data_set
    again = dcmread(spool.path(relative))
    assert again.file_meta.FileMetaInformationVersion == b"\0\1"
    assert again.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert again.file_meta.SourceApplicationEntityTitle == "MODALITY"


@pytest.mark.parametrize("title", ["A", "AB", "SIXTEEN_LETTERS_"])
@pytest.mark.parametrize("uid", ["1.2.3", "1.2.34"])
def test_file_meta_is_read_back_whatever_its_lengths(tmp_path: Path, title: str, uid: str) -> None:
    meta = FileMeta(sop_class_uid=uid, sop_instance_uid=uid, transfer_syntax_uid=EXPLICIT, source_ae_title=title)
    encoded = encode_file_meta(meta)
    (tmp_path / "f").write_bytes(encoded + b"DATA")
    assert decode_file_meta(tmp_path / "f") == (meta, len(encoded))


def test_discarded_file_leaves_nothing(spool: Spool, data_set: bytes) -> None:
    incoming = spool.receive_file(META)
    incoming.write(memoryview(data_set))
    incoming.discard()
    assert (files(spool), unfinished(spool)) == (set(), [])


def test_unreadable_header_does_not_keep_the_file_from_being_set_aside(spool: Spool) -> None:
    incoming = spool.receive_file(META)
    incoming.write(memoryview(b"noise noise noise"))
    with pytest.raises(HeaderFault):
        incoming.header()
    incoming.publish(spool.path(quarantine_path(key_of(incoming))))
    assert len(files(spool)) == 1


def test_publishing_into_a_place_that_cannot_be_made_raises_and_leaves_nothing(spool: Spool, data_set: bytes) -> None:
    spool.root.mkdir()
    (spool.root / "received").write_bytes(b"")
    incoming = spool.receive_file(META)
    incoming.write(memoryview(data_set))
    with pytest.raises(OSError, match="received"):
        incoming.publish(spool.path("received/aa/1.2/x.dcm"))
    assert unfinished(spool) == []


def test_folder_that_vanished_is_made_again(spool: Spool) -> None:
    for _ in range(2):
        incoming = spool.receive_file(META)
        incoming.write(memoryview(b"abc"))
        incoming.publish(spool.path("received/aa/1.2/x.dcm"))
        spool.path("received/aa/1.2/x.dcm").unlink()
        spool.path("received/aa/1.2").rmdir()


def test_content_key_tells_encodings_and_contents_apart() -> None:
    keys = {content_key(syntax, sha) for syntax in (EXPLICIT, "1.2.840.10008.1.2") for sha in ("a" * 64, "b" * 64)}
    assert len(keys) == 4


def test_longest_uids_fit_a_file_name() -> None:
    name = Path(received_path("1" * 64, "2" * 64, content_key(EXPLICIT, "a" * 64))).name
    assert len(name) < 255


@pytest.mark.parametrize("relative", ["", "/etc/passwd", "../x", "received/../../x"])
def test_path_that_leaves_the_root_is_refused(spool: Spool, relative: str) -> None:
    with pytest.raises(ValueError, match="below the root"):
        spool.path(relative)


def test_result_is_written_and_may_be_written_again(spool: Spool) -> None:
    for content in (b"one", b"one", b"two"):
        spool.write_result("results/1.2/r1/sr.dcm", content)
        assert spool.path("results/1.2/r1/sr.dcm").read_bytes() == content
    assert unfinished(spool) == []


def test_result_that_cannot_be_written_leaves_what_was_there(spool: Spool) -> None:
    spool.write_result("results/1.2/sr.dcm", b"one")
    with pytest.raises(OSError, match=r"sr\.dcm"):
        spool.write_result("results/1.2/sr.dcm/below", b"two")
    assert spool.path("results/1.2/sr.dcm").read_bytes() == b"one"


def test_free_space_is_that_of_the_file_system(spool: Spool) -> None:
    space = spool.free_space()
    assert 0 < space.free_bytes < space.total_bytes


def test_sweep_removes_what_a_dead_process_left_and_spares_the_living(spool: Spool, tmp_path: Path) -> None:
    script = """
import os, sys
from pathlib import Path
from dicom_node.file_meta import FileMeta
from dicom_node.spool import Spool
meta = FileMeta(sop_class_uid="1", sop_instance_uid="1", transfer_syntax_uid="1", source_ae_title="A")
Spool(Path(sys.argv[1])).receive_file(meta).write(memoryview(b"abc"))
os._exit(9)
"""
    root = Path(__file__).parents[3]
    subprocess.run(
        [sys.executable, "-c", script, str(spool.root)], check=False, env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert len(unfinished(spool)) == 1
    alive = spool.receive_file(META)
    alive.write(memoryview(b"abc"))
    assert Spool(spool.root).sweep() == 1
    assert len(unfinished(spool)) == 1
    alive.publish(spool.path("received/x.dcm"))
    assert spool.path("received/x.dcm").is_file()


def test_sweep_of_an_empty_spool_is_nothing(spool: Spool) -> None:
    assert spool.sweep() == 0


def test_closing_gives_the_lock_back(spool: Spool) -> None:
    spool.receive_file(META).discard()
    (lock,) = spool.path("tmp").glob("*.lock")
    descriptor = os.open(lock, os.O_RDWR)
    with pytest.raises(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    spool.close()
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)
    assert list(spool.path("tmp").iterdir()) == []


def test_moving_to_quarantine_twice_is_harmless(spool: Spool) -> None:
    spool.write_result("received/aa/x.dcm", b"abc")
    target = spool.move_to_quarantine("received/aa/x.dcm", "key")
    assert spool.move_to_quarantine("received/aa/x.dcm", "key") == target == "quarantine/key.dcm"
    with pytest.raises(FileNotFoundError):
        spool.move_to_quarantine("received/aa/other.dcm", "other")
