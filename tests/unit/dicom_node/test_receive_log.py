"""The receive log: what a kill, a power cut or a bad disk leaves in it, and that nothing acknowledged is lost."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from sqlalchemy import Engine, delete

from builders.dicom import SeriesPlan, slice_dataset, small_voxels
from builders.peers import wait_until
from builders.receiving import NO_WATERMARK, data_set_bytes
from dicom_node import log_record, recovery, store
from dicom_node.inbox import Inbox, ReceiverMetrics, StoreRequest
from dicom_node.log_record import BLOCK_BYTES, Found, Record
from dicom_node.logged_file import HEAD_BYTES
from dicom_node.receive_log import LoggedFile, LogRules
from dicom_node.recorder import Recorder
from dicom_node.recovery import Recovered, recover
from dicom_node.spool import Spool
from dicom_node.store import Instance, QuarantineEntry
from dicom_node.tables import expirations, instances, studies
from dicom_node.verdicts import Verdict

PLAN = SeriesPlan(voxels=small_voxels(6))
LATER = LogRules(
    budget_bytes=4 << 20, first_segment_bytes=1 << 20, largest_segment_bytes=1 << 20, gap_s=3600, patience_s=1e12
)
"""Nothing becomes a file before `stop`."""
NONCE = bytes(range(16))


class Desk:
    """A spool with its log, and an inbox, as in one process."""

    def __init__(self, folder: Path, engine: Engine, rules: LogRules = LATER) -> None:
        self.engine, self.spool = engine, Spool(folder / "spool")
        self.spool.open_log(rules, has_room=lambda _: True, on_damage=self._set_aside)
        assert self.spool.log is not None
        self.log = self.spool.log
        self.recorder = Recorder(engine, deadline_s=30)
        self.recorder.start()
        self.clock = 100.0
        self.inbox = Inbox(
            self.spool, self.recorder, engine, rules=NO_WATERMARK, metrics=ReceiverMetrics(), clock=self._now
        )
        if rules.budget_bytes:
            wait_until(lambda: self.log.is_ready() or bool(self.log.left_behind()), timeout_s=20, what="a segment")

    def store(self, path: Path) -> Verdict:
        dataset = dcmread(path, stop_before_pixels=True)
        request = StoreRequest(
            sop_class_uid=MRImageStorage,
            sop_instance_uid=dataset.SOPInstanceUID,
            transfer_syntax_uid=ExplicitVRLittleEndian,
            negotiated_sop_class_uid=MRImageStorage,
            calling_ae_title="MODALITY",
        )
        arrival = self.inbox.begin(request)
        data = data_set_bytes(path)
        for start in range(0, len(data), 1000):
            arrival.write(memoryview(data)[start : start + 1000])
        return arrival.finish()

    def rows(self) -> list[Instance]:
        with self.engine.connect() as connection:
            return store.instances_of(connection, PLAN.study_instance_uid)

    def quarantined(self) -> list[QuarantineEntry]:
        with self.engine.connect() as connection:
            return store.list_quarantine(connection)

    def recover(self) -> Recovered:
        return recover(self.engine, self.spool, clock=self._now)

    def die(self) -> None:
        """End like a killed process: locks go, nothing is made a file or freed."""
        self.recorder.stop(10)
        self.log._stopping.set()
        self.log._wake.set()
        self.log._thread.join(10)
        for segment in (*self.log._used, *self.log._free, *self.log._left):
            os.close(segment.descriptor)
        self.spool.log = None
        self.spool.close()

    def close(self) -> None:
        self.recorder.stop(10)
        self.spool.close(grace_s=20)

    def _now(self) -> float:
        self.clock += 1
        return self.clock

    def _set_aside(self, record: Record, copy: Path) -> None:
        recovery.set_aside_damaged(self.engine, self.spool, record, copy, self._now())


@pytest.fixture
def sent(tmp_path: Path) -> list[Path]:
    paths = []
    for index in range(6):
        path = tmp_path / f"{index}.dcm"
        slice_dataset(PLAN, index).save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def lose_rows(engine: Engine) -> None:
    """What a power cut does to commits that were not synced."""
    with engine.begin() as connection:
        connection.execute(delete(instances))
        connection.execute(delete(studies))


def only_segment(desk: Desk) -> Path:
    (path,) = [path for path in desk.log.folder.glob("*.log") if path.read_bytes()[BLOCK_BYTES:].strip(b"\0")]
    return path


def found_in(path: Path) -> list[Found]:
    return list(log_record.scan(memoryview(path.read_bytes())))


def damage(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes((byte[0] ^ 0x10,)))


def test_instance_is_a_file_like_any_other_once_there_was_time(
    tmp_path: Path, engine: Engine, sent: list[Path]
) -> None:
    desk = Desk(tmp_path, engine)
    assert [desk.store(path) for path in sent] == [Verdict.STORED] * 6
    assert list(desk.spool.files("received")) == []
    desk.close()
    assert sorted(desk.spool.files("received")) == sorted(row.path for row in desk.rows())
    for path, row in zip(sent, sorted(desk.rows(), key=lambda row: row.received_at), strict=True):
        assert data_set_bytes(desk.spool.path(row.path)) == data_set_bytes(path)
        meta = dcmread(desk.spool.path(row.path)).file_meta
        assert (meta.SourceApplicationEntityTitle, meta.TransferSyntaxUID) == ("MODALITY", ExplicitVRLittleEndian)
    assert [path for path in desk.spool.files("tmp") if not path.endswith(".lock")] == []


@pytest.mark.parametrize("private_bytes", [HEAD_BYTES - 1000, HEAD_BYTES, 3 * HEAD_BYTES])
def test_header_longer_than_what_is_read_at_first(
    tmp_path: Path, engine: Engine, sent: list[Path], private_bytes: int
) -> None:
    dataset = dcmread(sent[0])
    block = dataset.private_block(0x0019, "SPINE TEST", create=True)
    block.add_new(0x01, "OB", bytes(private_bytes))
    dataset.save_as(sent[0])
    desk = Desk(tmp_path, engine)
    assert desk.store(sent[0]) is Verdict.STORED
    desk.close()
    (row,) = desk.rows()
    assert row.series_instance_uid == dataset.SeriesInstanceUID
    assert data_set_bytes(desk.spool.path(row.path)) == data_set_bytes(sent[0])


def test_keeper_makes_files_in_a_gap_and_uses_the_segment_again(
    tmp_path: Path, engine: Engine, sent: list[Path]
) -> None:
    desk = Desk(tmp_path, engine, replace(LATER, gap_s=0.01, budget_bytes=1 << 20))
    for path in sent:
        assert desk.store(path) is Verdict.STORED
        wait_until(desk.log.is_empty, timeout_s=20, what="the file", poll_s=0.002)
        wait_until(desk.log.is_ready, timeout_s=20, what="the segment to be free", poll_s=0.002)
    (segment,) = desk.log.folder.glob("*.log")
    assert found_in(segment) == []
    desk.close()
    assert len(list(desk.spool.files("received"))) == 6


def test_reader_in_another_process_finds_the_file_before_there_was_time(
    tmp_path: Path, engine: Engine, sent: list[Path]
) -> None:
    desk = Desk(tmp_path, engine)
    desk.store(sent[0])
    desk.store(sent[1])
    other = Spool(desk.spool.root)
    (row,) = [row for row in desk.rows() if row.sop_instance_uid == PLAN.sop_instance_uid(1)]
    assert data_set_bytes(other.path(row.path)) == data_set_bytes(sent[1])
    assert list(desk.spool.files("received")) == [row.path]
    assert not other.path("received/aa/1.2/absent.dcm").exists()
    other.close()
    desk.close()


def test_instance_that_outgrows_its_segment_is_a_file_at_once(tmp_path: Path, engine: Engine) -> None:
    desk = Desk(tmp_path, engine)
    large = tmp_path / "large.dcm"
    slice_dataset(SeriesPlan(voxels=small_voxels(1, 900, 900)), 0).save_as(large, enforce_file_format=True)
    assert desk.store(large) is Verdict.STORED
    (row,) = desk.rows()
    assert list(desk.spool.files("received")) == [row.path]
    assert data_set_bytes(desk.spool.path(row.path)) == data_set_bytes(large)
    desk.close()


def test_log_without_room_leaves_every_instance_a_file_at_once(
    tmp_path: Path, engine: Engine, sent: list[Path]
) -> None:
    desk = Desk(tmp_path, engine, replace(LATER, budget_bytes=0))
    desk.store(sent[0])
    assert list(desk.spool.files("received")) == [desk.rows()[0].path]
    desk.close()


@pytest.mark.parametrize("are_rows_lost", [False, True], ids=["killed", "power cut"])
def test_what_was_acknowledged_is_there_after_a_crash(
    tmp_path: Path, engine: Engine, sent: list[Path], *, are_rows_lost: bool
) -> None:
    desk = Desk(tmp_path, engine)
    for path in sent:
        assert desk.store(path) is Verdict.STORED
    before = desk.rows()
    desk.die()
    if are_rows_lost:
        lose_rows(engine)
    again = Desk(tmp_path, engine)
    assert again.recover() == Recovered(adopted=6 if are_rows_lost else 0)
    assert again.rows() == before
    again.close()
    assert sorted(again.spool.files("received")) == sorted(row.path for row in before)
    for path, row in zip(sent, sorted(before, key=lambda row: row.received_at), strict=True):
        assert data_set_bytes(again.spool.path(row.path)) == data_set_bytes(path)
    assert again.quarantined() == []


def test_what_has_expired_since_does_not_come_back(tmp_path: Path, engine: Engine, sent: list[Path]) -> None:
    desk = Desk(tmp_path, engine)
    for path in sent:
        desk.store(path)
    (last, *_) = sorted((row.received_at for row in desk.rows()), reverse=True)
    desk.die()
    lose_rows(engine)
    row = {"revision": 1, "instance_count": 6, "size_bytes": 1, "modalities": ",MR,", "cause": "age"}
    with engine.begin() as connection:
        connection.execute(
            expirations.insert().values(study_instance_uid=PLAN.study_instance_uid, expired_at=last + 1, **row)
        )
    again = Desk(tmp_path, engine)
    assert again.recover() == Recovered()
    assert again.store(sent[0]) is Verdict.STORED, "sent again, it is a new start"
    again.close()
    assert [one.sop_instance_uid for one in again.rows()] == [dcmread(sent[0]).SOPInstanceUID]
    assert len(list(again.spool.files("received"))) == 1


def test_conflict_is_decided_the_same_way_again(tmp_path: Path, engine: Engine, sent: list[Path]) -> None:
    desk = Desk(tmp_path, engine)
    dataset = slice_dataset(PLAN, 0)
    dataset.ImageComments = "other bytes"
    dataset.save_as(tmp_path / "other.dcm", enforce_file_format=True)
    assert desk.store(sent[0]) is Verdict.STORED
    (segment,) = [s for s in desk.log._used if s.waiting]
    desk.store(sent[1])
    assert desk.store(tmp_path / "other.dcm") is Verdict.CONFLICT
    (entry,) = desk.quarantined()
    # As if the power had gone before the record was marked: it is durable, and nothing says that it is not wanted.
    void = next(found for found in found_in(segment.path) if found.record.is_void)
    segment.write_record(void.at, replace(void.record, is_void=False))
    desk.die()
    lose_rows(engine)
    again = Desk(tmp_path, engine)
    assert again.recover() == Recovered(adopted=2, set_aside=1)
    again.close()
    assert {data_set_bytes(again.spool.path(row.path)) for row in again.rows()} == {
        data_set_bytes(path) for path in sent[:2]
    }
    assert again.quarantined() == [entry]
    assert data_set_bytes(again.spool.path(entry.path)) == data_set_bytes(tmp_path / "other.dcm")


def test_torn_tail_is_set_aside_by_name_and_the_rest_is_there(tmp_path: Path, engine: Engine, sent: list[Path]) -> None:
    desk = Desk(tmp_path, engine)
    for path in sent[:3]:
        desk.store(path)
    segment = only_segment(desk)
    desk.die()
    lose_rows(engine)
    damage(segment, found_in(segment)[-1].content_at + 2000)
    again = Desk(tmp_path, engine)
    assert again.recover() == Recovered(adopted=2, set_aside=1)
    again.close()
    assert len(again.rows()) == len(list(again.spool.files("received"))) == 2
    (entry,) = again.quarantined()
    assert entry.reason == recovery.NOT_WHOLE
    assert (tmp_path / "spool" / entry.path).is_file()


@pytest.mark.parametrize("is_restarted", [False, True], ids=["while it runs", "after a restart"])
def test_rotten_instance_is_named_and_can_be_sent_again(
    tmp_path: Path, engine: Engine, sent: list[Path], *, is_restarted: bool
) -> None:
    desk = Desk(tmp_path, engine)
    for path in sent[:3]:
        desk.store(path)
    segment = only_segment(desk)
    damage(segment, found_in(segment)[1].content_at + 2000)
    if is_restarted:
        desk.die()
        desk = Desk(tmp_path, engine)
        assert desk.recover() == Recovered(set_aside=1)
    else:
        while desk.log._split_some():
            continue
    assert [row.sop_instance_uid for row in desk.rows()] == sorted(PLAN.sop_instance_uid(i) for i in (0, 2))
    assert [entry.reason for entry in desk.quarantined()] == [recovery.DAMAGED]
    assert desk.store(sent[1]) is Verdict.STORED
    desk.close()
    assert len(list(desk.spool.files("received"))) == 3


def test_records_behind_a_damaged_one_are_found(tmp_path: Path, engine: Engine, sent: list[Path]) -> None:
    desk = Desk(tmp_path, engine)
    for path in sent[:3]:
        desk.store(path)
    segment = only_segment(desk)
    desk.die()
    lose_rows(engine)
    damage(segment, found_in(segment)[1].at + 100)
    again = Desk(tmp_path, engine)
    assert again.recover() == Recovered(adopted=2)
    again.close()


def test_what_an_earlier_use_left_is_never_replayed(tmp_path: Path, engine: Engine, sent: list[Path]) -> None:
    desk = Desk(tmp_path, engine)
    for path in sent[:3]:
        desk.store(path)
    desk.close()
    for path in list(desk.spool.files("received")):
        desk.spool.remove(path)
    lose_rows(engine)  # deleted, as by a retention policy
    left = b"".join(segment.read_bytes() for segment in desk.log.folder.glob("*.log"))
    assert data_set_bytes(sent[2]) in left, "not erased: docs/security-and-privacy.md says so"
    desk = Desk(tmp_path, engine)
    desk.store(sent[5])
    desk.die()
    again = Desk(tmp_path, engine)
    again.recover()
    again.close()
    assert [row.sop_instance_uid for row in again.rows()] == [PLAN.sop_instance_uid(5)]
    assert len(list(again.spool.files("received"))) == 1


def test_abandoned_instance_leaves_nothing(tmp_path: Path, engine: Engine, sent: list[Path]) -> None:
    desk = Desk(tmp_path, engine)
    request = StoreRequest(
        sop_class_uid=MRImageStorage,
        sop_instance_uid="1.2",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        negotiated_sop_class_uid=MRImageStorage,
        calling_ae_title="MODALITY",
    )
    arrival = desk.inbox.begin(request)
    assert isinstance(arrival._file, LoggedFile)
    arrival.write(memoryview(data_set_bytes(sent[0])))
    arrival.abandon()
    assert desk.log.arriving == 0
    assert desk.store(sent[1]) is Verdict.STORED
    desk.close()
    assert len(list(desk.spool.files("received"))) == 1
