"""Sessions: a random token in a cookie, of which the table ``sessions`` holds only the SHA-256.

A session ends after a time without a request, after a time from login whatever happens, at logout, and for a local
user with a new password or when disabled. What a person is was settled at login; a changed role of the provider is
seen at the next one.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, and_, delete, insert, or_, select, update

from server.auth.roles import Method, Principal, Role, person
from server.auth.tables import sessions, users
from server.database import reading

_TOKEN_BYTES = 32
_TOUCH_S = 60.0
"""How often a session that is in use is marked so: a write for every request would be one for every image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRules:
    """When a session ends. Lengths of time in seconds."""

    idle_s: float
    lifetime_s: float

    def is_over(self, created_at: float, last_seen_at: float, now: float) -> bool:
        """Whether one from then, last used then, is over now."""
        return now - created_at >= self.lifetime_s or now - last_seen_at >= self.idle_s + _TOUCH_S


def open_session(connection: Connection, principal: Principal, *, generation: int = 0, rules: SessionRules) -> str:
    """Make a session and return its token, which is kept nowhere; sessions that are over are removed.

    Args:
        connection: in a transaction.
        principal: a person.
        generation: of a local user's password, as it was compared.
        rules: when sessions are over.
    """
    now = time.time()
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    is_over = or_(
        sessions.c.created_at < now - rules.lifetime_s, sessions.c.last_seen_at < now - rules.idle_s - _TOUCH_S
    )
    connection.execute(delete(sessions).where(is_over))
    role = principal.role or Role.VIEWER
    connection.execute(
        insert(sessions).values(
            token_sha256=_sha256(token),
            subject=principal.subject,
            display_name=principal.display_name,
            role=role.value,
            method=principal.method.value,
            generation=generation,
            created_at=now,
            last_seen_at=now,
        )
    )
    return token


def find_session(engine: Engine, token: str, rules: SessionRules) -> Principal | None:
    """Whose session that is; None when there is none, it is over, or its local user has changed since."""
    now = time.time()
    is_local = and_(sessions.c.method == Method.PASSWORD.value, users.c.name == sessions.c.subject)
    query = (
        select(sessions, users.c.generation.label("current"), users.c.disabled_at)
        .join_from(sessions, users, is_local, isouter=True)
        .where(sessions.c.token_sha256 == _sha256(token))
    )
    with reading(engine) as connection:
        row = connection.execute(query).one_or_none()
    if row is None or rules.is_over(row.created_at, row.last_seen_at, now):
        return None
    if row.method == Method.PASSWORD and (row.current != row.generation or row.disabled_at is not None):
        return None
    if now - row.last_seen_at > _TOUCH_S:
        with engine.begin() as connection:
            where = sessions.c.token_sha256 == row.token_sha256
            connection.execute(update(sessions).where(where).values(last_seen_at=now))
    return person(row.subject, row.display_name, Role(row.role), Method(row.method))


def close_session(connection: Connection, token: str) -> None:
    """Forget a session; its token opens nothing any more."""
    connection.execute(delete(sessions).where(sessions.c.token_sha256 == _sha256(token)))


def _sha256(token: str) -> str:
    """Enough for 256 random bits, which cannot be guessed from it (unlike a password)."""
    return hashlib.sha256(token.encode()).hexdigest()
