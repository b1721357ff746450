"""``spine-node check``."""

from __future__ import annotations

import os
import uuid

import typer

from inference.errors import Failure, PeerFailure, SettingRefusal
from server.claim_destinations import claim_destinations
from server.compose import Node, open_node
from server.database import shown_url
from server.options import with_settings
from server.outbound import probe
from server.readiness import Check, check_database, check_models
from server.settings import Settings
from server.trust_checks import check_trust

_GIB = 1024**3


@with_settings
def command(settings: Settings) -> None:
    """Check settings, database, disk, models and destinations; nothing needs to run."""
    node = open_node(settings)
    checks = [
        Check(
            name="settings",
            is_ok=True,
            sentence=f"AE title {settings.ae_title}, data in {settings.data_dir.absolute()}, "
            f"database {shown_url(node.engine)}.",
        ),
        check_database(node),
        _check_disk(node),
        check_models(node),
        *check_trust(settings),
        *_check_destinations(settings),
        *_check_claim_destinations(settings),
    ]
    for check in checks:
        typer.echo(f"{_word(check)} {check.name}: {check.sentence}")
    failed = [check.name for check in checks if not check.is_ok]
    if failed:
        raise Failure(f"Not in order: {', '.join(failed)}.")


def _word(check: Check) -> str:
    if not check.is_ok:
        return "FAIL"
    return "WARN" if check.is_warning else "ok  "


def _check_claim_destinations(settings: Settings) -> list[Check]:
    """Whether every destination of attachments may be used; nobody is asked, since it would be a submission."""
    try:
        found = claim_destinations(settings)
    except SettingRefusal as refusal:
        return [Check(name="claim destinations", is_ok=False, sentence=str(refusal))]
    return [
        Check(name=f"claim destination {name}", is_ok=True, sentence=f"{one.kind.value} by HTTPS to {one.url}.")
        for name, one in found.items()
    ]


def _check_disk(node: Node) -> Check:
    """Whether the spool can be written durably, and has more room than the reserve."""
    settings = node.settings
    probe_file = settings.data_dir / f"check-{uuid.uuid4().hex}"
    try:
        with probe_file.open("xb") as file:
            os.fsync(file.fileno())
        probe_file.unlink()
        space = node.spool.free_space()
    except OSError as error:
        return Check(name="disk", is_ok=False, sentence=f"{settings.data_dir} cannot be written: {error.strerror}.")
    percent = 100 * space.free_bytes / space.total_bytes
    is_ok = space.free_bytes >= settings.disk_reserve_gib * _GIB and percent >= settings.disk_reserve_percent
    wanted = f"the reserve is {settings.disk_reserve_gib:g} GiB and {settings.disk_reserve_percent:g} %"
    return Check(
        name="disk", is_ok=is_ok, sentence=f"{space.free_bytes / _GIB:.1f} GiB ({percent:.0f} %) free; {wanted}."
    )


def _check_destinations(settings: Settings) -> list[Check]:
    checks = []
    for peer in settings.destination_peers():
        try:
            probe(peer, settings)
        except PeerFailure as failure:
            checks.append(Check(name=f"destination {peer.name}", is_ok=False, sentence=str(failure)))
        else:
            checks.append(Check(name=f"destination {peer.name}", is_ok=True, sentence="It answers."))
    return checks
