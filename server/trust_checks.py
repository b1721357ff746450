"""What ``spine-node check`` says about whom this node believes: senders, certificates, audit repository."""

from __future__ import annotations

import time
from collections.abc import Iterator

from dicom_node.certificates import expiries
from dicom_node.tls import client_context
from inference.errors import PeerFailure, SettingRefusal
from server.auth.audit.syslog import send
from server.checks.answer import Answer, fail, ok, warn
from server.dicom_trust import live_context, peer_rules, repository_address, tls_files, user_check
from server.settings import Settings


def check_trust(settings: Settings) -> Iterator[Answer]:
    """Senders, the files of DICOM over TLS with their ends, and whether the audit repository answers."""
    yield _check_senders(settings)
    yield from _check_tls(settings)
    yield from _check_ends(settings)
    yield from _check_repository(settings)


def _check_senders(settings: Settings) -> Answer:
    try:
        rules, users = peer_rules(settings), user_check(settings)
    except SettingRefusal as refusal:
        return fail("senders", refusal.sentence, "Correct the file that it names.")
    parts = []
    if rules:
        parts.append(f"{', '.join(rule.name for rule in rules)} of {settings.dicom_peers_file}")
    if settings.allowed_calling_ae_titles:
        parts.append(f"AE titles {', '.join(settings.allowed_calling_ae_titles)}")
    if users is not None:
        parts.append(f"users of {settings.dicom_users_file}")
    return ok("senders", f"{'; '.join(parts) or 'Anyone who reaches the port'}.")


def _check_tls(settings: Settings) -> Iterator[Answer]:
    try:
        context = live_context(settings)
    except SettingRefusal as refusal:
        yield fail("dicom tls", refusal.sentence, "Correct the file that it names.")
        return
    if context is not None:
        demands = (
            "certificates are demanded" if settings.dicom_tls_demand_certificate else "without certificates of peers"
        )
        yield ok("dicom tls", f"Port {settings.dicom_tls_port}, {demands}.")


def _check_ends(settings: Settings) -> Iterator[Answer]:
    now = time.time()
    for end in expiries(tls_files(settings)):
        name, words = f"dicom {end.use}", end.sentence(now)
        if end.days_left(now) < 0:
            yield fail(name, words, "Put a new one in its place; it is read without a restart.")
        elif end.is_near(now, settings.tls_warning_days):
            yield warn(name, words, "Get a new one in time; it is read without a restart.")
        else:
            yield ok(name, words)


def _check_repository(settings: Settings) -> Iterator[Answer]:
    """A handshake and an orderly end, without a record."""
    if not settings.audit_repository:
        return
    try:
        address = repository_address(settings.audit_repository)
        send((), address, client_context(tls_files(settings)), timeout_s=settings.delivery_timeout)
    except (PeerFailure, SettingRefusal) as error:
        yield fail("audit repository", str(error), "Records are kept here and sent once it answers.")
    else:
        yield ok("audit repository", "It answers.")
