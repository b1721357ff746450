"""STOW-RS through a socket: what is stored and how it is said, what is refused, and what a broken request leaves."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread
from sqlalchemy import select

from builders.dicom import SeriesPlan, small_voxels, write_series
from builders.dicomweb import running_web
from builders.peers import LOOPBACK, free_tcp_port, peer_environment, wait_until
from builders.receiving import data_set_bytes
from dicom_node.delivery import Verdict
from dicom_node.stow import StowDestination, send
from dicom_node.tables import instances, quarantine, studies

PLAN = SeriesPlan(voxels=small_voxels(3), study="stow")
KIND = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=XYZ'}
REFERENCED, FAILED = "00081199", "00081198"


@pytest.fixture
def files(tmp_path) -> list[Path]:
    return write_series(tmp_path / "files", PLAN)


def body(*parts: bytes, kind: str = "application/dicom", tail: bytes = b"\r\n--XYZ--\r\n") -> bytes:
    return b"".join(b"\r\n--XYZ\r\nContent-Type: " + kind.encode() + b"\r\n\r\n" + part for part in parts) + tail


def post(web, content, *, path="/studies", headers=KIND) -> httpx.Response:
    return httpx.post(f"{web.url}{path}", content=content, headers=headers, timeout=60)


def rows(web, table=instances):
    with web.node.engine.connect() as connection:
        return [dict(row) for row in connection.execute(select(table)).mappings()]


def reasons(answer) -> list[int]:
    items = answer.json().get(FAILED, {}).get("Value", [])
    return [item["00081197"]["Value"][0] for item in items]


def test_what_is_stored_is_named_and_can_be_had(web, files):
    answer = post(web, body(*(path.read_bytes() for path in files)))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom+json"
    document = answer.json()
    assert document["00081190"]["Value"] == [f"{web.url}/studies/{PLAN.study_instance_uid}"]
    items = document[REFERENCED]["Value"]
    assert [item["00081155"]["Value"][0] for item in items] == [PLAN.sop_instance_uid(i) for i in range(3)]
    assert FAILED not in document
    found = httpx.get(items[1]["00081190"]["Value"][0], headers={"Accept": "application/dicom"}).content
    assert found[-100:] == files[1].read_bytes()[-100:]
    kept = {row["sop_instance_uid"]: row for row in rows(web)}
    for index, path in enumerate(files):
        row = kept[PLAN.sop_instance_uid(index)]
        assert data_set_bytes(web.node.spool.path(row["path"])) == data_set_bytes(path)
        assert row["source_ae_title"] == "STOW-RS"
    ((study),) = rows(web, studies)
    assert study["state"] == "receiving", "a stored study is read like a received one"


def test_sending_again_is_harmless(web, files):
    content = body(*(path.read_bytes() for path in files))
    first, again = post(web, content), post(web, content)
    assert again.status_code == 200
    assert again.json() == first.json()
    assert len(rows(web)) == 3


def test_our_own_client_and_dicomweb_client_store(web, files):
    destination = StowDestination(name="self", url=f"{web.url}/studies", timeout_s=30)
    assert {outcome.verdict for outcome in send(files[:2], destination)} == {Verdict.ACCEPTED}
    client = DICOMwebClient(web.url)
    response = client.store_instances([dcmread(files[2])], study_instance_uid=PLAN.study_instance_uid)
    assert response.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == PLAN.sop_instance_uid(2)
    assert len(rows(web)) == 3


def test_each_instance_is_answered_by_itself(web, files, tmp_path):
    post(web, body(files[0].read_bytes()))
    changed = dcmread(files[0])
    changed.PatientID = "another"
    changed.save_as(tmp_path / "conflict.dcm", enforce_file_format=True)
    unknown = dcmread(files[1])
    unknown.SOPClassUID = unknown.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.9.1.1"
    unknown.save_as(tmp_path / "unknown.dcm", enforce_file_format=True)
    strange = dcmread(files[1])
    strange.SOPClassUID = strange.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    strange.save_as(tmp_path / "strange.dcm", enforce_file_format=True)
    coded = (tmp_path / "strange.dcm").read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0")
    lying = files[1].read_bytes().replace(PLAN.sop_instance_uid(1).encode(), b"1" * len(PLAN.sop_instance_uid(1)), 1)
    parts = [(tmp_path / name).read_bytes() for name in ("conflict.dcm", "unknown.dcm")]
    answer = post(web, body(*parts, coded, lying, b"no DICOM", b"", files[2].read_bytes()))
    assert answer.status_code == 202
    assert reasons(answer) == [0x0111, 0x0122, 0xC122, 0xA900, 0xC000, 0xC000]
    assert [item["00081155"]["Value"][0] for item in answer.json()[REFERENCED]["Value"]] == [PLAN.sop_instance_uid(2)]
    assert len(rows(web)) == 2
    assert {row["verdict"] for row in rows(web, quarantine)} == {"conflict", "mismatch"}
    assert "another" not in answer.text


def test_a_study_takes_its_own_instances_only(web, files):
    mine = post(web, body(files[0].read_bytes()), path=f"/studies/{PLAN.study_instance_uid}")
    other = post(web, body(files[1].read_bytes()), path="/studies/1.2.3")
    assert (mine.status_code, other.status_code) == (200, 409)
    assert reasons(other) == [0xA900]
    assert [row["verdict"] for row in rows(web, quarantine)] == ["other_study"]
    assert len(rows(web)) == 1


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({"Content-Type": "application/dicom"}, b"DICM", 415),
        ({"Content-Type": 'multipart/related; type="application/dicom+json"; boundary=XYZ'}, b"", 415),
        ({"Content-Type": "multipart/form-data; boundary=XYZ"}, b"", 415),
        ({}, b"", 415),
        ({"Content-Type": 'multipart/related; type="application/dicom"'}, b"", 400),
        (KIND, b"", 400),
        (KIND, b"--XYZ--\r\n", 400),
        (KIND, b"garbage", 400),
        (KIND, b"--ABC\r\n\r\n\r\n--ABC--", 400),
        (KIND, body(b"x", kind="text/plain"), 415),
        (KIND, b"--XYZ\r\n" + b"A: " + b"x" * 100_000 + b"\r\n\r\n", 400),
        (KIND | {"Accept": "application/dicom+xml"}, b"", 406),
    ],
)
def test_what_is_no_request_to_store_is_a_problem(shared_web, headers, content, status):
    answer = post(shared_web, content, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert rows(shared_web) == []


def test_a_study_that_is_no_uid_is_a_problem(shared_web, files):
    assert post(shared_web, body(files[0].read_bytes()), path="/studies/1'--").status_code == 400


def test_a_body_that_breaks_off_keeps_what_was_complete(web, files):
    whole, half = files[0].read_bytes(), files[1].read_bytes()[:-100]
    answer = post(web, body(whole, half, tail=b""))
    assert answer.status_code == 400
    assert [row["sop_instance_uid"] for row in rows(web)] == [PLAN.sop_instance_uid(0)]
    unfinished = [path for path in web.node.spool.path("tmp").rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert unfinished == []
    assert post(web, body(*(path.read_bytes() for path in files))).status_code == 200


def request_head(port: int, length: int) -> bytes:
    lines = ["POST /dicom-web/studies HTTP/1.1", f"Host: {LOOPBACK}:{port}", f"Content-Type: {KIND['Content-Type']}"]
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode()


def test_a_sender_that_hangs_up_leaves_nothing(web, files):
    content = body(files[0].read_bytes())
    with socket.create_connection((LOOPBACK, web.port)) as connection:
        connection.sendall(request_head(web.port, len(content)) + content[:-200])
        wait_until(lambda: any(web.node.spool.path("tmp").glob("*/*")), timeout_s=30, what="bytes in the spool")
    wait_until(lambda: not any(web.node.spool.path("tmp").glob("*/*")), timeout_s=30, what="the file to go")
    assert rows(web) == []


def test_more_than_the_limit_is_refused(tmp_path, files):
    with running_web(tmp_path / "small", stow_max_gib=4096 / 1024**3) as web:
        content = body(*(path.read_bytes() for path in files))
        assert post(web, content).status_code == 413
        chunked = httpx.post(f"{web.url}/studies", content=iter([content[:3000], content[3000:]]), headers=KIND)
        assert chunked.status_code == 413
        assert post(web, body(files[0].read_bytes())).status_code == 200


def test_what_was_said_to_be_stored_survives_a_kill(tmp_path, files):
    """kill -9 in the middle of a request: every instance that an answer named is there, and none is half there."""
    data, port = tmp_path / "data", free_tcp_port()
    url = f"http://{LOOPBACK}:{port}/dicom-web"
    content = body(*(path.read_bytes() for path in files))
    command = [sys.executable, "-m", "server.cli", "web", "--data-dir", str(data), "--http-port", str(port)]
    command += ["--disk-reserve-gib", "0", "--disk-reserve-percent", "0"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=peer_environment()) as process:
        wait_until(lambda: answers(f"{url}/studies"), timeout_s=60, what="the web process")
        for path in files[:2]:
            assert httpx.post(f"{url}/studies", content=body(path.read_bytes()), headers=KIND).status_code == 200
        with socket.create_connection((LOOPBACK, port)) as connection:
            connection.sendall(request_head(port, len(content)) + content[:-200])
            time.sleep(0.5)
            os.kill(process.pid, signal.SIGKILL)
            process.wait(20)
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=peer_environment()) as process:
        wait_until(lambda: answers(f"{url}/studies"), timeout_s=60, what="the web process, again")
        found = httpx.get(f"{url}/studies/{PLAN.study_instance_uid}/instances").json()
        assert {entry["00080018"]["Value"][0] for entry in found} == {PLAN.sop_instance_uid(i) for i in range(2)}
        assert not any(data.joinpath("tmp").glob("*/*")), "the unfinished file of the killed process is removed"
        assert httpx.post(f"{url}/studies", content=content, headers=KIND).status_code == 200
        process.terminate()
        process.wait(20)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
