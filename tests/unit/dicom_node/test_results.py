"""Rows of results and deliveries, on a real SQLite database."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import create_engine

from dicom_node.delivery import SendOutcome, Verdict
from dicom_node.results import (
    DeliveryState,
    ResultRecord,
    is_ours,
    list_deliveries,
    mark_delivery,
    pending_deliveries,
    queue_deliveries,
    record_results,
    results_of,
    revive_deliveries,
)
from dicom_node.tables import metadata
from inference.errors import StorageFailure

REPORT = ResultRecord(
    sop_instance_uid="1.9.1",
    study_instance_uid="1.2.3",
    revision=1,
    role="sr",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.88.34",
    series_instance_uid="1.9.2",
    path="1.2.3/1/sr.dcm",
    sha256="aa" * 32,
)
SEGMENTATION = replace(REPORT, sop_instance_uid="1.9.3", role="seg", path="1.2.3/1/seg.dcm", sha256="bb" * 32)
BOTH = (REPORT, SEGMENTATION)


@pytest.fixture
def connection(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'node.sqlite'}")
    metadata.create_all(engine)
    with engine.begin() as open_connection:
        yield open_connection
    engine.dispose()


def answer(uid: str, verdict: Verdict) -> SendOutcome:
    return SendOutcome(sop_instance_uid=uid, verdict=verdict, status=0, sentence="The peer said so.")


def test_recording_twice_leaves_one_row(connection):
    record_results(connection, BOTH, 10.0)
    record_results(connection, BOTH, 20.0)
    assert set(results_of(connection, "1.2.3", 1)) == set(BOTH)
    assert results_of(connection, "1.2.3", 2) == ()


def test_one_uid_never_names_two_objects(connection):
    record_results(connection, BOTH, 10.0)
    with pytest.raises(StorageFailure, match=r"1\.9\.1 is recorded with other content"):
        record_results(connection, [replace(REPORT, sha256="cc" * 32)], 20.0)


def test_our_own_objects_are_recognised(connection):
    record_results(connection, BOTH, 10.0)
    assert is_ours(connection, "1.9.1")
    assert not is_ours(connection, "1.2.3.4")


def test_queueing_twice_queues_once(connection):
    record_results(connection, BOTH, 10.0)
    assert queue_deliveries(connection, "1.2.3", 1, ["PACS", "BACKUP"], 11.0) == 4
    assert queue_deliveries(connection, "1.2.3", 1, ["PACS", "BACKUP"], 12.0) == 0
    waiting = pending_deliveries(connection, "1.2.3", 1, "PACS")
    assert [d.role for d in waiting] == ["seg", "sr"], "the segmentation arrives before the report that names it"
    assert {d.state for d in waiting} == {DeliveryState.PENDING}
    assert {d.path for d in waiting} == {REPORT.path, SEGMENTATION.path}


def test_what_is_kept_here_is_queued_for_no_destination(connection):
    record_results(connection, BOTH, 10.0)
    assert queue_deliveries(connection, "1.2.3", 1, ["PACS"], 11.0, kept_roles={"seg"}) == 1
    assert [d.role for d in pending_deliveries(connection, "1.2.3", 1, "PACS")] == ["sr"]
    assert queue_deliveries(connection, "1.2.3", 1, ["PACS"], 12.0) == 1, "a site may change its mind"


def test_each_verdict_has_its_state(connection):
    record_results(connection, BOTH, 10.0)
    queue_deliveries(connection, "1.2.3", 1, ["PACS"], 11.0)
    seg, report = pending_deliveries(connection, "1.2.3", 1, "PACS")
    accepted, failed = answer("1.9.3", Verdict.ACCEPTED), answer("1.9.1", Verdict.FAILED)
    assert mark_delivery(connection, seg.id, accepted, 12.0, attempts_left=True) is DeliveryState.DELIVERED
    assert mark_delivery(connection, report.id, failed, 12.0, attempts_left=True) is DeliveryState.RETRYING
    (still,) = pending_deliveries(connection, "1.2.3", 1, "PACS")
    assert (still.id, still.attempts, still.reason) == (report.id, 1, "The peer said so.")
    assert mark_delivery(connection, report.id, failed, 13.0, attempts_left=False) is DeliveryState.DEAD
    assert pending_deliveries(connection, "1.2.3", 1, "PACS") == ()


def test_a_permanent_refusal_is_dead_at_once_and_can_be_revived(connection):
    record_results(connection, [REPORT], 10.0)
    queue_deliveries(connection, "1.2.3", 1, ["PACS"], 11.0)
    (delivery,) = pending_deliveries(connection, "1.2.3", 1, "PACS")
    refused = answer("1.9.1", Verdict.REFUSED)
    assert mark_delivery(connection, delivery.id, refused, 12.0, attempts_left=True) is DeliveryState.DEAD
    (dead,) = list_deliveries(connection, states=[DeliveryState.DEAD])
    assert dead.reason == "The peer said so."
    assert revive_deliveries(connection, [dead.id], 13.0) == 1
    assert revive_deliveries(connection, [dead.id], 14.0) == 0
    (again,) = pending_deliveries(connection, "1.2.3", 1, "PACS")
    assert (again.attempts, again.reason) == (0, None)


def test_deliveries_are_listed_by_study_latest_first(connection):
    other = replace(REPORT, sop_instance_uid="1.9.9", study_instance_uid="1.2.4")
    record_results(connection, [REPORT, other], 10.0)
    queue_deliveries(connection, "1.2.3", 1, ["PACS"], 11.0)
    queue_deliveries(connection, "1.2.4", 1, ["PACS"], 12.0)
    assert [d.study_instance_uid for d in list_deliveries(connection)] == ["1.2.4", "1.2.3"]
    assert [d.sop_instance_uid for d in list_deliveries(connection, study_instance_uid="1.2.3")] == ["1.9.1"]
    assert len(list_deliveries(connection, limit=1)) == 1
