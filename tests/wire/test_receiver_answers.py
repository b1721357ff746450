"""What a sender is told, and what is kept: re-sends, conflicts, our own objects, bad instances, broken disks."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
    UltrasoundImageStorage,
)
from pynetdicom import AE

from builders.dicom import SeriesPlan, slice_dataset, small_voxels
from builders.peers import leave_out, peer_environment, program
from builders.receiving import (
    NO_WATERMARK,
    Node,
    association,
    data_set_bytes,
    running_node,
    store_bytes,
    store_file,
    store_on_context,
)
from dicom_node.inbox import InboxRules
from dicom_node.tables import results
from inference.provenance import MANUFACTURER

MR = (MRImageStorage, ExplicitVRLittleEndian)
PLAN = SeriesPlan(voxels=small_voxels())


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running_node(tmp_path / "node") as running:
        yield running


def written(folder: Path, change: Callable[[Dataset], None] = lambda _: None, *, name: str = "sent.dcm") -> Path:
    dataset = slice_dataset(PLAN, 0)
    change(dataset)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    dataset.save_as(path, enforce_file_format=True)
    return path


def set_comment(dataset: Dataset) -> None:
    dataset.ImageComments = "other bytes"


def test_echo_is_answered(node: Node) -> None:
    entity = AE(ae_title="PYNETDICOM")
    entity.add_requested_context("1.2.840.10008.1.1")
    peer = entity.associate("127.0.0.1", node.port, ae_title="SPINEAI")
    assert peer.send_c_echo().Status == 0x0000
    peer.release()


@pytest.mark.peer("dcmtk")
def test_echoscu_is_answered(node: Node) -> None:
    command = [str(program("echoscu")), "-aec", "SPINEAI", "--repeat", "3", "127.0.0.1", str(node.port)]
    subprocess.run(command, check=True, env=peer_environment(), timeout=30)
    assert node.receiver.metrics.snapshot()["echoes"] == 3


def test_identical_resend_is_acknowledged_without_a_second_row(node: Node, tmp_path: Path) -> None:
    path = written(tmp_path)
    for _ in range(2):
        with association(node.port, [MR]) as peer:
            assert [store_file(peer, path).Status for _ in range(2)] == [0x0000, 0x0000]
    assert len(node.rows()) == 1
    assert node.receiver.metrics.snapshot()["instances_duplicate"] == 3
    assert node.files("received") == [node.rows()[0]["path"]]
    assert node.quarantined() == []


def test_conflicting_resend_is_refused_set_aside_and_the_first_bytes_stay(node: Node, tmp_path: Path) -> None:
    first, other = written(tmp_path), written(tmp_path, set_comment, name="other.dcm")
    with association(node.port, [MR]) as peer:
        assert store_file(peer, first).Status == 0x0000
        for _ in range(2):
            refused = store_file(peer, other)
            assert refused.Status == 0x0111
            assert len(refused.ErrorComment) <= 64
        assert store_file(peer, first).Status == 0x0000
    (row,) = node.rows()
    (set_aside,) = node.quarantined()
    assert node.stored(row["sop_instance_uid"]) == data_set_bytes(first)
    assert data_set_bytes(node.spool.path(set_aside["path"])) == data_set_bytes(other)
    assert set_aside["sop_instance_uid"] == row["sop_instance_uid"]
    assert set_aside["verdict"] == "conflict"
    assert node.files("received") == [row["path"]]


def test_conflicting_resend_does_not_reopen_the_study(node: Node, tmp_path: Path) -> None:
    with association(node.port, [MR]) as peer:
        store_file(peer, written(tmp_path))
        before = node.studies()
        store_file(peer, written(tmp_path, set_comment))
        store_file(peer, written(tmp_path))
    assert node.studies() == before


def test_resend_in_another_transfer_syntax_is_a_warning_and_set_aside(node: Node, tmp_path: Path) -> None:
    first = written(tmp_path)

    def to_implicit(dataset: Dataset) -> None:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian

    again = written(tmp_path, to_implicit, name="implicit.dcm")
    with association(node.port, [MR, (MRImageStorage, ImplicitVRLittleEndian)]) as peer:
        assert store_file(peer, first).Status == 0x0000
        assert store_file(peer, again).Status == 0xB000
    assert node.rows()[0]["transfer_syntax_uid"] == ExplicitVRLittleEndian
    assert node.stored(node.rows()[0]["sop_instance_uid"]) == data_set_bytes(first)
    assert [row["verdict"] for row in node.quarantined()] == ["reencoded"]


def report(path: Path, **attributes: str) -> Path:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = Comprehensive3DSRStorage, "2.25.777"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = PLAN.study_instance_uid, "2.25.778"
    dataset.Modality = "SR"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path, implicit_vr=False, little_endian=True)
    return path


def send_report(node: Node, path: Path) -> int:
    with association(node.port, [(Comprehensive3DSRStorage, ExplicitVRLittleEndian)]) as peer:
        status = store_bytes(
            peer,
            path.read_bytes(),
            sop_class=Comprehensive3DSRStorage,
            sop_instance="2.25.777",
            syntax=ExplicitVRLittleEndian,
        )
    return int(status.Status)


def test_own_result_that_comes_back_is_acknowledged_and_changes_nothing(node: Node, tmp_path: Path) -> None:
    with association(node.port, [MR]) as peer:
        store_file(peer, written(tmp_path))
    with node.engine.begin() as connection:
        connection.execute(
            results.insert().values(
                sop_instance_uid="2.25.777",
                study_instance_uid=PLAN.study_instance_uid,
                revision=1,
                role="sr",
                sop_class_uid=Comprehensive3DSRStorage,
                series_instance_uid="2.25.778",
                path="results/x.dcm",
                sha256="0" * 64,
                created_at=1.0,
            )
        )
    before = (node.rows(), node.studies())
    # A PACS may change attributes of what it was given: the bytes differ from ours, and that is no conflict.
    assert send_report(node, report(tmp_path / "sr", PatientName="Changed^By PACS")) == 0x0000
    assert (node.rows(), node.studies()) == before
    assert node.quarantined() == []
    assert node.receiver.metrics.snapshot()["instances_own_returned"] == 1


def test_object_with_our_mark_but_no_row_is_kept_as_ours(node: Node, tmp_path: Path) -> None:
    """After the loss of the database, or from another node of ours."""
    assert send_report(node, report(tmp_path / "sr", Manufacturer=MANUFACTURER)) == 0x0000
    assert [row["ours"] for row in node.rows()] == [True]


def test_foreign_report_is_kept_and_is_not_ours(node: Node, tmp_path: Path) -> None:
    assert send_report(node, report(tmp_path / "sr", Manufacturer="Somebody Else")) == 0x0000
    assert [row["ours"] for row in node.rows()] == [False]


def without(keyword: str) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        delattr(dataset, keyword)

    return change


def with_value(keyword: str, value: str) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        dataset[keyword]._value = value

    return change


@pytest.mark.parametrize(
    ("change", "status", "verdict"),
    [
        (without("StudyInstanceUID"), 0xC001, "uid_missing"),
        (without("SeriesInstanceUID"), 0xC001, "uid_missing"),
        (without("SOPInstanceUID"), 0xC001, "uid_missing"),
        (without("SOPClassUID"), 0xC001, "uid_missing"),
        (with_value("StudyInstanceUID", ""), 0xC001, "uid_missing"),
        (with_value("StudyInstanceUID", "../../etc/passwd"), 0xC001, "uid_missing"),
        (with_value("SeriesInstanceUID", "1.2." + "3" * 62), 0xC001, "uid_missing"),
        (with_value("SOPClassUID", CTImageStorage), 0xA900, "mismatch"),
        (with_value("SOPInstanceUID", "2.25.1"), 0xA900, "mismatch"),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI:UserWarning")
def test_bad_uids_are_refused_by_name_and_the_bytes_kept(
    node: Node, tmp_path: Path, change: Callable[[Dataset], None], status: int, verdict: str
) -> None:
    sent = _data_set(tmp_path, change)
    with association(node.port, [MR]) as peer:
        answer = store_bytes(
            peer, sent, sop_class=MR[0], sop_instance=PLAN.sop_instance_uid(0), syntax=ExplicitVRLittleEndian
        )
    assert answer.Status == status
    assert 0 < len(answer.ErrorComment) <= 64
    assert node.rows() == []
    (row,) = node.quarantined()
    assert row["verdict"] == verdict
    assert data_set_bytes(node.spool.path(row["path"])) == sent


@pytest.mark.parametrize(
    "sent",
    [b"\0" * 100, b"GARBAGE" * 50, b"\x08\x00\x16\x00UI\xff\xff1.2", b"\x08\x00\x16\x00??\x04\x001.2\0"],
    ids=["zeros", "text", "overlong element", "wrong VR"],
)
def test_unreadable_header_is_refused_and_the_bytes_kept(node: Node, sent: bytes) -> None:
    with association(node.port, [MR]) as peer:
        answer = store_bytes(peer, sent, sop_class=MR[0], sop_instance="1.2.3", syntax=ExplicitVRLittleEndian)
        assert answer.Status in {0xC000, 0xC001}
    (row,) = node.quarantined()
    assert data_set_bytes(node.spool.path(row["path"])) == sent
    assert row["sop_instance_uid"] in {"1.2.3", None}


def test_implicit_bytes_on_an_explicit_context_are_refused(node: Node, tmp_path: Path) -> None:
    dataset = slice_dataset(PLAN, 0)
    bare = Dataset()
    bare.update(dataset)
    bare.save_as(tmp_path / "implicit", implicit_vr=True, little_endian=True)
    with association(node.port, [MR]) as peer:
        answer = store_bytes(
            peer,
            (tmp_path / "implicit").read_bytes(),
            sop_class=MR[0],
            sop_instance=dataset.SOPInstanceUID,
            syntax=ExplicitVRLittleEndian,
        )
    assert answer.Status == 0xC000


def test_class_of_another_presentation_context_is_refused(node: Node, tmp_path: Path) -> None:
    sent = _data_set(tmp_path, lambda _: None)
    with association(node.port, [(CTImageStorage, ExplicitVRLittleEndian)]) as peer:
        answer = store_on_context(
            peer, sent, sop_class=MRImageStorage, sop_instance=PLAN.sop_instance_uid(0), context_id=1
        )
    assert answer.Status == 0x0122
    assert [row["verdict"] for row in node.quarantined()] == ["not_negotiated"]


def test_one_bad_instance_does_not_stop_the_others(node: Node, tmp_path: Path) -> None:
    with association(node.port, [MR]) as peer:
        statuses = []
        for index in range(3):
            dataset = slice_dataset(PLAN, index)
            if index == 1:
                del dataset.StudyInstanceUID
            sent = _data_set_of(tmp_path, dataset)
            answer = store_bytes(
                peer, sent, sop_class=MR[0], sop_instance=PLAN.sop_instance_uid(index), syntax=ExplicitVRLittleEndian
            )
            statuses.append(answer.Status)
    assert statuses == [0x0000, 0xC001, 0x0000]
    assert len(node.rows()) == 2


def test_unsupported_class_and_syntax_are_rejected_by_negotiation(node: Node) -> None:
    entity = AE(ae_title="PYNETDICOM")
    entity.add_requested_context(UltrasoundImageStorage, ExplicitVRLittleEndian)
    entity.add_requested_context(MRImageStorage, "1.2.840.10008.1.2.4.100")
    entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    peer = entity.associate("127.0.0.1", node.port, ae_title="SPINEAI")
    outcome = {context.abstract_syntax: context.result for context in peer.rejected_contexts}
    peer.release()
    assert outcome == {UltrasoundImageStorage: 3, MRImageStorage: 4}  # PS3.8 Table 9-18


def test_below_the_watermark_the_sender_is_told_to_come_back(tmp_path: Path) -> None:
    rules = InboxRules(min_free_bytes=1 << 60, min_free_fraction=0.0)
    with running_node(tmp_path / "node", rules=rules) as node, association(node.port, [MR]) as peer:
        answer = store_file(peer, written(tmp_path))
        assert (answer.Status, node.rows(), node.quarantined()) == (0xA700, [], [])
    assert list((tmp_path / "node" / "spool").glob("received/**/*.dcm")) == []


def test_part_of_the_disk_counts_as_a_watermark_too(tmp_path: Path) -> None:
    rules = InboxRules(min_free_bytes=0, min_free_fraction=1.0)
    with running_node(tmp_path / "node", rules=rules) as node, association(node.port, [MR]) as peer:
        assert store_file(peer, written(tmp_path)).Status == 0xA700


def test_too_large_data_set_is_refused_without_being_kept(tmp_path: Path) -> None:
    rules = InboxRules(min_free_bytes=0, min_free_fraction=0.0, max_instance_bytes=1000)
    with running_node(tmp_path / "node", rules=rules) as node, association(node.port, [MR]) as peer:
        assert store_file(peer, written(tmp_path)).Status == 0xA701
        assert list(node.spool.files("tmp")) == [f for f in node.spool.files("tmp") if f.endswith(".lock")]


@pytest.mark.parametrize("blocked", ["spool", "spool/quarantine"])
def test_spool_that_cannot_be_written_is_a_failure_and_nothing_is_acknowledged(tmp_path: Path, blocked: str) -> None:
    """A file stands where a folder is needed: that fails for root too, unlike a read-only mode."""
    obstacle = tmp_path / "node" / blocked
    obstacle.parent.mkdir(parents=True)
    obstacle.write_bytes(b"")
    change = without("StudyInstanceUID") if blocked.endswith("quarantine") else (lambda _: None)
    with running_node(tmp_path / "node") as node, association(node.port, [MR]) as peer:
        sent = _data_set(tmp_path, change)
        answer = store_bytes(
            peer, sent, sop_class=MR[0], sop_instance=PLAN.sop_instance_uid(0), syntax=ExplicitVRLittleEndian
        )
        assert answer.Status == 0x0110
        assert (node.rows(), node.quarantined()) == ([], [])
        obstacle.unlink()
        assert store_file(peer, written(tmp_path)).Status == 0x0000
        assert len(node.rows()) == 1


def test_full_disk_is_out_of_resources_and_nothing_is_acknowledged(tmp_path: Path) -> None:
    """A real file system of 64 KiB, full after some instances."""
    disk = tmp_path / "node" / "spool"
    disk.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], check=False)
    if mounted.returncode != 0:
        leave_out("needs the right to mount a tmpfs")
    try:
        with running_node(tmp_path / "node", rules=NO_WATERMARK) as node, association(node.port, [MR]) as peer:
            statuses = []
            for index in range(3):
                plan = SeriesPlan(voxels=small_voxels(rows=128, columns=80), series=str(index))
                dataset = slice_dataset(plan, 0)
                dataset.save_as(tmp_path / "one", enforce_file_format=True)
                statuses.append(store_file(peer, tmp_path / "one").Status)
            assert statuses == [0x0000, 0x0000, 0xA700]
            assert len(node.rows()) == 2
            assert [path for path in node.spool.files("tmp") if not path.endswith(".lock")] == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_database_that_is_locked_for_long_is_a_transient_failure(tmp_path: Path) -> None:
    with running_node(tmp_path / "node", record_deadline_s=0.5) as node, association(node.port, [MR]) as peer:
        path = written(tmp_path)
        with node.engine.begin():
            answer = store_file(peer, path)
        assert answer.Status == 0xA700
        assert store_file(peer, path).Status == 0x0000
        assert len(node.rows()) == 1
        assert node.stored(node.rows()[0]["sop_instance_uid"]) == data_set_bytes(path)


def test_database_that_refuses_is_a_transient_failure(tmp_path: Path) -> None:
    with running_node(tmp_path / "node") as node, association(node.port, [MR]) as peer:
        with node.engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE instances RENAME TO elsewhere")
        assert store_file(peer, written(tmp_path)).Status == 0xA700
        with node.engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO instances")
        assert store_file(peer, written(tmp_path)).Status == 0x0000


def _data_set(folder: Path, change: Callable[[Dataset], None]) -> bytes:
    dataset = slice_dataset(PLAN, 0)
    change(dataset)
    return _data_set_of(folder, dataset)


def _data_set_of(folder: Path, dataset: Dataset) -> bytes:
    bare = Dataset()
    bare.update(dataset)
    path = folder / "bare"
    bare.save_as(path, implicit_vr=False, little_endian=True)
    return path.read_bytes()
