"""Signing in and out: what a password, or a provider's word, is turned into."""

from __future__ import annotations

from dataclasses import dataclass, replace

from server.auth.audit import trail
from server.auth.audit.record import AuditKind, Outcome, record_of
from server.auth.guard import Guard
from server.auth.roles import NOBODY, Method, Principal
from server.auth.sessions import close_session, open_session
from server.auth.users import find_user, verify_user
from server.database import reading

WRONG = "The name or the password is wrong, or the user is disabled."
"""The same sentence for each, after the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What became of a login: a session's token, or how long to wait, or neither."""

    token: str | None = None
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """From where somebody signs in."""

    address: str
    network: str
    """What counts as one client."""
    former_token: str | None
    """Of the session that this browser has, which ends: no token lives through a login."""


def sign_in(guard: Guard, origin: Origin, *, name: str, password: str) -> Attempt:
    """Compare the password and open a session."""
    name = name.strip().casefold()[:64]
    wait = guard.logins.try_once(name, origin.network)
    if wait > 0.0:
        return Attempt(wait_s=wait)
    user = verify_user(guard.engine, name, password)
    if user is None:
        _record_failure(guard, origin, name)
        return Attempt()
    guard.logins.succeeded(name, origin.network)
    return Attempt(token=admit(guard, origin, user.principal, generation=user.generation))


def admit(guard: Guard, origin: Origin, principal: Principal, *, generation: int = 0) -> str:
    """Open a session for somebody who has proved who they are; returns its token."""
    record = record_of(AuditKind.LOGIN, principal, address=origin.address)
    with guard.engine.begin() as connection:
        if origin.former_token:
            close_session(connection, origin.former_token)
        token = open_session(connection, principal, generation=generation, rules=guard.rules.sessions)
        trail.append(connection, record)
    return token


def sign_out(guard: Guard, principal: Principal, token: str, address: str) -> None:
    """End a session."""
    with guard.engine.begin() as connection:
        close_session(connection, token)
        trail.append(connection, record_of(AuditKind.LOGOUT, principal, address=address))


def _record_failure(guard: Guard, origin: Origin, name: str) -> None:
    """Name the user only if there is one: people type passwords into the wrong field."""
    with reading(guard.engine) as connection:
        is_user = find_user(connection, name) is not None
    tried = replace(NOBODY, subject=name if is_user else "unknown", method=Method.PASSWORD)
    guard.record(record_of(AuditKind.LOGIN, tried, outcome=Outcome.MINOR_FAILURE, address=origin.address))
