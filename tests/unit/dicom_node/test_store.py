"""The rows: idempotent, first bytes stay, only images open a study again; on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
from pydicom.uid import (
    Comprehensive3DSRStorage,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
    SegmentationStorage,
)
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from dicom_node import arrivals, store
from dicom_node.recorder import Recorder
from dicom_node.store import Instance, QuarantineEntry, StudyState
from dicom_node.verdicts import RESPONSES, Verdict
from inference.errors import StorageFailure

STUDY = "1.2.3"


def instance(number: int = 1, **changes: Any) -> Instance:
    made = Instance(
        sop_instance_uid=f"{STUDY}.1.{number}",
        study_instance_uid=STUDY,
        series_instance_uid=f"{STUDY}.1",
        sop_class_uid=MRImageStorage,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        path=f"received/aa/{STUDY}/{number}.dcm",
        size_bytes=10,
        sha256=f"{number:064d}",
        received_at=100.0 + number,
        source_ae_title="PACS",
    )
    return replace(made, **changes)


def record(engine: Engine, *arrived: Instance) -> list[Verdict]:
    with engine.begin() as connection:
        return arrivals.record_instances(connection, arrived)


def study(engine: Engine, uid: str = STUDY) -> store.Study:
    with engine.connect() as connection:
        found = store.study(connection, uid)
    assert found is not None
    return found


def hand_over(engine: Engine, last_received_at: float | None = None) -> int | None:
    seen = study(engine).last_received_at if last_received_at is None else last_received_at
    with engine.begin() as connection:
        return store.hand_over(connection, STUDY, last_received_at=seen)


def test_first_instance_makes_the_study(any_engine: Engine) -> None:
    assert record(any_engine, instance(1), instance(2)) == [Verdict.STORED] * 2
    found = study(any_engine)
    assert (found.state, found.revision, found.instance_count, found.pending_images) == ("receiving", 0, 2, 2)
    assert (found.first_received_at, found.last_received_at, found.source_ae_title) == (101.0, 102.0, "PACS")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"received_at": 999.0}, Verdict.DUPLICATE),
        ({"sha256": "f" * 64, "path": "p"}, Verdict.CONFLICT),
        ({"transfer_syntax_uid": str(ImplicitVRLittleEndian), "sha256": "f" * 64, "path": "p"}, Verdict.REENCODED),
        ({"transfer_syntax_uid": str(ImplicitVRLittleEndian), "path": "p"}, Verdict.REENCODED),
        ({"study_instance_uid": "9.9", "sha256": "f" * 64, "path": "p"}, Verdict.CONFLICT),
    ],
)
@pytest.mark.parametrize("at_once", ["one transaction", "two transactions"])
def test_resend_changes_no_row(any_engine: Engine, changes: dict[str, Any], expected: Verdict, at_once: str) -> None:
    again = replace(instance(1), **changes)
    if at_once == "one transaction":
        assert record(any_engine, instance(1), again) == [Verdict.STORED, expected]
    else:
        record(any_engine, instance(1))
        before = study(any_engine)
        assert record(any_engine, again) == [expected]
        assert study(any_engine) == before
    with any_engine.connect() as connection:
        assert store.instances_of(connection, STUDY) == [instance(1)]
        assert len(store.list_studies(connection)) == 1


def test_hand_over_marks_what_is_there_and_what_comes_later_is_the_next_revision(any_engine: Engine) -> None:
    record(any_engine, instance(1), instance(2))
    assert hand_over(any_engine) == 1
    assert study(any_engine).state is StudyState.COMPLETE
    record(any_engine, instance(3, received_at=200.0))
    assert (study(any_engine).state, study(any_engine).pending_images) == ("receiving", 1)
    assert hand_over(any_engine) == 2
    with any_engine.connect() as connection:
        counts = [len(store.instances_of(connection, STUDY, revision)) for revision in (1, 2, None)]
    assert counts == [2, 3, 3]


def test_hand_over_does_nothing_when_an_instance_came_in_between(any_engine: Engine) -> None:
    record(any_engine, instance(1))
    record(any_engine, instance(2, received_at=150.0))
    assert hand_over(any_engine, last_received_at=101.0) is None
    assert study(any_engine).revision == 0
    assert hand_over(any_engine) == 1
    assert hand_over(any_engine) is None


def test_the_last_arrival_is_told_in_steps_and_what_came_within_one_is_handed_over_too(any_engine: Engine) -> None:
    within = 101.0 + arrivals.ARRIVAL_STEP_S / 2
    record(any_engine, instance(1))
    record(any_engine, instance(2, received_at=within))
    assert study(any_engine).last_received_at == 101.0
    assert hand_over(any_engine) == 1
    with any_engine.connect() as connection:
        assert len(store.instances_of(connection, STUDY, 1)) == 2
    record(any_engine, instance(3, received_at=within))
    assert (study(any_engine).state, study(any_engine).last_received_at) == ("receiving", within)
    record(any_engine, instance(4, received_at=101.0 + 2 * arrivals.ARRIVAL_STEP_S))
    assert study(any_engine).last_received_at == 101.0 + 2 * arrivals.ARRIVAL_STEP_S


@pytest.mark.parametrize("sop_class", [Comprehensive3DSRStorage, SegmentationStorage, EncapsulatedPDFStorage])
def test_late_object_without_pixels_of_the_patient_does_not_open_the_study_again(
    any_engine: Engine, sop_class: str
) -> None:
    record(any_engine, instance(1))
    hand_over(any_engine)
    before = study(any_engine)
    record(any_engine, instance(2, sop_class_uid=str(sop_class), received_at=500.0))
    after = study(any_engine)
    assert (after.state, after.last_received_at) == (before.state, before.last_received_at)
    record(any_engine, instance(3, received_at=600.0))
    assert hand_over(any_engine) == 2
    with any_engine.connect() as connection:
        assert len(store.instances_of(connection, STUDY, 1)) == 1
        assert len(store.instances_of(connection, STUDY, 2)) == 3


def test_our_own_object_changes_nothing_and_belongs_to_no_revision(any_engine: Engine) -> None:
    record(any_engine, instance(1))
    before = study(any_engine)
    record(any_engine, instance(2, sop_class_uid=str(SegmentationStorage), ours=True, received_at=900.0))
    assert study(any_engine) == before
    hand_over(any_engine)
    with any_engine.connect() as connection:
        assert store.instances_of(connection, STUDY) == [instance(1)]


def test_end_of_an_old_revision_does_not_hide_that_a_new_one_is_received(any_engine: Engine) -> None:
    record(any_engine, instance(1))
    hand_over(any_engine)
    with any_engine.begin() as connection:
        assert store.mark_study(connection, STUDY, 1, StudyState.RUNNING)
    record(any_engine, instance(2, received_at=300.0))
    with any_engine.begin() as connection:
        assert not store.mark_study(connection, STUDY, 1, StudyState.DONE)
    assert study(any_engine).state is StudyState.RECEIVING
    assert hand_over(any_engine) == 2
    with any_engine.begin() as connection:
        assert not store.mark_study(connection, STUDY, 1, StudyState.FAILED, "late")
        assert store.mark_study(connection, STUDY, 2, StudyState.REFUSED, "No series can be read.")
    assert (study(any_engine).state, study(any_engine).reason) == ("refused", "No series can be read.")
    record(any_engine, instance(3, received_at=400.0))
    assert (study(any_engine).state, study(any_engine).reason) == ("receiving", None)


def test_studies_are_listed_latest_first_and_by_state(any_engine: Engine) -> None:
    record(any_engine, instance(1))
    record(any_engine, instance(2, study_instance_uid="9", sop_instance_uid="9.1", received_at=900.0))
    hand_over(any_engine)
    with any_engine.connect() as connection:
        assert [s.study_instance_uid for s in store.list_studies(connection)] == ["9", STUDY]
        assert [s.study_instance_uid for s in store.list_studies(connection, limit=1)] == ["9"]
        assert [s.study_instance_uid for s in store.list_studies(connection, state=StudyState.COMPLETE)] == [STUDY]
        assert store.study(connection, "0") is None


def entry(path: str = "quarantine/k.dcm") -> QuarantineEntry:
    return QuarantineEntry(
        sop_instance_uid=None,
        study_instance_uid="1.2",
        path=path,
        verdict=Verdict.CONFLICT,
        reason="Why.",
        sha256="a" * 64,
        received_at=1.0,
        source_ae_title="PACS",
    )


def test_same_bytes_are_listed_once_in_quarantine(any_engine: Engine) -> None:
    for made in (entry(), entry(), entry("quarantine/l.dcm")):
        with any_engine.begin() as connection:
            store.record_quarantine(connection, made)
    with any_engine.connect() as connection:
        assert store.list_quarantine(connection) == [entry(), entry("quarantine/l.dcm")]
        assert store.known_paths(connection, ["quarantine/k.dcm", "received/x"]) == {"quarantine/k.dcm"}


def test_many_receivers_at_once_lose_no_instance_and_double_none(any_engine: Engine) -> None:
    """Each thread sends half of what its neighbour sends too, over two studies, in opposite orders."""
    verdicts: list[Verdict] = []
    failures: list[Exception] = []

    def receive(first: int) -> None:
        numbers = range(first, first + 20) if first % 20 else range(first + 19, first - 1, -1)
        for number in numbers:
            uid = f"{STUDY}{number % 2}"
            made = instance(number, study_instance_uid=uid)
            try:
                verdicts.extend(record(any_engine, made))
            except (arrivals.RacedError, DBAPIError) as error:
                failures.append(error)
                verdicts.extend(record(any_engine, made))

    threads = [threading.Thread(target=receive, args=(first,)) for first in (0, 10, 20, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (verdicts.count(Verdict.STORED), verdicts.count(Verdict.DUPLICATE)) == (50, 30)
    assert sum(study(any_engine, f"{STUDY}{n}").instance_count for n in (0, 1)) == 50


def test_recorder_answers_each_of_many_threads(any_engine: Engine) -> None:
    recorder = Recorder(any_engine, deadline_s=30)
    recorder.start()
    answers: dict[int, Verdict] = {}

    def send(number: int) -> None:
        answers[number] = recorder.record(instance(number % 30))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    recorder.stop(10)
    assert sorted(answers.values()) == [Verdict.DUPLICATE] * 30 + [Verdict.STORED] * 30


def test_one_bad_row_does_not_fail_the_others(any_engine: Engine) -> None:
    recorder = Recorder(any_engine, deadline_s=30)
    bad = instance(2, source_ae_title=None)
    outcomes: dict[int, object] = {}

    def send(number: int, made: Instance) -> None:
        try:
            outcomes[number] = recorder.record(made)
        except StorageFailure as failure:
            outcomes[number] = failure.args[0]

    batch = enumerate((instance(1), bad, instance(3)))
    threads = [threading.Thread(target=send, args=(number, made)) for number, made in batch]
    for thread in threads:
        thread.start()
    recorder.start()  # only now: all three are in one batch
    for thread in threads:
        thread.join(30)
    recorder.stop(10)
    assert outcomes[0] == outcomes[2] == Verdict.STORED
    assert "IntegrityError" in str(outcomes[1])


def test_every_verdict_has_an_answer_within_the_limits_of_the_standard() -> None:
    assert set(RESPONSES) == set(Verdict)
    for response in RESPONSES.values():
        assert 0 <= response.status <= 0xFFFF
        assert len(response.comment) <= 64
        assert bool(response.comment) == (response.status != 0)
