"""A payer's end point over real TLS: it counts submissions by control number, as payers do, and answers as told."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import trustme

from builders.peers import LOOPBACK

ISA = "ISA*00*          *00*          *ZZ*PAYER01        *ZZ*SPINECLINIC    *260310*0900*^*00602*000000031*0*T*:~"


@dataclass(slots=True)
class Payer:
    """What it got, and how it answers."""

    url: str = ""
    authority: Path = Path()
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    answers: list[Callable[[BaseHTTPRequestHandler, bytes], None]] = field(default_factory=list)
    """In turn, each for one request; after them every request is acknowledged."""

    @property
    def accepted(self) -> set[str]:
        """Control numbers: a submission that comes again counts once."""
        return {_number(body) for body in self.bodies}


def _number(body: bytes) -> str:
    if body.startswith(b"{"):
        found = json.loads(body)["parameter"]
        return str(next(p["valueIdentifier"]["value"] for p in found if p["name"] == "TrackingId"))
    start = body.index(b"ISA*")
    return body[start : start + 106].split(b"*")[13].decode("ascii")


def acknowledge(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    """999 or OperationOutcome: accepted."""
    if body.startswith(b"{"):
        say(200, "application/fhir+json", _outcome("information"))(handler, body)
    else:
        say(200, "application/EDI-X12", functional(_number(body), "A"))(handler, body)


def ta1(number: str, code: str, note: str) -> bytes:
    """An interchange with one TA1."""
    return f"{ISA}TA1*{number}*260310*0900*{code}*{note}~IEA*0*000000031~".encode()


def functional(number: str, verdict: str) -> bytes:
    """An interchange with one 999 about the group of that number."""
    guide = "005010X231A1"
    body = f"AK1*PI*{int(number)}*006020X314~AK2*275*{int(number):04}~IK5*{verdict}~AK9*{verdict}*1*1*1~"
    return (
        f"{ISA}GS*FA*PAYER01*SPINECLINIC*20260310*0900*31*X*{guide}~ST*999*0031*{guide}~{body}"
        f"SE*6*0031~GE*1*31~IEA*1*000000031~"
    ).encode()


def _outcome(severity: str) -> bytes:
    document = {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": "processing"}]}
    return json.dumps(document).encode()


def say(status: int, content_type: str = "text/plain", content: bytes = b"") -> Callable[..., None]:
    """An answer."""

    def answer(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def outcome(status: int, severity: str) -> Callable[..., None]:
    """An OperationOutcome."""
    return say(status, "application/fhir+json", _outcome(severity))


def stay_silent(seconds: float) -> Callable[..., None]:
    """No answer, although the submission arrived."""
    return lambda _handler, _body: time.sleep(seconds)


@contextmanager
def payer(folder: Path, *, client_authority: trustme.CA | None = None) -> Iterator[Payer]:
    """Listen on a free port of loopback until the test is over."""
    made, authority = Payer(), trustme.CA()
    made.authority = folder / "authority.pem"
    authority.cert_pem.write_to_path(made.authority)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                made.bodies.append(body)
                made.headers.append(dict(self.headers))
                made.paths.append(self.path)
                answer = made.answers.pop(0) if made.answers else acknowledge
            answer(self, body)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that went away is part of the tests."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", LOOPBACK).configure_cert(context)
    if client_authority is not None:
        client_authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    with Server((LOOPBACK, 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        made.url = f"https://localhost:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield made
        server.shutdown()
        thread.join()


def destinations_file(folder: Path, **tables: dict[str, object]) -> Path:
    """A TOML file with these destinations."""
    path = folder / "claim-destinations.toml"
    lines = []
    for name, table in tables.items():
        lines.append(f"[{name}]")
        lines += [
            f"{key} = {json.dumps(value if isinstance(value, bool | list) else str(value))}"
            for key, value in table.items()
        ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def x12_table(made: Payer, **changes: object) -> dict[str, object]:
    """A destination that takes the plain 275."""
    return {
        "kind": "275",
        "url": f"{made.url}/edi",
        "authorities": made.authority,
        "sender_id": "SPINECLINIC",
        "receiver_id": "PAYER01",
        "submitter_name": "Example Spine Clinic",
        "submitter_id": "ETIN001",
    } | changes
