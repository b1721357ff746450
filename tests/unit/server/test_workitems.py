"""UPS-RS through a real socket, on SQLite and PostgreSQL: the statuses and Warning headers of PS3.18 chapter 11."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import httpx
import pytest
from dbos import DBOSClient
from sqlalchemy import Engine, select

from builders.web import key_of, session_of, web_client
from builders.workitems import LOCK, READING, Worklist, performed, workitem, worklist
from dicom_node.dicomweb.refusals import WebRefusal
from dicom_node.ups.elements import dataset, element, text_of, values_of
from dicom_node.ups.states import Event
from server.auth.roles import Permission, Role
from server.compose import Node
from server.settings import Settings
from server.tables import workitems
from server.workitems.service import Workitems

UID = "2.25.1001"
COMPLETED = "The UPS is already in the requested state of COMPLETED."
CANCELED = "The UPS is already in the requested state of CANCELED."
INCONSISTENT = "The submitted request is inconsistent with the state of the UPS Instance."

REFUSED = [
    ("GET", "/9.9", 404),
    ("GET", "/x", 400),
    ("GET", "?NoSuchKeyword=1", 400),
    ("GET", "?TransactionUID=2.25.77", 400),
    ("POST", "/9.9", 404),
    ("PUT", "/9.9/state", 400),
    ("POST", "/9.9/cancelrequest", 404),
    ("DELETE", "/9.9", 405),
    ("POST", "/1.2.840.10008.5.1.4.34.5/subscribers/AE", 403),
    ("POST", "/1.2.840.10008.5.1.4.34.5.1/subscribers/AE", 403),
    ("DELETE", "/1.2.840.10008.5.1.4.34.5/subscribers/AE", 404),
    ("POST", "/1.2.840.10008.5.1.4.34.5/subscribers/AE/suspend", 404),
]
NO_WORKITEMS = [
    {"ProcedureStepState": "IN PROGRESS"},
    {"ProcedureStepState": []},
    {"ScheduledProcedureStepPriority": "NOW"},
    {"ProcedureStepLabel": []},
    {"InputReadinessState": "MAYBE"},
    {"ScheduledProcedureStepStartDateTime": []},
    {"TransactionUID": "1.2"},
    {"SOPInstanceUID": "1.2"},
    {"AffectedSOPInstanceUID": UID},
    {"InputInformationSequence": []},
]


@pytest.fixture
def node(database_node: Node) -> Node:
    return database_node


def service_of(client: httpx.Client) -> str:
    return str(client.base_url).rstrip("/") + "/dicom-web"


def warning(client: httpx.Client, text: str) -> str:
    return f"299 {service_of(client)}: {text}"


def test_a_workitem_of_another_performer_goes_through_its_life(client: httpx.Client, items: Worklist) -> None:
    made = items.create(UID, workitem("1.2.3", task=READING))
    assert made.status_code == 201
    assert made.headers["location"] == f"{service_of(client)}/workitems/{UID}"
    assert made.headers["warning"] == warning(client, "The Workitem was created with modifications.")
    assert made.content == b""
    assert items.create(UID, workitem(task=READING)).status_code == 409

    assert items.update(UID, dataset(element("ProcedureStepLabel", "Later"))).status_code == 200
    assert items.change(UID, "COMPLETED").status_code == 409
    assert items.change(UID, "IN PROGRESS").status_code == 200
    assert items.change(UID, "IN PROGRESS", "2.25.9").headers["warning"].endswith("The Transaction UID is incorrect.")
    assert items.update(UID, performed()).status_code == 400
    early = items.change(UID, "COMPLETED")
    assert (early.status_code, early.headers["warning"]) == (409, warning(client, INCONSISTENT))
    assert "Performed Procedure Sequence" in early.json()["detail"]
    assert items.update(UID, performed(), LOCK).status_code == 200
    assert items.change(UID, "COMPLETED", None).status_code == 400
    assert items.change(UID, "COMPLETED").status_code == 200
    again = items.change(UID, "COMPLETED")
    assert (again.status_code, again.headers["warning"]) == (200, warning(client, COMPLETED))
    assert items.cancel(UID).status_code == 409
    document = items.read(UID)
    assert text_of(document, "ProcedureStepLabel") == "Later"
    assert LOCK not in json.dumps(document)


def test_a_performer_cancels_with_a_reason_and_a_second_time_is_a_warning(
    client: httpx.Client, items: Worklist
) -> None:
    items.create(UID, workitem(task=READING))
    items.change(UID, "IN PROGRESS")
    waiting = items.cancel(UID)
    assert (waiting.status_code, waiting.headers["warning"]) == (409, warning(client, INCONSISTENT))
    assert items.change(UID, "CANCELED").status_code == 200

    assert items.cancel(UID).headers["warning"] == warning(client, CANCELED)
    assert items.change(UID, "CANCELED").headers["warning"] == warning(client, CANCELED)
    (progress,) = values_of(items.read(UID), "ProcedureStepProgressInformationSequence")
    assert text_of(progress, "ProcedureStepCancellationDateTime")
    assert text_of(values_of(progress, "ProcedureStepDiscontinuationReasonCodeSequence")[0], "CodeValue") == "110513"


def test_what_cannot_be_is_a_problem(client: httpx.Client) -> None:
    for method, path, status in REFUSED:
        answer = client.request(method, f"/dicom-web/workitems{path}")
        assert (method, path, answer.status_code) == (method, path, status)
        assert answer.headers["content-type"] == "application/problem+json"

    filtered = client.post("/dicom-web/workitems/1.2.840.10008.5.1.4.34.5.1/subscribers/AE")
    text = "Filtered Worklist Subscriptions are not supported."
    assert filtered.headers["warning"] == warning(client, text)


def test_what_is_no_workitem_is_not_created(items: Worklist) -> None:
    assert [items.create(UID, workitem("1.2", **values)).status_code for values in NO_WORKITEMS] == [400] * 10
    assert items.search() == []


def test_a_body_of_another_kind_or_size_is_refused(client: httpx.Client) -> None:
    path = "/dicom-web/workitems"
    assert client.post(path, content=b"<x/>", headers={"Content-Type": "application/dicom+xml"}).status_code == 415
    assert client.post(path, content=b"{}", headers={"Content-Type": "application/dicom+json"}).status_code == 400
    too_long = b'"' + b"x" * 2_000_000
    assert client.post(path, content=too_long, headers={"Content-Type": "application/json"}).status_code == 413


def test_two_studies_are_not_one_task(items: Worklist) -> None:
    answer = items.create(UID, workitem("1.2", "1.3"))

    assert answer.status_code == 400
    assert "one study" in answer.json()["detail"]


def test_the_uid_may_stand_in_the_query_alone_or_in_the_body(client: httpx.Client, items: Worklist) -> None:
    alone = client.post(f"/dicom-web/workitems?{UID}", json=workitem(task=READING))
    assert alone.headers["location"].endswith(UID)
    inside = client.post("/dicom-web/workitems", json=workitem(task=READING, SOPInstanceUID="2.25.5"))
    assert inside.headers["location"].endswith("/2.25.5")
    assert client.post("/dicom-web/workitems", json=workitem(task=READING)).status_code == 201
    items.change(UID, "IN PROGRESS")
    answer = client.post(f"/dicom-web/workitems/{UID}?{LOCK}", json=dataset(element("ProcedureStepLabel", "x")))
    assert answer.status_code == 200


def test_a_search_is_paged_and_says_so(client: httpx.Client, items: Worklist) -> None:
    for number in range(3):
        items.create(f"2.25.{number}", workitem(task=READING))

    first = client.get("/dicom-web/workitems?limit=2&fuzzymatching=true")
    last = client.get("/dicom-web/workitems?limit=2&offset=2")

    assert (first.status_code, len(first.json())) == (206, 2)
    assert "additional results" in first.headers["warning"]
    assert (last.status_code, len(last.json())) == (200, 1)
    assert client.get("/dicom-web/workitems?ProcedureStepState=COMPLETED").status_code == 204
    assert client.get("/dicom-web/workitems", headers={"Accept": "text/html"}).status_code == 406


def test_of_many_who_claim_at_once_one_gets_it(node: Node, items: Worklist, queue: DBOSClient) -> None:
    items.create(UID, workitem(task=READING))
    service = Workitems(engine=node.engine, client=queue, ae_title="SPINEAI")
    outcomes: list[str] = []

    def claim(number: int) -> None:
        try:
            service.change_state(UID, Event.CLAIM, f"2.25.9{number}")
            outcomes.append("claimed")
        except WebRefusal as refusal:
            outcomes.append(str(refusal))

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["The Transaction UID is incorrect."] * 7 + ["claimed"]


def test_roles_and_the_audit_trail(engine: Engine, settings: Callable[..., Settings], node: Node) -> None:
    closed = Node(settings=settings(http_authentication=("local",)), engine=engine, spool=node.spool)
    with web_client(closed) as client:
        machine = worklist(client, key_of(closed, Permission.WRITE_WORKITEMS, Permission.READ_WORKITEMS))
        viewer = session_of(closed, Role.VIEWER) | {"Origin": str(client.base_url).rstrip("/")}
        coder = session_of(closed, Role.CODER)
        assert machine.create(UID, workitem("1.2.3")).status_code == 201
        assert machine.state(UID) == "SCHEDULED"
        assert worklist(client, viewer).cancel(UID).status_code == 403
        assert client.get(f"/dicom-web/workitems/{UID}", headers=viewer).status_code == 200
        assert client.get(f"/dicom-web/workitems/{UID}", headers=coder).status_code == 403
        assert client.get("/dicom-web/workitems").status_code == 401
        audit = client.get("/api/v1/audit", headers=session_of(closed, Role.ADMINISTRATOR)).json()["records"]
    kinds = {(entry["record"]["kind"], tuple(entry["record"]["studies"])) for entry in audit}
    assert ("workitem_changed", ("1.2.3",)) in kinds
    assert ("workitem_read", ("1.2.3",)) in kinds


def test_the_lock_is_kept_where_nobody_sees_it(node: Node, items: Worklist) -> None:
    items.create(UID, workitem(task=READING))
    items.change(UID, "IN PROGRESS")

    with node.engine.connect() as connection:
        row = connection.execute(select(workitems)).one()

    assert row.transaction_uid == LOCK
    assert LOCK not in row.document
    assert all(LOCK not in json.dumps(item) for item in items.search())
