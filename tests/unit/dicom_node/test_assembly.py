"""When a study is complete. The clock is a number that the test moves; the database is real."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from pydicom.uid import Comprehensive3DSRStorage, ExplicitVRLittleEndian, MRImageStorage, SegmentationStorage
from sqlalchemy import Connection, Engine, text

from builders.peers import wait_until
from dicom_node import arrivals, store
from dicom_node.assembly import NOTHING_TO_READ, Assembler, AssemblyRules
from dicom_node.spool import Spool
from dicom_node.store import Instance, StudyState
from dicom_node.tables import deliveries, results
from inference.errors import Failure, SettingRefusal, UsageRefusal

STUDY = "1.2.3"
RULES = AssemblyRules(quiet_period_s=30, ask_after_s=2, ask_every_s=10, expected_wait_s=300)


@dataclass
class Desk:
    """An assembler, what it handed over, and a way to let instances arrive."""

    engine: Engine
    spool: Spool
    rules: AssemblyRules = RULES
    expected: Any = None
    arriving: frozenset[str] = frozenset()
    handed: list[tuple[str, int]] = field(default_factory=list)
    count: int = 0

    def assembler(self) -> Assembler:
        return Assembler(
            self.engine, self.spool, self.rules, self.enqueue, self.expected, arriving=lambda: self.arriving
        )

    def enqueue(self, connection: Connection, study_uid: str, revision: int) -> None:
        assert connection.in_transaction()
        self.handed.append((study_uid, revision))

    def receive(self, at: float, *, sop_class: str = MRImageStorage, uid: str = STUDY, **changes: Any) -> None:
        self.count += 1
        made = Instance(
            sop_instance_uid=f"{uid}.{self.count}",
            study_instance_uid=uid,
            series_instance_uid=f"{uid}.0",
            sop_class_uid=str(sop_class),
            transfer_syntax_uid=ExplicitVRLittleEndian,
            path=f"received/{self.count}",
            size_bytes=1,
            sha256=f"{self.count:064d}",
            received_at=at,
            source_ae_title="PACS",
        )
        with self.engine.begin() as connection:
            arrivals.record_instance(connection, replace(made, **changes))

    def study(self) -> store.Study:
        with self.engine.connect() as connection:
            found = store.study(connection, STUDY)
        assert found is not None
        return found


@pytest.fixture
def desk(any_engine: Engine, tmp_path: Any) -> Desk:
    return Desk(engine=any_engine, spool=Spool(tmp_path / "spool"))


def test_study_is_complete_after_the_quiet_period_and_handed_over_once(desk: Desk) -> None:
    desk.receive(100)
    desk.receive(120)
    assembler = desk.assembler()
    assert [assembler.tick(now) for now in (121, 149.9, 150, 151, 9999)] == [0, 0, 1, 0, 0]
    assert desk.handed == [(STUDY, 1)]
    assert (desk.study().state, desk.study().revision) == (StudyState.COMPLETE, 1)


def test_each_arrival_starts_the_quiet_period_again(desk: Desk) -> None:
    assembler = desk.assembler()
    for at in range(100, 200, 25):
        desk.receive(at)
        assert assembler.tick(at + 24.9) == 0
    assert assembler.tick(175 + 30) == 1


def test_late_instance_makes_the_next_revision(desk: Desk) -> None:
    assembler = desk.assembler()
    desk.receive(100)
    assembler.tick(130)
    desk.receive(500)
    assert desk.study().state is StudyState.RECEIVING
    assert [assembler.tick(now) for now in (529, 530)] == [0, 1]
    assert desk.handed == [(STUDY, 1), (STUDY, 2)]


def test_restart_continues_from_the_rows(desk: Desk) -> None:
    desk.receive(100)
    assert desk.assembler().tick(129) == 0
    assert desk.assembler().tick(131) == 1
    assert desk.assembler().tick(132) == 0


def test_study_is_not_complete_while_an_instance_of_it_is_on_its_way(desk: Desk) -> None:
    """A large multi-frame instance on a slow line takes longer than the quiet period."""
    desk.receive(100)
    desk.arriving = frozenset({STUDY})
    assembler = desk.assembler()
    assert assembler.tick(1000) == 0
    desk.arriving = frozenset()
    assert assembler.tick(1001) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"sop_class": Comprehensive3DSRStorage},
        {"sop_class": SegmentationStorage},
        {"sop_class": SegmentationStorage, "ours": True},
    ],
)
def test_study_without_images_is_refused_by_name_and_starts_nothing(desk: Desk, changes: dict[str, Any]) -> None:
    desk.receive(100, **changes)
    assembler = desk.assembler()
    assert [assembler.tick(now) for now in (101, 131, 132)] == [0, 0, 0]
    assert (desk.study().state, desk.study().reason) == (StudyState.REFUSED, NOTHING_TO_READ)
    with pytest.raises(UsageRefusal, match="no image"):
        assembler.complete_now(STUDY)
    desk.receive(200)
    assert assembler.tick(230) == 1
    assert desk.handed == [(STUDY, 1)]


@pytest.mark.parametrize("ours", [True, False], ids=["ours", "foreign"])
def test_result_that_comes_back_starts_no_run_again(desk: Desk, ours: object) -> None:
    """The routing loop: our SR reaches the PACS, whose rule sends it back to us."""
    desk.receive(100)
    assembler = desk.assembler()
    assembler.tick(130)
    desk.receive(140, sop_class=Comprehensive3DSRStorage, ours=ours)
    assert [assembler.tick(now) for now in (200, 1000)] == [0, 0]
    assert desk.handed == [(STUDY, 1)]


def test_all_expected_instances_complete_the_study_at_once(desk: Desk) -> None:
    asked: list[tuple[str, str]] = []
    desk.expected = lambda ae_title, uid: asked.append((ae_title, uid)) or 2
    assembler = desk.assembler()
    desk.receive(100)
    assert assembler.tick(103) == 0
    desk.receive(104)
    assert [assembler.tick(now) for now in (105, 106.1)] == [0, 1]
    assert asked == [("PACS", STUDY)] * 2
    assert (desk.study().expected_instances, desk.study().reason) == (2, None)


def test_count_from_before_the_last_arrival_does_not_count(desk: Desk) -> None:
    """The source is being filled itself: it said 1 when it held 1, and holds 5 by now."""
    held = [1]
    desk.expected = lambda _ae, _uid: held[0]
    assembler = desk.assembler()
    desk.receive(100)
    held[0] = 5
    assert [assembler.tick(now) for now in (102, 111)] == [0, 0]
    held[0] = 1
    assert assembler.tick(111.9) == 0  # the answer of 102 is not older than ask_every_s yet
    assert assembler.tick(112) == 1


def test_missing_instances_are_waited_for_then_the_study_goes_on_with_a_note(desk: Desk) -> None:
    desk.expected = lambda _ae, _uid: 3
    assembler = desk.assembler()
    desk.receive(100)
    assert [assembler.tick(now) for now in (131, 200, 399, 400)] == [0, 0, 0, 1]
    assert desk.study().reason == "Only 1 of the 3 instances that the source holds were received."


def test_source_that_does_not_know_leaves_the_quiet_period(desk: Desk) -> None:
    desk.expected = lambda _ae, _uid: None
    desk.receive(100)
    assembler = desk.assembler()
    assert [assembler.tick(now) for now in (129, 130)] == [0, 1]


def test_our_delivered_results_are_not_expected_back(desk: Desk) -> None:
    """The source counts the SR of revision 1 among its instances: 2 images and 1 SR."""
    desk.receive(100)
    desk.assembler().tick(130)
    with desk.engine.begin() as connection:
        values = {"study_instance_uid": STUDY, "revision": 1, "sop_instance_uid": "9.9"}
        connection.execute(
            results.insert().values(
                **values,
                role="sr",
                sop_class_uid="1",
                series_instance_uid="1",
                path="p",
                sha256="0" * 64,
                created_at=1.0,
            )
        )
        for name in ("PACS", "VNA"):
            connection.execute(
                deliveries.insert().values(**values, destination=name, state="delivered", attempts=1, updated_at=1.0)
            )
    desk.expected = lambda _ae, _uid: 3
    desk.receive(500)
    assert desk.assembler().tick(503) == 1


def test_explicit_call_completes_without_waiting_and_again_changes_nothing(desk: Desk) -> None:
    assembler = desk.assembler()
    with pytest.raises(UsageRefusal, match=STUDY):
        assembler.complete_now(STUDY)
    desk.receive(100)
    assert [assembler.complete_now(STUDY) for _ in range(2)] == [1, 1]
    desk.receive(101)
    assert assembler.complete_now(STUDY) == 2
    assert desk.handed == [(STUDY, 1), (STUDY, 2)]


def test_hand_over_that_cannot_be_enqueued_is_undone_and_tried_again_and_holds_up_no_other(desk: Desk) -> None:
    desk.receive(100)
    desk.receive(100, uid="9.9")
    broken = [True]

    def enqueue(connection: Connection, study_uid: str, revision: int) -> None:
        if study_uid == STUDY and broken[0]:
            connection.execute(text("UPDATE studies SET reason = 'half done'"))
            raise Failure("the queue is not there")
        desk.enqueue(connection, study_uid, revision)

    assembler = Assembler(desk.engine, desk.spool, RULES, enqueue)
    assert assembler.tick(130) == 1
    assert desk.handed == [("9.9", 1)]
    assert (desk.study().state, desk.study().revision, desk.study().reason) == (StudyState.RECEIVING, 0, None)
    broken[0] = False
    assert assembler.tick(131) == 1
    assert desk.handed == [("9.9", 1), (STUDY, 1)]


def test_two_assemblers_at_once_hand_over_once(desk: Desk) -> None:
    for number in range(12):
        desk.receive(100, uid=f"{STUDY}.{number}")
    barrier = threading.Barrier(3)

    def run() -> None:
        assembler = desk.assembler()
        barrier.wait()
        assembler.tick(200)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(desk.handed) == sorted((f"{STUDY}.{number}", 1) for number in range(12))


def test_arrivals_during_hand_overs_belong_to_exactly_one_revision(desk: Desk) -> None:
    assembler = desk.assembler()
    ended = threading.Event()

    def complete() -> None:
        while not ended.is_set():
            try:
                assembler.complete_now(STUDY)
            except (UsageRefusal, Failure):
                continue

    thread = threading.Thread(target=complete)
    thread.start()
    for number in range(60):
        desk.receive(100 + number)
    ended.set()
    thread.join(60)
    last = assembler.complete_now(STUDY)
    with desk.engine.connect() as connection:
        sizes = [len(store.instances_of(connection, STUDY, revision)) for revision in range(1, last + 1)]
    assert sizes[-1] == 60
    assert sizes == sorted(set(sizes))  # every revision has at least one instance more than the one before
    assert [revision for _, revision in desk.handed] == list(range(1, last + 1))


def test_thread_hands_over_and_survives_a_database_that_fails_for_a_while(desk: Desk) -> None:
    desk.rules = AssemblyRules(quiet_period_s=0.2, poll_s=0.05)
    with desk.engine.begin() as connection:
        connection.execute(text("ALTER TABLE studies RENAME TO elsewhere"))
    assembler = desk.assembler()
    assembler.start()
    threading.Event().wait(0.3)
    with desk.engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO studies"))
    desk.receive(100)
    wait_until(lambda: desk.handed == [(STUDY, 1)], timeout_s=20, what="the study to be handed over")
    assembler.stop()
    assert not assembler._thread.is_alive()


@pytest.mark.parametrize("name", ["quiet_period_s", "poll_s", "expected_wait_s", "ask_after_s", "ask_every_s"])
def test_time_that_cannot_be_is_refused_by_name(name: str) -> None:
    with pytest.raises(SettingRefusal, match=name):
        AssemblyRules(**{name: 0})
