"""A worker that lost its work, at each place where it would send or publish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from builders.desk import DONE, SEG, SR, STUDY, Desk
from builders.tenure import Held
from dicom_node.delivery import Gate, SendOutcome
from inference.errors import StorageFailure
from server.lease import LeaseLost


@pytest.mark.parametrize(("answers", "sent"), [(2, []), (4, ["seg"])])
def test_one_that_was_declared_dead_sends_nothing_more(desk: Desk, answers: int, sent: list[str]) -> None:
    """Asked when it takes the work up, twice before each object and once after it."""
    desk.receive("1")
    desk.hand_over()
    desk.finish()

    with pytest.raises(LeaseLost):
        replace(desk.delivery, tenure=Held(answers)).send(STUDY, 1, "PACS", 1, 1)

    assert desk.peer.sent == [sent]
    assert desk.parcels() == {SR: "pending", SEG: "delivered" if sent else "pending"}
    desk.delivery.send(STUDY, 1, "PACS", 1, 1)
    assert sorted(desk.peer.sent[0] + desk.peer.sent[1]) == ["seg", "sr"]


def test_a_try_that_was_overtaken_stops(desk: Desk) -> None:
    desk.receive("1")
    desk.hand_over()
    desk.finish()
    peer = desk.peer

    def overtaking(files: Sequence[Path], gate: Gate) -> tuple[SendOutcome, ...]:
        assert desk.delivery.send(STUDY, 1, "PACS", 1, 1) == {"state": "delivered"}
        return peer(files, gate)

    steps = replace(desk.delivery, destinations={"PACS": overtaking})

    assert steps.send(STUDY, 1, "PACS", 1, 1) == {"state": "superseded"}
    assert peer.sent == [["seg", "sr"], []]


def test_a_file_that_is_gone_fails_what_was_not_sent_and_nothing_else(desk: Desk) -> None:
    desk.receive("1")
    desk.hand_over()
    desk.finish()
    peer = desk.peer

    def breaking(files: Sequence[Path], gate: Gate) -> tuple[SendOutcome, ...]:
        peer(files[:1], gate)
        raise StorageFailure("sr.dcm cannot be sent: it cannot be read any more.")

    steps = replace(desk.delivery, destinations={"PACS": breaking})

    assert steps.send(STUDY, 1, "PACS", 1, 1)["state"] == "retry"
    assert desk.parcels() == {SEG: "delivered", SR: "retrying"}


def test_two_readings_of_a_study_write_to_folders_of_their_own(desk: Desk) -> None:
    desk.receive("1")
    desk.hand_over()
    begun = desk.study.begin(STUDY, 1, 1, 0)
    desk.kernel.answers = [DONE, DONE]

    for _ in range(2):
        desk.study.read(STUDY, 1, begun)

    assert [request["reading"] for request in desk.kernel.requests] == [1, 2]


def test_one_that_was_declared_dead_publishes_nothing(desk: Desk) -> None:
    desk.receive("1")
    desk.hand_over()
    desk.study.begin(STUDY, 1, 1, 0)

    with pytest.raises(LeaseLost):
        replace(desk.study, tenure=Held(0)).record(STUDY, 1, DONE)

    assert (desk.study_row().state, desk.parcels()) == ("running", {})
