"""Claims on SQLite and on PostgreSQL: where statements differ, and where two change one claim at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from builders.claim_office import STUDY, Office, open_office
from builders.posted_claims import claim_json
from builders.received_reports import oru
from dicom_node.tables import web_studies
from server.auth.audit.trail import verify
from server.claims.history import fault_of
from server.claims.packets import manifest_path
from server.claims.patients import carry_over
from server.claims.retention import delete_old
from server.claims.seals import seal_fault
from server.compose import Node
from server.database import reading
from server.hl7.intake import take
from server.tables import claim_evaluations, claims, received_reports

AT_ONCE = 6


@pytest.fixture
def office(database_node: Node, tmp_path: Path) -> Iterator[Office]:
    with open_office(database_node, tmp_path / "series") as opened:
        yield opened


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What calls give that are made at the same moment."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def is_whole(office: Office, claim: str) -> bool:
    """Whether history, packets and audit trail are what they were."""
    with reading(office.node.engine) as connection:
        faults = fault_of(connection, claim), verify(connection).fault
        return (*faults, seal_fault(connection, office.node.spool, claim, manifest_path(claim))) == (None, None, None)


def test_a_claim_from_its_receipt_to_its_end(office: Office) -> None:
    quiet = office.kept(number="A-2")
    claim = office.kept()
    assert office.report(quiet).status_code == 201
    assert office.decide(claim, "noted", reason="Called the ward.").status_code == 204
    assert take(office.node, oru("1")).endswith(b"MSA|AA|1\r")
    office.watch.look()
    assert [office.evidence(one)["verdict"] for one in (quiet, claim)] == ["SUPPORTS", "SUPPORTS"]
    assert [one["id"] for one in office.get("")["claims"]] == [claim, quiet]
    assert office.decide(claim, "closed").status_code == 204
    assert [one["id"] for one in office.http.get("/api/v1/claims?state=open&with_prompts=true").json()["claims"]] == [
        quiet
    ]
    assert office.get(f"{quiet}/packet")["evaluation"] == 3
    assert is_whole(office, claim)
    assert is_whole(office, quiet)
    with office.node.engine.begin() as connection:
        connection.execute(update(claims).where(claims.c.id == claim).values(state_since=0.0))
    assert delete_old(office.node, 1) == 1
    assert [one["id"] for one in office.get("")["claims"]] == [quiet]


def test_one_key_that_is_used_at_once_keeps_one_file(office: Office) -> None:
    files = [claim_json(STUDY), claim_json(STUDY, number="A-2")]
    answers = at_once(*(lambda n=n: office.hand_in(files[n % 2], "the key") for n in range(AT_ONCE)))
    kept = [answer.json() for answer in answers if answer.is_success]
    assert {answer.status_code for answer in answers} <= {200, 201, 409}
    assert [answer.status_code for answer in answers].count(201) == 1
    assert len(kept) == AT_ONCE // 2
    assert all(one == kept[0] for one in kept)
    assert len(office.get("")["claims"]) == 1


def test_two_desks_change_one_claim_and_nothing_is_lost(office: Office) -> None:
    claim = office.kept()
    notes = [lambda n=n: office.decide(claim, "noted", reason=f"note {n}") for n in range(AT_ONCE)]
    reports = [lambda: office.report(claim) for _ in range(2)]
    looks = [office.watch.look] * 2
    answers = at_once(*notes, *reports, *looks)
    assert [answer.status_code for answer in answers[:AT_ONCE]] == [204] * AT_ONCE
    assert sorted(answer.status_code for answer in answers[AT_ONCE : AT_ONCE + 2]) == [200, 201]
    actions = office.get(f"{claim}/history")["actions"]
    assert [action["number"] for action in actions] == list(range(1, AT_ONCE + 3))
    assert {action["reason"] for action in actions} >= {f"note {n}" for n in range(AT_ONCE)}
    assert is_whole(office, claim)
    with reading(office.node.engine) as connection:
        numbers = connection.execute(select(claim_evaluations.c.number).order_by(claim_evaluations.c.number)).scalars()
        assert list(numbers) == [1, 2]


def test_one_closes_a_claim_while_others_work_on_it(office: Office) -> None:
    claim = office.kept()
    calls = [lambda: office.decide(claim, "closed"), *([lambda: office.report(claim)] * 2)]
    codes = [answer.status_code for answer in at_once(*calls)]
    assert codes[0] == 204
    assert set(codes[1:]) <= {200, 201, 409}
    evidence = office.evidence(claim)
    assert (evidence["number"], len(office.get(claim)["reports"])) in {(1, 0), (2, 1)}
    assert is_whole(office, claim)


def test_a_message_that_comes_on_two_connections_at_once_is_kept_once(office: Office) -> None:
    answers = at_once(*(lambda: take(office.node, oru("1")) for _ in range(AT_ONCE)))
    assert all(answer.endswith(b"MSA|AA|1\r") for answer in answers)
    with reading(office.node.engine) as connection:
        assert connection.execute(select(func.count()).select_from(received_reports)).scalar_one() == 1


def test_studies_that_an_earlier_version_indexed_are_found(office: Office) -> None:
    assert office.evidence(office.kept())["verdict"] == "REPORT_MISSING"
    with office.node.engine.begin() as connection:
        connection.execute(update(web_studies).values(patient_id=""))
    assert office.evidence(office.kept(number="A-2"))["verdict"] == "NO_EVIDENCE"
    with office.node.engine.begin() as connection:
        assert [carry_over(connection) for _ in range(2)] == [1, 0]
    assert office.evidence(office.kept(number="A-3"))["verdict"] == "REPORT_MISSING"
