"""Settings that are allowed and yet most often a mistake, and ports that somebody else holds."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from inference.errors import SettingRefusal
from server.checks.answer import Answer, fail, ok, warn
from server.checks.database import is_there
from server.claim_destinations import claim_destinations
from server.compose import threads_per_worker
from server.database import reading
from server.exposure import is_loopback
from server.peers import DicomPeer
from server.processes import Process, Role, list_processes
from server.settings import Settings

_SHORT_QUIET_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A rule about settings together."""

    is_made: Callable[[Settings], bool]
    sentence: str
    advice: str


def _is_own_port(settings: Settings) -> bool:
    peers = [peer for peer in settings.destination_peers() if isinstance(peer, DicomPeer)]
    return any(is_loopback(peer.host) and peer.port == settings.dicom_port for peer in peers)


MISTAKES: tuple[Mistake, ...] = (
    Mistake(
        is_made=_is_own_port,
        sentence="A destination is this node itself: results come back, and no PACS gets them.",
        advice="Give the PACS's address and port.",
    ),
    Mistake(
        is_made=lambda s: any(isinstance(p, DicomPeer) and p.ae_title == s.ae_title for p in s.destination_peers()),
        sentence="A destination has our own AE title.",
        advice="Each node of a network has an AE title of its own.",
    ),
    Mistake(
        is_made=lambda s: not s.allowed_calling_ae_titles and not is_loopback(s.dicom_host),
        sentence="Anybody who reaches the DICOM port may send.",
        advice="Set allowed_calling_ae_titles, and let the network's firewall pass the PACS only.",
    ),
    Mistake(
        is_made=lambda s: s.quiet_period < _SHORT_QUIET_S,
        sentence="quiet_period is shorter than 5 s: a pause of the sender makes a study that is not whole.",
        advice="30 s suits most senders; query_peers ends the wait earlier.",
    ),
    Mistake(
        is_made=lambda s: s.workers * threads_per_worker(s) > (os.cpu_count() or 1),
        sentence="Workers and threads are more than this machine has cores.",
        advice="Leave threads at 0: the cores are shared out.",
    ),
    Mistake(
        is_made=lambda s: s.database_url.startswith("postgresql") and "sslmode" not in s.database_url,
        sentence="database_url does not say sslmode: the connection may be in clear.",
        advice="Append ?sslmode=verify-full where the database is another machine.",
    ),
    Mistake(
        is_made=lambda s: s.log_level == "DEBUG",
        sentence="log_level is DEBUG.",
        advice="INFO is meant for daily use.",
    ),
)
"""What is allowed, but seldom meant."""


def check_settings(settings: Settings) -> Iterator[Answer]:
    """What the settings say, then each rule that they break."""
    senders = ", ".join(settings.allowed_calling_ae_titles) or "anyone who reaches the port"
    yield ok("settings", f"AE title {settings.ae_title}; accepted senders: {senders}.")
    yield from (warn("settings", one.sentence, one.advice) for one in MISTAKES if one.is_made(settings))


def check_claim_destinations(settings: Settings) -> Iterator[Answer]:
    """Whether every destination of attachments may be used; nobody is asked, since it would be a submission."""
    try:
        found = claim_destinations(settings)
    except SettingRefusal as refusal:
        yield fail("claim destinations", str(refusal), "Correct the file that claim_destinations_file names.")
        return
    for name, one in found.items():
        yield ok(f"claim destination {name}", f"{one.kind.value} by HTTPS to {one.url}.")


def check_ports(settings: Settings, engine: Engine) -> Iterator[Answer]:
    """Whether each port is ours: free, or held by a process of this node."""
    listening = _processes(engine)
    for kind, role, host, port in _ports(settings):
        main = settings.dicom_port if role is Role.RECEIVE else settings.http_port
        holders = [process.pid for process in listening if process.role is role and process.port == main]
        yield _check_port(f"port of {kind}", host, port, holders)


def _ports(settings: Settings) -> Iterator[tuple[str, Role, str, int]]:
    """What listens, in which role, and where; a process tells the database its first port only."""
    yield "DICOM", Role.RECEIVE, settings.dicom_host, settings.dicom_port
    if settings.dicom_tls_port is not None:
        yield "DICOM over TLS", Role.RECEIVE, settings.dicom_host, settings.dicom_tls_port
    yield "HTTP", Role.WEB, settings.http_host, settings.http_port
    if settings.hl7_port:
        yield "HL7", Role.WEB, settings.hl7_host, settings.hl7_port


def _processes(engine: Engine) -> list[Process]:
    """Those of this host that the database knows and that live."""
    if not is_there(engine):
        return []
    try:
        with reading(engine) as connection:
            found = list_processes(connection)
    except SQLAlchemyError:
        return []
    host = socket.gethostname()
    return [one for one in found if one.name.startswith(f"{host}:") and Path(f"/proc/{one.pid}").exists()]


def _check_port(name: str, host: str, port: int, holders: list[int]) -> Answer:
    if port == 0:
        return warn(name, "Any free one (0): nobody can be told where to send.", "Give it a number.")
    if holders:
        return ok(name, f"{port} is held by process {holders[0]} of this node.")
    try:
        socket.create_server((host, port)).close()
    except PermissionError:
        return fail(
            name, f"{port} may not be opened by this user.", "Take one above 1023, or grant CAP_NET_BIND_SERVICE."
        )
    except OSError as error:
        advice = f"ss -ltnp 'sport = :{port}' says who has it; use another port, or end that."
        reason = os.strerror(error.errno) if error.errno else str(error)  # create_server adds words of its own
        return fail(name, f"{host}:{port} cannot be opened: {reason}.", advice)
    return ok(name, f"{port} is free.")
