"""Attachments over a real database, a real queue and a real TLS end point; each step is called as DBOS would."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest
import trustme
from sqlalchemy import Engine

from builders.claim_attachments import attachment, of_patient, report
from builders.claim_submission import STUDY, submission
from builders.findings import refused_findings
from builders.payer import Payer, destinations_file, functional, outcome, payer, say, stay_silent, ta1, x12_table
from builders.tenure import Held
from builders.x12_275 import parse
from claims.attachment import Attachment, AttachmentRefusal
from claims.attachments.envelope import payload_of
from dicom_node.spool import Spool
from inference.errors import Refusal, StorageFailure
from server.agreement import DriftWatch
from server.attachment_work import AttachmentSteps
from server.attachments import (
    attachment_status,
    attachments_of,
    queue_attachment,
    record_acknowledgement,
)
from server.auth.audit.trail import entries
from server.claim_destinations import claim_destinations
from server.cli import run
from server.compose import Node
from server.database import reading
from server.events import configure
from server.lease import LeaseLost
from server.metrics import render
from server.operations import NotThere, retry
from server.output_drift import OutputWatch
from server.settings import Settings
from server.sweep import GIVEN_UP, Sweep
from server.work_queue import make_client


@dataclass(slots=True)
class Desk:
    """A node with one destination."""

    node: Node
    client: Any
    payer: Payer

    def queue(self, made: Attachment | None = None, **changes: Any) -> tuple[Any, bool]:
        return queue_attachment(self.node, self.client, submission(**({"attachment": made or attachment()} | changes)))

    def send(self, attempt: int = 1, generation: int = 1, made: Any = None, left: int | None = None) -> str:
        payers = claim_destinations(self.node.settings)
        steps = AttachmentSteps(node=self.node, client=self.client, destinations=payers, tenure=Held(left))
        return str(steps.send((made or attachment()).control_number, generation, attempt)["state"])

    def status(self) -> Any:
        return attachment_status(self.node.engine, attachment().control_number)


@pytest.fixture
def at_desk(tmp_path: Path, with_settings: Callable[..., Node]) -> Iterator[Callable[..., Desk]]:
    with payer(tmp_path) as listening:

        def make(**changes: Any) -> Desk:
            table = x12_table(listening, **changes)
            file = destinations_file(tmp_path, acme=table)
            node = with_settings(
                claim_destinations_file=file, delivery_attempts=3, delivery_backoff=30.0, delivery_timeout=1.0
            )
            return Desk(node=node, client=make_client(node.engine), payer=listening)

        yield make


@pytest.fixture
def desk(at_desk: Callable[..., Desk]) -> Desk:
    return at_desk()


def flows(desk: Desk) -> dict[str, str]:
    found = desk.client.list_workflows(load_input=False, load_output=False)
    return {flow.workflow_id: flow.status for flow in found if flow.workflow_id.startswith("attachment/")}


def test_one_that_was_declared_dead_submits_nothing(desk: Desk) -> None:
    desk.queue()

    with pytest.raises(LeaseLost):
        desk.send(left=1)  # it takes the work up, and asks again before it submits

    assert desk.payer.bodies == []
    assert desk.send() == "acknowledged"
    assert len(desk.payer.bodies) == 1


def test_it_is_queued_sent_acknowledged_and_audited(desk: Desk) -> None:
    status, is_new = desk.queue()
    assert (status.state, status.attempts, is_new) == ("queued", 0, True)
    assert list(flows(desk)) == [f"attachment/{status.control_number}/g1/try1"]

    assert desk.send() == "acknowledged"

    read = parse(desk.payer.bodies[0])
    assert read.details[0]["TRN"] == ["1", status.control_number]
    assert int(read.isa[13]) == status.interchange_control_number
    assert desk.payer.headers[0]["Content-Type"] == "application/EDI-X12"
    status = desk.status()
    assert (status.state, status.attempts, status.next_try_at) == ("acknowledged", 1, None)
    assert status.reason == "Success (HTTP 200), 999: IK501 A, AK901 A"
    assert status.queued_at <= status.sent_at <= status.answered_at
    with reading(desk.node.engine) as connection:
        newest = entries(connection, limit=1)[0].record
    assert (newest.kind.value, newest.outcome.value, newest.studies) == ("exported", "0", (STUDY,))
    assert newest.object == f"attachment {status.control_number} to acme"


def test_neither_log_nor_audit_trail_says_who_the_patient_is(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    configure("INFO")
    desk.payer.answers = [outcome(422, "error"), say(200)]
    desk.queue()
    desk.send()

    written = "".join(capfd.readouterr())
    with reading(desk.node.engine) as connection:
        written += "".join(entry.record.canonical() for entry in entries(connection, limit=9))
    assert "attachment_sent" in written
    for secret in ("O'Neil", "Jane", "MEMBER001", "CLAIM-42", "1950"):
        assert secret not in written


def test_it_may_go_as_cdex_and_in_the_envelope_of_core(at_desk: Callable[..., Desk]) -> None:
    desk = at_desk(kind="cdex")
    desk.queue()
    assert desk.send() == "acknowledged"
    assert desk.payer.paths == ["/edi/$submit-attachment"]
    assert json.loads(desk.payer.bodies[0])["resourceType"] == "Parameters"

    core, second = at_desk(kind="275-core"), attachment(control_number="SECOND-1", documents=(report(b"%PDF-2"),))
    core.queue(second)
    assert core.send(made=second) == "acknowledged"
    content_type = desk.payer.headers[1]["Content-Type"]
    assert content_type.startswith("multipart/form-data; boundary=")
    assert parse(payload_of(content_type, desk.payer.bodies[1])).details[0]["TRN"] == ["1", "SECOND-1"]
    assert b"X12_275_Request_006020X314" in desk.payer.bodies[1]


@pytest.mark.parametrize("changes", [{"reports": []}, {"findings": [refused_findings(STUDY)]}])
def test_a_closed_gate_lets_nothing_through(desk: Desk, changes: dict[str, Any]) -> None:
    with pytest.raises(AttachmentRefusal, match="The attachment is not sent yet"):
        desk.queue(**changes)
    assert flows(desk) == {}
    assert attachments_of(desk.node.engine, "CLAIM-42") == ()


def test_the_same_again_is_not_sent_twice(desk: Desk) -> None:
    first, _ = desk.queue()
    again, is_new = desk.queue()

    assert (again, is_new) == (first, False)
    with pytest.raises(AttachmentRefusal, match="was submitted with another content"):
        desk.queue(attachment(documents=(report(b"%PDF-other"),)))
    with pytest.raises(
        AttachmentRefusal, match=rf"submitted for this claim as attachment {first.control_number} .queued"
    ):
        desk.queue(attachment(control_number="OTHER-1"))
    assert len(flows(desk)) == len(attachments_of(desk.node.engine, "CLAIM-42")) == 1


def test_a_pdf_of_300_mib_is_refused_by_name(desk: Desk) -> None:
    with pytest.raises(AttachmentRefusal, match="300 MiB together; an attachment takes 64 MiB"):
        desk.queue(attachment(documents=(report(b"%PDF-" + bytes(300 << 20)),)))
    assert not list((desk.node.settings.data_dir / "attachments").glob("*"))


def test_what_x12_cannot_carry_leaves_nothing_behind(desk: Desk) -> None:
    with pytest.raises(AttachmentRefusal, match="NM103"):
        desk.queue(of_patient(family_name="A~B"))

    assert attachments_of(desk.node.engine, "CLAIM-42") == ()
    assert desk.queue()[1], "corrected, under the same number"


def test_a_crash_before_the_bytes_are_written_is_completed_by_the_same_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(Spool, "write_result", full)
        with pytest.raises(StorageFailure, match="cannot be written: No space left"):
            desk.queue()
    assert (desk.status().state, flows(desk)) == ("making", {})
    with pytest.raises(Refusal):
        retry(desk.node.engine, desk.client, desk.status().control_number)

    assert desk.queue()[1]
    assert desk.send() == "acknowledged"


def test_a_lost_answer_is_tried_again_with_the_same_bytes(desk: Desk) -> None:
    desk.payer.answers = [stay_silent(3.0), say(503)]
    desk.queue()

    assert desk.send() == "retrying"
    status = desk.status()
    assert status.reason == "no answer in time; the payer may have it, the same is sent again"
    assert 20 < status.next_try_at - status.queued_at < 60
    assert flows(desk)[f"attachment/{status.control_number}/g1/try2"] == "DELAYED"
    assert desk.send(attempt=2) == "retrying"
    assert desk.send(attempt=3) == "acknowledged"
    assert len(desk.payer.bodies) == 3
    assert len(set(desk.payer.bodies)) == len(desk.payer.accepted) == 1


def test_a_duplicate_that_the_payer_reports_is_there_already(desk: Desk) -> None:
    desk.payer.answers = [say(409, "application/EDI-X12", ta1("000000001", "R", "025"))]
    desk.queue()

    assert desk.send() == "sent"


@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [
        (say(200), "sent", "Success (HTTP 200)"),
        (say(202), "sent", "Success (HTTP 202)"),
        (say(200, "application/EDI-X12", ta1("1", "R", "006")), "refused", "TA104 R, TA105 006"),
        (say(200, "application/EDI-X12", ta1("1", "A", "000")), "sent", "TA104 A, TA105 000"),
        (say(200, "application/EDI-X12", b"ISA*broken"), "sent", "its X12 answer is broken"),
        (outcome(422, "error"), "refused", "the request was refused (HTTP 422), OperationOutcome: error processing"),
        (say(413), "refused", "too large"),
        (say(301), "retrying", "failed or redirected"),
        (say(500), "retrying", "HTTP 500"),
        (say(200, "text/html", b"x" * (9 << 20)), "sent", "HTTP 200"),
    ],
)
def test_every_answer_becomes_a_state_with_a_reason(
    desk: Desk, answer: Callable[..., None], state: str, reason: str
) -> None:
    desk.payer.answers = [answer]
    desk.queue()

    assert desk.send() == state
    assert reason in desk.status().reason


def test_the_tries_end_in_the_dead_letter_and_a_person_retries(desk: Desk) -> None:
    desk.payer.answers = [say(500)] * 3
    desk.queue()
    number = desk.status().control_number

    assert [desk.send(attempt=n) for n in (1, 2, 3)] == ["retrying", "retrying", "dead"]
    assert desk.send(attempt=4) == "superseded"
    assert retry(desk.node.engine, desk.client, number).attachments == (number,)
    assert desk.send(attempt=1) == "superseded", "an older chain"
    assert desk.send(attempt=1, generation=2) == "acknowledged"
    with pytest.raises(Refusal):
        retry(desk.node.engine, desk.client, number)
    assert len(set(desk.payer.bodies)) == 1
    assert b'spine_claim_attachments{destination="acme",state="acknowledged"} 1.0' in render(
        desk.node, DriftWatch(), OutputWatch()
    )


def test_an_answer_that_comes_later_is_taken_by_its_number(desk: Desk) -> None:
    desk.payer.answers = [say(202)]
    status, _ = desk.queue()
    assert desk.send() == "sent"

    number = str(status.interchange_control_number)

    assert record_acknowledgement(desk.node.engine, ta1(number, "A", "000")).state == "sent", "it only arrived"
    taken = record_acknowledgement(desk.node.engine, functional(number, "A"))
    assert (taken.control_number, taken.state) == (status.control_number, "acknowledged")
    for other in ("000000999", "9" * 30, "not a number"):
        with pytest.raises(NotThere, match="names no attachment of this node"):
            record_acknowledgement(desk.node.engine, ta1(other, "A", "000"))
    with pytest.raises(AttachmentRefusal, match="no acknowledgement"):
        record_acknowledgement(desk.node.engine, b"hello")


def test_an_acknowledged_attachment_that_is_refused_later_is_refused(desk: Desk) -> None:
    status, _ = desk.queue()
    desk.send()

    number = f"{status.interchange_control_number:09}"
    assert record_acknowledgement(desk.node.engine, functional(number, "R")).state == "refused"
    assert record_acknowledgement(desk.node.engine, functional(number, "A")).state == "refused", "a person decides"


def test_a_file_that_was_changed_is_not_sent(desk: Desk) -> None:
    status, _ = desk.queue()
    (desk.node.settings.data_dir / "attachments" / status.control_number).write_bytes(b"ISA tampered")

    assert desk.send() == "retrying"
    assert "its digest differs" in desk.status().reason
    assert desk.payer.bodies == []


def test_work_that_nobody_stands_for_is_found(desk: Desk) -> None:
    status, _ = desk.queue()
    desk.client.cancel_workflow(f"attachment/{status.control_number}/g1/try1")

    Sweep(desk.node.engine, desk.client).run(status.queued_at + 3600)

    assert (desk.status().state, desk.status().reason) == ("dead", GIVEN_UP)


def test_a_payer_that_asks_for_our_certificate_gets_it(tmp_path: Path, with_settings: Callable[..., Node]) -> None:
    ours = trustme.CA()
    leaf = ours.issue_cert("spine.example")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "ours.pem")
    leaf.private_key_pem.write_to_path(tmp_path / "ours.key")
    (tmp_path / "token").write_text("s3cret\n")
    with payer(tmp_path, client_authority=ours) as listening:
        known = {"certificate": tmp_path / "ours.pem", "certificate_key": tmp_path / "ours.key"}
        token = {"token_file": tmp_path / "token"}
        file = destinations_file(tmp_path, acme=x12_table(listening), known=x12_table(listening, **known, **token))
        node = with_settings(claim_destinations_file=file, delivery_timeout=5.0)
        desk = Desk(node=node, client=make_client(node.engine), payer=listening)
        desk.queue()
        assert desk.send() == "retrying", "without our certificate nothing is sent"
        other = attachment(control_number="OTHER-1")
        desk.queue(other, destination="known")
        assert desk.send(made=other) == "acknowledged"

    assert listening.headers[0]["Authorization"] == "Bearer s3cret"
    assert len(listening.bodies) == 1


def test_a_certificate_that_is_not_trusted_gets_nothing(at_desk: Callable[..., Desk], tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "stranger.pem")
    desk = at_desk(authorities=tmp_path / "stranger.pem")
    desk.queue()

    assert desk.send() == "retrying"
    assert desk.status().reason == "its TLS certificate is not trusted"
    assert desk.payer.bodies == []


def test_a_payer_or_destination_that_is_not_known_is_refused(at_desk: Callable[..., Desk]) -> None:
    with pytest.raises(AttachmentRefusal, match="does not reach the payer"):
        at_desk(payer_ids=["999"]).queue()
    with pytest.raises(NotThere, match="No claim destination is called 'other'; known are acme"):
        at_desk().queue(destination="other")
    with pytest.raises(NotThere, match="No attachment has the control number 'X'"):
        attachment_status(at_desk().node.engine, "X")


def test_it_is_the_same_on_both_databases(engine: Engine, tmp_path: Path, settings: Callable[..., Settings]) -> None:
    with payer(tmp_path) as listening:
        file = destinations_file(tmp_path, acme=x12_table(listening))
        made = settings(claim_destinations_file=file)
        made.data_dir.mkdir()
        desk = Desk(
            node=Node(settings=made, engine=engine, spool=Spool(made.data_dir)),
            client=make_client(engine),
            payer=listening,
        )
        with ThreadPoolExecutor(4) as threads:
            queued = list(threads.map(lambda _: desk.queue(), range(4)))
        assert sorted(is_new for _, is_new in queued) == [False, False, False, True]
        assert desk.send() == "acknowledged"
        number = f"{desk.status().interchange_control_number:09}"
        assert record_acknowledgement(engine, ta1(number, "R", "006")).state == "refused"
        assert retry(engine, desk.client, desk.status().control_number).attachments

    assert len(listening.bodies) == 1
    assert attachments_of(engine, "CLAIM-42") == (desk.status(),)


def test_status_and_check_show_them(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.payer.answers = [say(500)]
    desk.queue()
    desk.send()
    file = str(desk.node.settings.claim_destinations_file)
    options = ["--data-dir", str(desk.node.settings.data_dir), "--claim-destinations-file", file]

    assert run(["status", *options]) == 0
    shown = capsys.readouterr().out
    assert "retrying" in shown
    assert "HTTP 500" in shown
    run(["check", *options])
    assert re.search("ok +│ claim destination acme +│ 275 by HTTPS to https://localhost", capsys.readouterr().out)
    assert run(["retry", desk.status().control_number, *options]) == 0
    assert "is queued to be sent again" in capsys.readouterr().out
