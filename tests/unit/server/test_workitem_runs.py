"""Workitems that this node performs: they follow the runs of their study, on SQLite and PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dbos import DBOSClient
from sqlalchemy import delete, insert, select

from builders.dicom import SeriesPlan, small_voxels
from builders.findings import reference, spine_findings, spine_segmentation
from builders.read_study import headers_of, keep_read_study
from builders.workitems import Worklist, output_uids, workitem
from dicom_node.tables import results, studies
from dicom_node.ups.elements import code, dataset, element, text_of, values_of
from server.compose import Node
from server.operations import HandOver, retry
from server.runs import RunState, finish_run, runs_of, start_run
from server.workitems.service import take_up_waiting

PLAN = SeriesPlan(voxels=small_voxels(2))
STUDY = PLAN.study_instance_uid
UID = "2.25.1001"


@pytest.fixture
def node(database_node: Node) -> Node:
    return database_node


def receive(node: Node, state: str = "receiving", revision: int = 0) -> None:
    times = {"first_received_at": 0.0, "last_received_at": 0.0, "source_ae_title": "SOURCE"}
    with node.engine.begin() as connection:
        connection.execute(insert(studies).values(study_instance_uid=STUDY, state=state, revision=revision, **times))


def hand_over(node: Node, queue: DBOSClient, revision: int = 1) -> None:
    with node.engine.begin() as connection:
        connection.execute(studies.update().values(state="complete", revision=revision))
        HandOver(queue)(connection, STUDY, revision)


def read_study(node: Node) -> None:
    headers = headers_of([PLAN])
    sources = [reference(header) for header in headers[PLAN.series_instance_uid]]
    findings = spine_findings(STUDY, sources[1], (1.0, 1.0))
    fracture, *others = findings.findings
    findings = replace(findings, findings=(replace(fracture, evidence=()), *others))
    keep_read_study(node, headers, findings, [spine_segmentation(PLAN.series_instance_uid, sources, (32, 24))])


def run_state(node: Node) -> str:
    with node.engine.connect() as connection:
        return runs_of(connection, STUDY)[-1].state


def test_a_study_that_was_asked_for_is_claimed_and_completed_when_it_comes(
    node: Node, items: Worklist, queue: DBOSClient
) -> None:
    items.create(UID, workitem(STUDY))
    assert items.state(UID) == "SCHEDULED"
    assert items.change(UID, "IN PROGRESS").status_code == 409, "this node performs it"
    receive(node)
    hand_over(node, queue)
    assert [text_of(item, "SOPInstanceUID") for item in items.search()] == [UID], "no second one for the same run"
    assert items.update(UID, dataset(element("ProcedureStepLabel", "x"))).status_code == 409

    with node.engine.begin() as connection:
        start_run(connection, STUDY, 1, 10.0)
    assert items.state(UID) == "IN PROGRESS"
    assert items.cancel(UID).status_code == 409
    assert items.change(UID, "CANCELED").status_code == 400, "nobody else has the lock"

    with node.engine.begin() as connection:
        finish_run(connection, STUDY, 1, RunState.DONE, 20.0)
    done = items.read(UID)
    (progress,) = values_of(done, "ProcedureStepProgressInformationSequence")
    assert values_of(progress, "ProcedureStepProgress") == [100]
    (step,) = values_of(done, "UnifiedProcedureStepPerformedProcedureSequence")
    assert text_of(step, "PerformedProcedureStepEndDateTime") == "19700101000020+0000"


def test_a_study_that_was_read_is_answered_at_once_with_its_objects(node: Node, items: Worklist) -> None:
    read_study(node)

    assert items.create(UID, workitem(STUDY)).status_code == 201

    done = items.read(UID)
    with node.engine.connect() as connection:
        made = set(connection.execute(select(results.c.sop_instance_uid)).scalars())
    assert text_of(done, "ProcedureStepState") == "COMPLETED"
    assert len(made) == 2
    assert output_uids(done) == made
    assert text_of(done, "PatientID") == str(headers_of([PLAN])[PLAN.series_instance_uid][0].PatientID)
    assert [text_of(found, "SOPInstanceUID") for found in items.search(PatientID=text_of(done, "PatientID"))] == [UID]
    url = values_of(values_of(done, "UnifiedProcedureStepPerformedProcedureSequence")[0], "OutputInformationSequence")
    address = text_of(values_of(url[0], "WADORSRetrievalSequence")[0], "RetrieveURL")
    assert items.client.get(f"{address}/metadata").status_code == 200


def test_a_run_that_nobody_asked_for_is_a_workitem_too(node: Node, items: Worklist, queue: DBOSClient) -> None:
    read_study(node)
    with node.engine.begin() as connection:
        connection.execute(delete(results))
    hand_over(node, queue, 2)

    (own,) = items.search(ProcedureStepState="SCHEDULED", ScheduledWorkitemCodeSequence__CodeValue="110004")

    assert text_of(own, "StudyInstanceUID") == STUDY
    (series,) = values_of(own, "InputInformationSequence")
    assert text_of(series, "SeriesInstanceUID") == PLAN.series_instance_uid
    assert len(values_of(series, "ReferencedSOPSequence")) == 2


def test_a_refused_run_says_why_and_a_retry_is_another_workitem(node: Node, items: Worklist, queue: DBOSClient) -> None:
    receive(node)
    hand_over(node, queue)
    with node.engine.begin() as connection:
        finish_run(connection, STUDY, 1, RunState.REFUSED, 5.0, reason="No image is in it.")
    (canceled,) = items.search(ProcedureStepState="CANCELED")
    (progress,) = values_of(canceled, "ProcedureStepProgressInformationSequence")
    assert text_of(progress, "ReasonForCancellation") == "No image is in it."
    reason = values_of(progress, "ProcedureStepDiscontinuationReasonCodeSequence")[0]
    assert text_of(reason, "CodeValue") == "110522"

    retry(node.engine, queue, STUDY)

    assert sorted(str(text_of(item, "ProcedureStepState")) for item in items.search()) == ["CANCELED", "SCHEDULED"]
    items.create(UID, workitem(STUDY))
    assert items.state(UID) == "SCHEDULED"


def test_asking_again_for_a_study_that_failed_has_it_read_again(node: Node, items: Worklist, queue: DBOSClient) -> None:
    receive(node)
    hand_over(node, queue)
    with node.engine.begin() as connection:
        finish_run(connection, STUDY, 1, RunState.FAILED, 5.0, reason="The disk was full.")

    items.create(UID, workitem(STUDY))

    assert run_state(node) == "queued"
    assert items.state(UID) == "SCHEDULED"


def test_what_waits_is_canceled_with_its_run_and_what_others_wait_for_goes_on(
    node: Node, items: Worklist, queue: DBOSClient
) -> None:
    receive(node)
    hand_over(node, queue)
    (own,) = items.search()
    items.create(UID, workitem(STUDY))
    reason = dataset(element("ReasonForCancellation", "Wrong patient table"))

    assert items.cancel(UID, reason).status_code == 202
    (progress,) = values_of(items.read(UID), "ProcedureStepProgressInformationSequence")
    assert text_of(progress, "ReasonForCancellation") == "Wrong patient table"
    assert run_state(node) == "queued", "the run's own workitem still stands"

    assert items.cancel(str(text_of(own, "SOPInstanceUID"))).status_code == 202
    assert run_state(node) == "refused"


def test_input_that_is_not_there_yet_waits_until_it_is_said_to_be(
    node: Node, items: Worklist, queue: DBOSClient
) -> None:
    receive(node)
    items.create(UID, workitem(STUDY, ready="INCOMPLETE"))
    hand_over(node, queue)
    assert len(items.search()) == 2

    items.update(UID, dataset(element("InputReadinessState", "READY")))
    with node.engine.begin() as connection:
        start_run(connection, STUDY, 1, 10.0)

    assert items.state(UID) == "IN PROGRESS"


def test_a_workitem_that_was_missed_is_taken_up_later(node: Node, items: Worklist, queue: DBOSClient) -> None:
    items.create(UID, workitem(STUDY))
    read_study(node)

    assert take_up_waiting(node.engine, queue, 30.0) == 1
    assert items.state(UID) == "COMPLETED"


def test_a_workitem_for_another_station_is_left_to_it(node: Node, items: Worklist) -> None:
    read_study(node)
    station = code("OTHERAI", "99TEST", "Another")
    items.create(UID, workitem(STUDY, ScheduledStationNameCodeSequence=station))
    items.create("2.25.1002", workitem(STUDY, ScheduledStationNameCodeSequence=code("SPINEAI", "99TEST", "Ours")))

    assert items.state(UID) == "SCHEDULED"
    assert items.change(UID, "IN PROGRESS").status_code == 200
    assert items.state("2.25.1002") == "COMPLETED"


def test_a_canceled_run_is_not_begun_and_a_begun_one_is_not_canceled(
    node: Node, items: Worklist, queue: DBOSClient
) -> None:
    receive(node)
    hand_over(node, queue)
    (own,) = items.search()
    uid = str(text_of(own, "SOPInstanceUID"))
    with node.engine.begin() as connection:
        start_run(connection, STUDY, 1, 10.0)

    assert items.cancel(uid).status_code == 409
    assert run_state(node) == "running"
