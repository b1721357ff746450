"""What ``spine-node check`` says about whom this node believes: senders, certificates, audit repository."""

from __future__ import annotations

import time
from collections.abc import Iterator

from dicom_node.certificates import expiries
from dicom_node.tls import TlsFiles, client_context
from inference.errors import PeerFailure, SettingRefusal
from server.auth.audit.syslog import send
from server.dicom_trust import live_context, peer_rules, repository_address, tls_files, user_check
from server.readiness import Check
from server.settings import Settings


def check_trust(settings: Settings) -> list[Check]:
    """Senders, the files of DICOM over TLS and of HTTPS with their ends, and whether the audit repository answers."""
    return [
        _check_senders(settings),
        *_check_tls(settings),
        *_check_ends("dicom", tls_files(settings), settings.tls_warning_days),
        *_check_ends("http", TlsFiles(certificate=settings.http_tls_certificate), settings.tls_warning_days),
        *_check_repository(settings),
    ]


def _check_senders(settings: Settings) -> Check:
    try:
        rules, users = peer_rules(settings), user_check(settings)
    except SettingRefusal as refusal:
        return Check(name="senders", is_ok=False, sentence=refusal.sentence)
    parts = []
    if rules:
        parts.append(f"{', '.join(rule.name for rule in rules)} of {settings.dicom_peers_file}")
    if settings.allowed_calling_ae_titles:
        parts.append(f"AE titles {', '.join(settings.allowed_calling_ae_titles)}")
    if users is not None:
        parts.append(f"users of {settings.dicom_users_file}")
    return Check(name="senders", is_ok=True, sentence=f"{'; '.join(parts) or 'Anyone who reaches the port'}.")


def _check_tls(settings: Settings) -> Iterator[Check]:
    try:
        context = live_context(settings)
    except SettingRefusal as refusal:
        yield Check(name="dicom tls", is_ok=False, sentence=refusal.sentence)
        return
    if context is not None:
        demands = (
            "certificates are demanded" if settings.dicom_tls_demand_certificate else "without certificates of peers"
        )
        yield Check(name="dicom tls", is_ok=True, sentence=f"Port {settings.dicom_tls_port}, {demands}.")


def _check_ends(use: str, files: TlsFiles, warning_days: float) -> Iterator[Check]:
    now = time.time()
    for end in expiries(files):
        is_near, is_good = end.is_near(now, warning_days), end.days_left(now) >= 0
        yield Check(name=f"{use} {end.use}", is_ok=is_good, is_warning=is_near, sentence=end.sentence(now))


def _check_repository(settings: Settings) -> Iterator[Check]:
    """A handshake and an orderly end, without a record."""
    if not settings.audit_repository:
        return
    try:
        address = repository_address(settings.audit_repository)
        send((), address, client_context(tls_files(settings)), timeout_s=settings.delivery_timeout)
    except (PeerFailure, SettingRefusal) as error:
        yield Check(name="audit repository", is_ok=False, sentence=str(error))
    else:
        yield Check(name="audit repository", is_ok=True, sentence="It answers.")
