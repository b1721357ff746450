"""STOW-RS against Orthanc's DICOMweb plugin, and against a server that answers what a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pydicom
import pytest

from builders.dicom import SeriesPlan, small_voxels, write_series
from dicom_node.delivery import Verdict
from dicom_node.stow import StowDestination, check, send
from inference.errors import PeerFailure, StorageFailure

ACCEPTED, REFUSED, FAILED = Verdict.ACCEPTED, Verdict.REFUSED, Verdict.FAILED


@dataclass
class Archive:
    """An HTTP server on 127.0.0.1 that answers with a function of the request's body."""

    answer: Callable[[bytes], tuple[int, object]]
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def archive() -> Iterator[Callable[..., Archive]]:
    servers = []

    def start(answer: Callable[[bytes], tuple[int, object]]) -> Archive:
        state = Archive(answer=answer)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                state.requests.append((self.path, dict(self.headers), body))
                self.reply(*state.answer(body))

            def do_GET(self) -> None:
                self.reply(*state.answer(b""))

            def reply(self, status: int, document: object) -> None:
                data = document if isinstance(document, bytes) else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/dicom+json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        state.url = f"http://127.0.0.1:{server.server_address[1]}/dicom-web/studies"
        return state

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return write_series(tmp_path / "mr", SeriesPlan(voxels=small_voxels(2)))


def uid_of(path: Path) -> str:
    return str(pydicom.dcmread(path).SOPInstanceUID)


def to(url: str, **more: object) -> StowDestination:
    return StowDestination(name="archive", url=url, timeout_s=10, **more)


def item(uid: str, **numbers: int) -> dict[str, object]:
    tags = {"reason": "00081197", "warning": "00081196"}
    stated = {tags[name]: {"vr": "US", "Value": [value]} for name, value in numbers.items()}
    return {"00081155": {"vr": "UI", "Value": [uid]}, **stated}


def verdicts(outcomes) -> list[Verdict]:
    return [outcome.verdict for outcome in outcomes]


@pytest.mark.peer("orthanc")
def test_orthanc_stores_what_was_posted(files, orthanc):
    server = orthanc()
    destination = to(f"{server.url}/dicom-web/studies")
    check(destination)
    assert verdicts(send(files, destination)) == [ACCEPTED, ACCEPTED]
    stored = {server.instance(i).SOPInstanceUID for i in server.get("/instances")}
    assert stored == {uid_of(path) for path in files}
    assert verdicts(send(files, destination)) == [ACCEPTED, ACCEPTED], "sending again is harmless"


def test_the_body_holds_the_files_bytes(files, archive):
    server = archive(lambda _: (200, {}))
    send(files, to(server.url, headers={"Authorization": "Bearer secret"}))
    ((path, headers, body),) = server.requests
    assert path == "/dicom-web/studies"
    assert headers["Content-Type"].startswith('multipart/related; type="application/dicom"; boundary=')
    assert headers["Authorization"] == "Bearer secret"
    assert all(file.read_bytes() in body for file in files)
    assert body.count(b"Content-Type: application/dicom\r\n\r\n") == 2


def test_each_instance_is_answered_by_itself(files, archive):
    first, second = map(uid_of, files)
    document = {"00081199": {"Value": [item(first)]}, "00081198": {"Value": [item(second, reason=0xA700)]}}
    outcomes = send(files, to(archive(lambda _: (202, document)).url))
    assert verdicts(outcomes) == [ACCEPTED, FAILED]
    assert outcomes[1].sentence == f"Refused: out of resources ({0xA700})"


def test_a_conflict_names_the_permanent_reason(files, archive):
    document = {"00081198": {"Value": [item(uid_of(path), reason=0xA900) for path in files]}}
    assert verdicts(send(files, to(archive(lambda _: (409, document)).url))) == [REFUSED, REFUSED]


def test_a_warning_is_an_acceptance(files, archive):
    document = [{"00081199": {"Value": [item(uid_of(path), warning=0xB000) for path in files]}}]
    outcomes = send(files, to(archive(lambda _: (200, document)).url))
    assert verdicts(outcomes) == [ACCEPTED, ACCEPTED]
    assert outcomes[0].status == 0xB000


@pytest.mark.parametrize(
    ("status", "document", "verdict"),
    [
        (200, b"", ACCEPTED),
        (200, {"unrelated": 1}, ACCEPTED),
        (202, b"not json", FAILED),
        (409, {"00081198": "broken"}, FAILED),
        (400, {}, REFUSED),
        (401, {}, REFUSED),
        (415, {}, REFUSED),
        (429, {}, FAILED),
        (500, {}, FAILED),
        (503, {}, FAILED),
    ],
)
def test_an_answer_that_names_no_instance(files, archive, status, document, verdict):
    outcomes = send(files, to(archive(lambda _: (status, document)).url))
    assert verdicts(outcomes) == [verdict, verdict]


def test_a_failure_without_a_reason_is_tried_again(files, archive):
    document = {"00081198": {"Value": [item(uid_of(path)) for path in files]}}
    assert verdicts(send(files, to(archive(lambda _: (409, document)).url))) == [FAILED, FAILED]


def test_too_large_together_is_sent_one_by_one(files, archive):
    server = archive(lambda body: (413, {}) if body.count(b"DICM") > 1 else (200, {}))
    assert verdicts(send(files, to(server.url))) == [ACCEPTED, ACCEPTED]
    assert len(server.requests) == 3


def test_too_large_alone_is_refused(files, archive):
    (outcome,) = send(files[:1], to(archive(lambda _: (413, {})).url))
    assert outcome.verdict is REFUSED
    assert outcome.sentence == "The instance is too large (413)"


def test_nobody_there(files, free_port):
    outcomes = send(files, to(f"http://127.0.0.1:{free_port}/studies"))
    assert verdicts(outcomes) == [FAILED, FAILED]
    assert outcomes[0].sentence == "no connection"
    with pytest.raises(PeerFailure, match="archive: no connection"):
        check(to(f"http://127.0.0.1:{free_port}/studies"))


def test_check_reports_a_refused_search(archive):
    with pytest.raises(PeerFailure, match="archive: HTTP status 403"):
        check(to(archive(lambda _: (403, {})).url))


def test_nothing_to_send_makes_no_request(archive):
    server = archive(lambda _: (200, {}))
    assert send([], to(server.url)) == ()
    assert server.requests == []


def test_a_file_that_is_not_dicom_is_our_failure(tmp_path, archive):
    path = tmp_path / "note.txt"
    path.write_text("not DICOM")
    with pytest.raises(StorageFailure, match=r"note\.txt cannot be sent"):
        send([path], to(archive(lambda _: (200, {})).url))
