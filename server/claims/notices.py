"""The webhook: another program is told that the evidence of a claim came to something else.

A notice holds our opaque id of the claim and the number of its evaluation, nothing of a patient: who may read the claim
asks for it. It is committed with the evaluation, sent at least once, and carries an id by which the receiver counts it
once. Several web processes may send: each try is taken first, and its number is the fence by which a process that was
paused meanwhile is kept from sending, or from recording, what another has taken since. With a secret it is signed as
GitHub and others do: HMAC-SHA-256 over the body.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from sqlalchemy import ColumnElement, Connection, Row, insert, select, update

from inference.errors import SettingRefusal
from server.compose import Node
from server.events import event
from server.exposure import is_loopback
from server.lease import boot_clock
from server.settings import Settings
from server.tables import claim_evaluations, claim_notices

FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 3600.0
MOST_ATTEMPTS = 60
TIMEOUT_S = 10.0
AT_ONCE = 50
TAKEN_S = 60.0
"""Whoever took a try has it for so long, by the wall clock of its host;"""
HELD_S = 20.0
"""and begins to send no later than this after it took it: between lie the sending, and how far clocks differ."""
SIGNATURE = "X-Spine-Signature-256"


class NoticeState(StrEnum):
    """What became of a notice."""

    PENDING = "pending"
    SENT = "sent"
    DEAD = "dead"
    """Given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Where notices go."""

    url: str
    secret: bytes | None


def webhook_of(settings: Settings) -> Webhook | None:
    """The webhook of the settings; None where none is set.

    Raises:
        SettingRefusal: its address is not https, or its secret cannot be read.
    """
    url = settings.claim_webhook
    if not url:
        return None
    parts = urlsplit(url)
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    if not is_safe or parts.username or parts.password:
        raise SettingRefusal("claim_webhook is an address that begins with https:// and holds no password.")
    return Webhook(url=url, secret=_secret(settings.claim_webhook_secret_file))


def _secret(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise SettingRefusal(f"claim_webhook_secret_file {path} cannot be read: {error.strerror}.") from None
    if not secret:
        raise SettingRefusal(f"claim_webhook_secret_file {path} is empty.")
    return secret


def queue_notice(connection: Connection, claim_id: str, evaluation: int) -> None:
    """Have the webhook told, in the transaction of the evaluation."""
    connection.execute(
        insert(claim_notices).values(
            claim_id=claim_id,
            evaluation=evaluation,
            state=NoticeState.PENDING.value,
            attempts=0,
            next_try_at=time.time(),
        )
    )


def send_notices(node: Node, webhook: Webhook) -> int:
    """Send what is due; returns how many were taken. A notice waits longer after each failure."""
    now = time.time()
    due = select(claim_notices, claim_evaluations.c.verdict, claim_evaluations.c.evaluated_at).join(
        claim_evaluations,
        (claim_evaluations.c.claim_id == claim_notices.c.claim_id)
        & (claim_evaluations.c.number == claim_notices.c.evaluation),
    )
    which = (claim_notices.c.state == NoticeState.PENDING, claim_notices.c.next_try_at <= now)
    with node.engine.begin() as connection:
        rows = connection.execute(due.where(*which).order_by(claim_notices.c.next_try_at).limit(AT_ONCE)).all()
    return sum(_try(node, webhook, row) for row in rows)


def _try(node: Node, webhook: Webhook, row: Row[tuple[object, ...]]) -> bool:
    """Take one try and make it; False where another process has it."""
    taken_at = boot_clock()
    free = (*_is(row), claim_notices.c.attempts == row.attempts, claim_notices.c.state == NoticeState.PENDING.value)
    taking = {"attempts": row.attempts + 1, "next_try_at": time.time() + TAKEN_S}
    with node.engine.begin() as connection:
        if connection.execute(update(claim_notices).where(*free).values(**taking)).rowcount == 0:
            return False
    if boot_clock() - taken_at > HELD_S:
        event("send_overtaken", claim=row.claim_id, evaluation=row.evaluation)
        return False
    _record(node, row, _send(webhook, row))
    return True


def _is(row: Row[tuple[object, ...]]) -> tuple[ColumnElement[bool], ...]:
    return claim_notices.c.claim_id == row.claim_id, claim_notices.c.evaluation == row.evaluation


def _send(webhook: Webhook, row: Row[tuple[object, ...]]) -> str | None:
    """Why it was not taken; None where it was."""
    notice = {
        "id": f"{row.claim_id}/{row.evaluation}",
        "event": "claim.evidence.changed",
        "claim": row.claim_id,
        "evaluation": row.evaluation,
        "verdict": row.verdict,
        "evaluated_at": row.evaluated_at,
    }
    body = json.dumps(notice, sort_keys=True).encode()
    headers = {"Content-Type": "application/json"}
    if webhook.secret is not None:
        headers[SIGNATURE] = "sha256=" + hmac.new(webhook.secret, body, hashlib.sha256).hexdigest()
    try:
        answer = httpx.post(webhook.url, content=body, headers=headers, timeout=TIMEOUT_S, follow_redirects=False)
    except (httpx.HTTPError, OSError) as error:
        return f"The webhook does not answer: {type(error).__name__}."
    if answer.status_code >= HTTPStatus.MULTIPLE_CHOICES:
        return f"The webhook answered {answer.status_code}."
    return None


def _record(node: Node, row: Row[tuple[object, ...]], fault: str | None) -> None:
    attempts = row.attempts + 1
    state = NoticeState.SENT
    if fault is not None:
        state = NoticeState.DEAD if attempts >= MOST_ATTEMPTS else NoticeState.PENDING
    wait = min(FIRST_WAIT_S * 2 ** min(attempts - 1, 20), LONGEST_WAIT_S)
    ours = (*_is(row), claim_notices.c.attempts == attempts)
    values = {"state": state.value, "next_try_at": time.time() + wait, "reason": fault}
    with node.engine.begin() as connection:
        connection.execute(update(claim_notices).where(*ours).values(**values))
    event("claim_notice", claim=row.claim_id, evaluation=row.evaluation, state=state.value)
