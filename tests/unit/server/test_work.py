"""The steps of the workflows over a real database and queue; no worker runs, each step is called as DBOS would."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import select

from builders.desk import DONE, MADE, SEG, SR, STUDY, Desk
from builders.tenure import Held
from dicom_node.delivery import BackOff, Verdict
from dicom_node.tables import deliveries
from inference.errors import Refusal, UsageRefusal
from server.compose import Node
from server.delivery_work import DeliverySteps
from server.kernel import Ended
from server.operations import HandOver, NotThere, complete, retry
from server.runs import RunState, run_of, runs_of
from server.sweep import GIVEN_UP, Sweep
from server.tables import runs


def test_a_hand_over_queues_its_work_and_is_not_repeated(desk: Desk) -> None:
    desk.receive("1")

    assert desk.hand_over() == desk.hand_over() == 1
    assert desk.queued() == [f"{STUDY}/r1"]
    assert desk.study_row().state == "complete"


def test_a_hand_over_that_fails_leaves_no_work(desk: Desk, node: Node) -> None:
    desk.receive("1")

    def hand_over_and_fail() -> None:
        with node.engine.begin() as connection:
            HandOver(desk.client)(connection, STUDY, 1)
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        hand_over_and_fail()

    assert desk.queued() == []
    with node.engine.connect() as connection:
        assert runs_of(connection, STUDY) == []


def test_the_time_inside_the_objects_is_fixed_by_the_first_start(desk: Desk) -> None:
    desk.receive("1")
    desk.hand_over()

    first = desk.study.begin(STUDY, 1, 1, 0)
    time.sleep(0.01)

    assert desk.study.begin(STUDY, 1, 1, 0) == first
    assert first["state"] == "ready"
    assert desk.study_row().state == "running"


def test_reading_asks_for_the_instances_of_the_revision(desk: Desk) -> None:
    desk.receive("1")
    desk.hand_over()
    begun = desk.study.begin(STUDY, 1, 1, 0)
    desk.receive("2")
    desk.kernel.answers = [DONE]

    assert desk.study.read(STUDY, 1, begun) == DONE
    assert desk.kernel.requests[0]["paths"] == ["received/1"]
    assert desk.kernel.requests[0]["content_at"] == begun["content_at"]


def test_a_study_waits_while_what_reads_is_away_and_is_then_read(desk: Desk) -> None:
    desk.receive("1")
    desk.hand_over()
    told: list[str | None] = []
    study = replace(desk.study, report_fault=told.append)
    away = {"state": "away", "reason": "The inference server is not reached (model m)."}
    desk.kernel.answers = [away, away, DONE]

    for wait in range(2):
        begun = study.begin(STUDY, 1, 1, wait)
        assert study.record(STUDY, 1, study.read(STUDY, 1, begun)) == {"state": "postponed"}
        assert f"{STUDY}/r1/wait{wait + 1}" in desk.queued()
        with desk.node.engine.connect() as connection:
            (run,) = runs_of(connection, STUDY)
        assert (run.state, run.reason) == ("queued", away["reason"])
        assert desk.study_row().state == "complete"
    assert Sweep(desk.node.engine, desk.client).run(time.time() + 1000) == 0
    begun = study.begin(STUDY, 1, 1, 2)
    assert study.record(STUDY, 1, study.read(STUDY, 1, begun)) == {"state": "done"}
    assert (desk.study_row().state, desk.study_row().reason) == ("done", None)
    assert told == [away["reason"], away["reason"], None]


def test_a_child_that_died_is_an_ended_reading_and_in_the_end_a_failed_study(desk: Desk) -> None:
    desk.receive("1")
    desk.hand_over()
    begun = desk.study.begin(STUDY, 1, 1, 0)
    desk.kernel.answers = [Ended(reason="it was killed")]

    outcome = desk.study.read(STUDY, 1, begun)
    recorded = desk.study.record(STUDY, 1, outcome)

    assert (outcome["state"], recorded["state"]) == ("ended", "failed")
    assert "failed 2 times" in desk.study_row().reason
    assert "it was killed" in desk.study_row().reason


def test_recording_queues_one_delivery_and_may_be_repeated(desk: Desk) -> None:
    desk.receive("1")
    desk.hand_over()
    desk.study.begin(STUDY, 1, 1, 0)

    assert desk.study.record(STUDY, 1, DONE) == {"state": "done"}
    assert desk.study.record(STUDY, 1, DONE) == {"state": "superseded"}
    assert f"{STUDY}/r1/deliver/PACS/g1/try1" in desk.queued()
    assert desk.parcels() == {SR: "pending", SEG: "pending"}
    assert desk.study_row().state == "done"


def test_one_uid_with_two_contents_fails_and_nothing_is_sent(desk: Desk) -> None:
    desk.receive("1")
    desk.hand_over()
    desk.finish()
    desk.receive("2")
    desk.hand_over()
    desk.study.begin(STUDY, 2, 1, 0)
    other = {**DONE, "results": [{**MADE[0], "sha256": "other"}]}

    assert desk.study.record(STUDY, 2, other) == {"state": "failed"}
    assert "recorded with other content" in desk.study_row().reason
    assert not any("/r2/deliver" in flow for flow in desk.queued())


def test_a_later_revision_waits_for_the_earlier_one_and_names_it_as_predecessor(desk: Desk) -> None:
    desk.receive("1")
    desk.hand_over()
    desk.receive("2")
    desk.hand_over()

    assert desk.study.begin(STUDY, 2, 1, 0) == {"state": "waiting"}
    assert f"{STUDY}/r2/wait1" in desk.queued()
    desk.finish(1)
    assert desk.study.begin(STUDY, 2, 1, 1)["predecessor"] == "results/sr.dcm"


def test_a_run_that_ends_while_instances_arrive_does_not_close_the_study(desk: Desk) -> None:
    desk.receive("1")
    desk.hand_over()
    desk.receive("2")

    desk.finish(1)

    assert desk.study_row().state == "receiving"


@pytest.mark.parametrize(
    ("verdicts", "attempt", "state", "parcels"),
    [
        ((Verdict.ACCEPTED, Verdict.ACCEPTED), 1, "delivered", ("delivered", "delivered")),
        ((Verdict.ACCEPTED, Verdict.REFUSED), 1, "dead", ("delivered", "dead")),
        ((Verdict.FAILED, Verdict.ACCEPTED), 1, "retry", ("retrying", "delivered")),
        ((Verdict.FAILED, Verdict.REFUSED), 1, "retry", ("retrying", "dead")),
        ((Verdict.FAILED, Verdict.FAILED), 3, "dead", ("dead", "dead")),
    ],
)
def test_each_object_has_its_own_answer(
    desk: Desk, verdicts: tuple[Verdict, Verdict], attempt: int, state: str, parcels: tuple[str, str]
) -> None:
    desk.receive("1")
    desk.hand_over()
    desk.finish()
    desk.peer.verdicts = {"sr": verdicts[0], "seg": verdicts[1]}

    assert desk.delivery.send(STUDY, 1, "PACS", 1, attempt)["state"] == state

    assert desk.parcels() == {SR: parcels[0], SEG: parcels[1]}
    assert (f"{STUDY}/r1/deliver/PACS/g1/try{attempt + 1}" in desk.queued()) is (state == "retry")
    accepted = verdicts.count(Verdict.ACCEPTED)
    begun = [("sending_begun", "0", 0)] if attempt == 1 else []
    ended = [("instances_sent", "0" if accepted == 2 else "4", accepted)] if accepted or state == "dead" else []
    assert desk.audited() == begun + ended


def test_what_was_delivered_is_not_sent_again(desk: Desk) -> None:
    desk.receive("1")
    desk.hand_over()
    desk.finish()
    desk.delivery.send(STUDY, 1, "PACS", 1, 1)

    assert desk.delivery.send(STUDY, 1, "PACS", 1, 1) == {"state": "delivered"}
    assert desk.peer.sent == [["seg", "sr"]]  # once, the SEG first


def test_a_destination_that_left_the_settings_keeps_its_objects(desk: Desk) -> None:
    desk.receive("1")
    desk.hand_over()
    desk.finish()
    steps = DeliverySteps(
        engine=desk.node.engine,
        client=desk.client,
        spool=desk.node.spool,
        destinations={},
        back_off=BackOff(),
        tenure=Held(),
    )

    assert steps.send(STUDY, 1, "PACS", 1, 1)["state"] == "retry"
    assert set(desk.parcels().values()) == {"retrying"}


@pytest.mark.parametrize("name", [lambda _n: STUDY, lambda _n: SEG, str])
def test_retry_takes_the_dead_letter_up_again_and_ends_older_tries(desk: Desk, name: Callable[[int], str]) -> None:
    desk.receive("1")
    desk.hand_over()
    desk.finish()
    desk.peer.verdicts["seg"] = Verdict.REFUSED
    desk.delivery.send(STUDY, 1, "PACS", 1, 1)
    with desk.node.engine.connect() as connection:
        number = connection.execute(select(deliveries.c.id).where(deliveries.c.state == "dead")).scalar_one()

    retried = retry(desk.node.engine, desk.client, name(number))

    assert (retried.revisions, retried.deliveries) == ((), 1)
    assert f"{STUDY}/r1/deliver/PACS/g2/try1" in desk.queued()
    assert desk.delivery.send(STUDY, 1, "PACS", 1, 2) == {"state": "superseded"}
    desk.peer.verdicts["seg"] = Verdict.ACCEPTED
    assert desk.delivery.send(STUDY, 1, "PACS", 2, 1) == {"state": "delivered"}
    assert desk.parcels() == {SR: "delivered", SEG: "delivered"}


def test_retry_of_a_failed_study_reads_it_again_with_the_same_time(desk: Desk) -> None:
    desk.receive("1")
    desk.hand_over()
    begun = desk.study.begin(STUDY, 1, 1, 0)
    desk.study.record(STUDY, 1, {"state": "failed", "reason": "the disk was full"})
    assert desk.study_row().reason == "the disk was full"

    assert retry(desk.node.engine, desk.client, STUDY).revisions == (1,)

    assert f"{STUDY}/r1/again2" in desk.queued()
    assert (desk.study_row().state, desk.study_row().reason) == ("complete", None)
    assert desk.study.begin(STUDY, 1, 1, 0) == {"state": "superseded"}
    assert desk.study.begin(STUDY, 1, 2, 0)["content_at"] == begun["content_at"]


def test_retry_refuses_what_did_not_fail(desk: Desk) -> None:
    desk.receive("1")
    desk.hand_over()
    with pytest.raises(Refusal, match="being worked on"):
        retry(desk.node.engine, desk.client, STUDY)
    desk.finish()
    desk.delivery.send(STUDY, 1, "PACS", 1, 1)

    with pytest.raises(Refusal, match="nothing to retry"):
        retry(desk.node.engine, desk.client, STUDY)
    with pytest.raises(NotThere):
        retry(desk.node.engine, desk.client, "9.9")


def test_completing_what_was_not_received_is_refused(desk: Desk) -> None:
    with pytest.raises(NotThere):
        complete(desk.node, desk.client, "9.9")
    with pytest.raises((Refusal, UsageRefusal)):
        complete(desk.node, desk.client, STUDY)


def test_the_sweep_fails_a_run_that_no_workflow_stands_for(desk: Desk) -> None:
    desk.receive("1")
    desk.hand_over()
    sweep = Sweep(desk.node.engine, desk.client)
    later = time.time() + 3600
    assert sweep.run(later) == 0  # the work is queued

    desk.client.cancel_workflow(f"{STUDY}/r1")

    assert sweep.run(time.time()) == 0  # too early to say
    assert sweep.run(later) == 1
    with desk.node.engine.connect() as connection:
        run = run_of(connection, STUDY, 1)
    assert run is not None
    assert (run.state, run.reason) == (RunState.FAILED, GIVEN_UP)


def test_the_sweep_puts_a_delivery_that_nobody_makes_into_the_dead_letter(desk: Desk) -> None:
    desk.receive("1")
    desk.hand_over()
    desk.finish()
    desk.client.cancel_workflow(f"{STUDY}/r1/deliver/PACS/g1/try1")

    assert Sweep(desk.node.engine, desk.client).run(time.time() + 3600) == 2
    assert set(desk.parcels().values()) == {"dead"}


def test_runs_have_one_row_per_revision(desk: Desk) -> None:
    desk.receive("1")
    desk.hand_over()
    desk.receive("2")
    desk.hand_over()

    with desk.node.engine.connect() as connection:
        assert [row.revision for row in connection.execute(select(runs).order_by(runs.c.revision))] == [1, 2]
