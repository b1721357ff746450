"""Storage Commitment with real peers on real sockets: a modality by pynetdicom, and Orthanc, both ways."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE, build_context, build_role
from pynetdicom.sop_class import StorageCommitmentPushModel
from sqlalchemy import Engine, update

from builders.commitment import ELSEWHERE, TRANSACTION, Modality, receiving, rows
from builders.dicom import SeriesPlan, small_voxels, write_series
from builders.orthanc import Orthanc
from builders.peers import LOOPBACK, free_tcp_port, wait_until
from builders.receiving import association, store_file
from builders.tenure import Held
from dicom_node.commitment import (
    CommitmentReport,
    CommitmentRequest,
    FailedItem,
    FailureReason,
    Item,
)
from dicom_node.commitment_rows import evaluate, mark_told, pending_request, record_request, settle
from dicom_node.results import ResultRecord, record_results
from dicom_node.scp import Receiver
from dicom_node.spool import Spool
from dicom_node.tables import commitment_requests, deliveries
from server.chains import start_deliveries
from server.commitment_work import CommitmentSteps
from server.commitments import Commitments
from server.compose import Node
from server.delivery_work import DeliverySteps
from server.outbound import commitment_peers, committing_destinations, destinations

# pynetdicom 3.0.4 does not close the socket of a connection that was refused (AssociationSocket._shutdown_socket).
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"
)

PLAN = SeriesPlan(voxels=small_voxels())


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return write_series(tmp_path / "sent", PLAN)


def steps(node: Node, commitments: Commitments, *, wait_s: float = 3600.0) -> CommitmentSteps:
    return CommitmentSteps(
        commitments=commitments,
        destinations=committing_destinations(node.settings),
        peers=commitment_peers(node.settings),
        wait_s=wait_s,
        tenure=Held(),
    )


def sent(receiver: Receiver, paths: list[Path]) -> tuple[Item, ...]:
    with association(receiver.port, [(MRImageStorage, ExplicitVRLittleEndian)], calling="MODALITY") as peer:
        assert {store_file(peer, path).Status for path in paths} == {0}
    return tuple(Item(MRImageStorage, PLAN.sop_instance_uid(index)) for index in range(len(paths)))


def test_a_modality_is_told_on_its_own_association_what_is_held_and_what_is_not(node: Node, paths: list[Path]) -> None:
    modality = Modality()
    with receiving(node) as (receiver, _):
        items = sent(receiver, paths)
        files = node.spool.path("received")
        wait_until(lambda: len(list(files.rglob("*.dcm"))) == len(paths), timeout_s=20, what="the files")
        next(iter(files.rglob(f"{items[2].sop_instance_uid}-*.dcm"))).unlink()
        conflict, unknown_class = Item("1.2.840.10008.5.1.4.1.1.2", items[0].sop_instance_uid), Item("1.2.3", "1.2.4")
        assert modality.ask(receiver.port, *items[:2]) == 0
        assert modality.ask(receiver.port, *items, ELSEWHERE, conflict, unknown_class, transaction="2.25.2") == 0
        wait_until(lambda: [row.state for row in rows(node, commitment_requests)] == ["told"] * 2, timeout_s=5, what="")

    (all_event, everything), (some_event, some) = modality.reports
    assert (all_event, everything.committed, everything.failed) == (1, items[:2], ())
    assert some_event == 2
    assert some.committed == items[:2]
    assert [(one.item, one.reason) for one in some.failed] == [
        (items[2], FailureReason.PROCESSING_FAILURE),
        (ELSEWHERE, FailureReason.NO_SUCH_OBJECT_INSTANCE),
        (conflict, FailureReason.CLASS_INSTANCE_CONFLICT),
        (unknown_class, FailureReason.REFERENCED_SOP_CLASS_NOT_SUPPORTED),
    ]


def test_a_modality_that_hangs_up_is_called_back_again_and_again_until_it_listens(
    with_settings: Callable[..., Node], paths: list[Path]
) -> None:
    modality = Modality()
    node = with_settings(commitment_peers=f"MODALITY@{LOOPBACK}:{modality.port}", delivery_timeout=2)
    with receiving(node) as (receiver, commitments):
        items = sent(receiver, paths)
        assert modality.ask(receiver.port, *items, stays=False) == 0
        work = steps(node, commitments)
        assert work.tell(1, 1, 1) == {"state": "retry"}
        assert "did not answer" in rows(node, commitment_requests)[0].reason
        with modality.listening():
            assert work.tell(1, 1, 2) == {"state": "told"}
        assert work.tell(1, 1, 3) == {"state": "superseded"}
        assert work.tell(1, 1, 4) == {"state": "superseded"}
    assert [(event, report.committed) for event, report in modality.reports] == [(1, items)]
    told = rows(node, commitment_requests)[0]
    assert (told.state, told.committed, told.failed, told.attempts) == ("told", 3, 0, 2)


def test_one_that_is_not_configured_and_hangs_up_is_given_up_with_the_reason(node: Node, paths: list[Path]) -> None:
    with receiving(node) as (receiver, commitments):
        assert Modality().ask(receiver.port, ELSEWHERE, stays=False) == 0
        assert steps(node, commitments).tell(1, 1, 1) == {"state": "dead"}
    assert rows(node, commitment_requests)[0].reason.startswith("AE title MODALITY is not in commitment_peers")


def test_the_same_request_is_answered_again_and_its_uid_is_good_for_no_other(node: Node, paths: list[Path]) -> None:
    modality = Modality()
    with receiving(node) as (receiver, _):
        items = sent(receiver, paths)
        for wanted in (items, items, items[:1]):
            assert modality.ask(receiver.port, *wanted) == 0
    assert [report.committed for _, report in modality.reports] == [items, items, ()]
    assert [one.reason for one in modality.reports[2][1].failed] == [FailureReason.DUPLICATE_TRANSACTION_UID]
    assert [(row.generation, row.is_duplicate) for row in rows(node, commitment_requests)] == [(2, False), (1, True)]


@pytest.mark.peer("orthanc")
def test_orthanc_asks_the_node_and_is_called_back(
    with_settings: Callable[..., Node], tmp_path: Path, paths: list[Path]
) -> None:
    port, orthanc_port = free_tcp_port(), free_tcp_port()
    node = with_settings(dicom_port=port, commitment_peers=f"ORTHANC@{LOOPBACK}:{orthanc_port}")
    modalities = {"node": ("SPINEAI", port)}
    with (
        receiving(node) as (_, commitments),
        Orthanc.started(tmp_path / "orthanc", dicom_port=orthanc_port, modalities=modalities) as orthanc,
    ):
        orthanc.upload(paths)
        kept = orthanc.get("/instances")
        orthanc.post("/modalities/node/store", kept[0])
        first = [orthanc.get(f"/instances/{kept[0]}/tags?simplify")[name] for name in ("SOPClassUID", "SOPInstanceUID")]
        missing = [ELSEWHERE.sop_class_uid, ELSEWHERE.sop_instance_uid]
        answers = []
        for number, wanted in enumerate(([first], [first, missing]), start=1):
            asked = orthanc.post("/modalities/node/storage-commitment", json.dumps({"DicomInstances": wanted}))
            told = steps(node, commitments).tell(number, 1, 1)
            assert told in ({"state": "told"}, {"state": "superseded"})
            answers.append(orthanc.get(asked["Path"]))
    assert [answer["Status"] for answer in answers] == ["Success", "Failure"]
    assert [one["SOPInstanceUID"] for one in answers[1]["Success"]] == [first[1]]
    assert [(one["SOPInstanceUID"], one["FailureReason"]) for one in answers[1]["Failures"]] == [(missing[1], 0x0112)]


@pytest.mark.peer("orthanc")
def test_orthanc_answers_for_what_it_was_sent_and_gets_again_what_it_lost(
    with_settings: Callable[..., Node], tmp_path: Path, paths: list[Path]
) -> None:
    port, orthanc_port = free_tcp_port(), free_tcp_port()
    node = with_settings(
        dicom_port=port, destinations=f"PACS=ORTHANC@{LOOPBACK}:{orthanc_port}", commitment_destinations="PACS"
    )
    modalities = {"node": ("SPINEAI", port)}
    with (
        receiving(node) as (_, commitments),
        Orthanc.started(tmp_path / "orthanc", dicom_port=orthanc_port, modalities=modalities) as orthanc,
    ):
        made(node, commitments, paths)
        work = steps(node, commitments)
        assert delivered(node, commitments, 1) == {"state": "delivered"}
        assert states(node) == [("delivered", "waiting")] * 3
        lost = orthanc.post("/tools/lookup", PLAN.sop_instance_uid(1))[0]["Path"]
        orthanc.delete(lost)
        assert work.ask(PLAN.study_instance_uid, 1, "PACS", 1, 1)["state"] in {"waiting", "answered"}
        wait_until(lambda: ("delivered", "asked") not in states(node), timeout_s=20, what="Orthanc's report")
        assert states(node) == [("delivered", "committed"), ("retrying", "failed"), ("delivered", "committed")]
        assert "no such object instance (0x0112)" in rows(node, deliveries)[1].reason

        assert work.ask(PLAN.study_instance_uid, 1, "PACS", 1, 2) == {"state": "superseded"}
        assert delivered(node, commitments, 2) == {"state": "delivered"}
        work.ask(PLAN.study_instance_uid, 1, "PACS", 2, 1)
        wait_until(lambda: states(node) == [("delivered", "committed")] * 3, timeout_s=20, what="the second report")
    assert [row.commitment_failures for row in rows(node, deliveries)] == [0, 1, 0]


@pytest.mark.parametrize("failures", [0, 2])
def test_an_object_that_the_archive_loses_three_times_is_in_the_dead_letter(
    with_settings: Callable[..., Node], paths: list[Path], failures: int
) -> None:
    node = with_settings(destinations=f"PACS=ORTHANC@{LOOPBACK}:11", commitment_destinations="PACS")
    with receiving(node) as (_, commitments):
        made(node, commitments, paths[:1])
        with node.engine.begin() as connection:
            values = {"state": "delivered", "commitment": "asked", "transaction_uid": TRANSACTION}
            connection.execute(update(deliveries).values(commitment_failures=failures, **values))
        lost = FailedItem(Item(MRImageStorage, PLAN.sop_instance_uid(0)), 0x0110)
        report = CommitmentReport(transaction_uid=TRANSACTION, committed=(), failed=(lost,))
        assert commitments.take_report(report)
        expected = ("dead", "failed") if failures else ("retrying", "failed")
        assert states(node) == [expected]
        assert commitments.take_report(report), "the same report again is known, and changes nothing"
    assert states(node) == [expected]
    assert rows(node, deliveries)[0].commitment_failures == failures + 1


def test_an_archive_that_is_down_or_never_reports_ends_in_the_dead_letter(
    with_settings: Callable[..., Node], paths: list[Path]
) -> None:
    node = with_settings(
        destinations=f"PACS=ORTHANC@{LOOPBACK}:{free_tcp_port()}", commitment_destinations="PACS", delivery_timeout=1
    )
    with receiving(node) as (_, commitments):
        made(node, commitments, paths[:1])
        with node.engine.begin() as connection:
            connection.execute(update(deliveries).values(state="delivered", commitment="waiting"))
        work = steps(node, commitments)
        assert work.ask(PLAN.study_instance_uid, 1, "PACS", 1, 1) == {"state": "waiting"}
        assert states(node) == [("delivered", "waiting")]
        with node.engine.begin() as connection:
            connection.execute(update(deliveries).values(commitment="asked"))
        assert work.ask(PLAN.study_instance_uid, 1, "PACS", 1, 3) == {"state": "waiting"}, "it has still time"
        assert work.ask(PLAN.study_instance_uid, 1, "PACS", 1, 4) == {"state": "dead"}
    assert states(node) == [("dead", "failed")]
    assert rows(node, deliveries)[0].reason == "The peer took the requests, and never reported."


def test_what_was_delivered_is_delivered_when_its_destination_is_asked_no_more(
    with_settings: Callable[..., Node], paths: list[Path]
) -> None:
    node = with_settings(destinations=f"PACS=ORTHANC@{LOOPBACK}:11")
    with receiving(node) as (_, commitments):
        made(node, commitments, paths[:1])
        with node.engine.begin() as connection:
            connection.execute(update(deliveries).values(state="delivered", commitment="asked"))
        assert steps(node, commitments).ask(PLAN.study_instance_uid, 1, "PACS", 1, 1) == {"state": "off"}
    assert states(node) == [("delivered", None)]


def test_roles_are_negotiated_as_an_archive_proposes_them(node: Node) -> None:
    entity = AE(ae_title="ARCHIVE")
    with receiving(node) as (receiver, _):
        peer = entity.associate(
            LOOPBACK,
            receiver.port,
            contexts=[build_context(StorageCommitmentPushModel)],
            ae_title="SPINEAI",
            ext_neg=[build_role(StorageCommitmentPushModel, scp_role=True)],
        )
        roles = [(context.as_scu, context.as_scp) for context in peer.accepted_contexts]
        peer.release()
    assert roles == [(False, True)]


def made(node: Node, commitments: Commitments, paths: list[Path]) -> None:
    """Have files as the node's own results of revision 1, queued for the destination."""
    records = []
    for index, path in enumerate(paths):
        relative = f"results/{index}.dcm"
        node.spool.path(relative).parent.mkdir(exist_ok=True)
        shutil.copy(path, node.spool.path(relative))
        records.append(
            ResultRecord(
                sop_instance_uid=PLAN.sop_instance_uid(index),
                study_instance_uid=PLAN.study_instance_uid,
                revision=1,
                role="sr",
                sop_class_uid=MRImageStorage,
                series_instance_uid="1.2.3",
                path=relative,
                sha256=str(index),
            )
        )
    with node.engine.begin() as connection:
        record_results(connection, records, 1.0)
        start_deliveries(
            connection, commitments.client, PLAN.study_instance_uid, 1, destinations=["PACS"], now=time.time()
        )


def delivered(node: Node, commitments: Commitments, generation: int) -> dict[str, Any]:
    work = DeliverySteps(
        engine=node.engine,
        client=commitments.client,
        spool=node.spool,
        destinations=destinations(node.settings),
        back_off=commitments.back_off,
        tenure=Held(),
        asked=frozenset({"PACS"}),
    )
    return work.send(PLAN.study_instance_uid, 1, "PACS", generation, 1)


def states(node: Node) -> list[tuple[str, str | None]]:
    return [(row.state, row.commitment) for row in rows(node, deliveries)]


def test_requests_and_reports_are_kept_alike_on_both_databases(engine: Engine, tmp_path: Path) -> None:
    request = CommitmentRequest(transaction_uid=TRANSACTION, items=(ELSEWHERE,))
    with engine.begin() as connection:
        first, again = (record_request(connection, request, "MODALITY", now) for now in (1.0, 2.0))
        assert (first.id, first.generation, again.id, again.generation) == (again.id, 1, first.id, 2)
        report = evaluate(connection, Spool(tmp_path), again)
        assert [one.reason for one in report.failed] == [FailureReason.NO_SUCH_OBJECT_INSTANCE]
        mark_told(connection, first, report, 3.0)
        assert pending_request(connection, first.id, 2) is not None, "it was asked anew meanwhile"
        mark_told(connection, again, report, 3.0)
        assert pending_request(connection, first.id, 2) is None
        assert not settle(connection, report, 4.0).is_known
