"""The decision on one request, in this order: by which name, over TLS, how often, who asks, from where, may they."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlencode

from sqlalchemy import Engine

from server.auth.asked import SAFE_METHODS, Asked
from server.auth.audit import trail
from server.auth.audit.recently import Recently, key_of
from server.auth.audit.record import AuditKind, AuditRecord, Outcome, record_of
from server.auth.brakes import Brake, LoginBrake
from server.auth.keys import find_key
from server.auth.roles import LOOPBACK, NOBODY, Permission, Principal
from server.auth.rules import permission_for, rules_for
from server.auth.sessions import SessionRules, find_session

_BAD_KEYS, _BAD_KEY_WINDOW_S = 30, 60.0
_PROBES = 120
"""Of one client in a minute: nobody signs in for them, and each asks the database and reads the models' weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardRules:
    """How this node is reached, from its settings."""

    source: str
    """Who reports what is audited: our AE title."""
    host_names: frozenset[str]
    """By which it may be called (``Host``), in lower case without the port; an IPv6 address in brackets."""
    is_open: bool
    """Whether no authentication is configured: loopback only."""
    demands_https: bool
    sessions: SessionRules
    requests_per_minute: int
    """Of one client; 0: any."""


class Denied(Exception):  # noqa: N818 - the answer to a request, not an error of ours
    """The request goes no further."""

    def __init__(self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> None:
        """One sentence, and what the answer's header says."""
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})


class Guard:
    """Decides, and keeps the audit trail."""

    def __init__(self, engine: Engine, rules: GuardRules) -> None:
        """Over one database."""
        self.engine = engine
        self.rules = rules
        self.logins = LoginBrake()
        per_minute = rules.requests_per_minute
        self._requests = Brake(per_minute, 60.0) if per_minute else None
        self._probes = Brake(_PROBES, 60.0)
        self._bad_keys = Brake(_BAD_KEYS, _BAD_KEY_WINDOW_S)
        self._recently = Recently()

    def admit(self, asked: Asked) -> tuple[Principal, Permission]:
        """Who asks, and the permission that they have for it.

        Raises:
            Denied: they have not, or the request is not one that we answer.
        """
        if asked.has_control_characters:
            raise Denied(HTTPStatus.BAD_REQUEST, "An address holds no control characters.")
        permission = permission_for(asked.method, asked.path)
        if permission is not Permission.PROBE:
            self._check_door(asked)
        if permission is Permission.PROBE and not self.rules.is_open:
            _slow_down(self._probes.spend(asked.network))
        if self._requests is not None:
            _slow_down(self._requests.spend(asked.network))
        if permission is None:
            raise _unknown(asked.path)
        principal = self._identify(asked)
        _check_origin(asked)
        if principal.may(permission):
            return principal, permission
        if principal is NOBODY:
            raise _sign_in(asked)
        self._record_failure(AuditKind.REFUSED, principal, asked)
        raise Denied(HTTPStatus.FORBIDDEN, f"This needs the permission {permission}, which {_who(principal)} has not.")

    def record(self, record: AuditRecord, *, once: bool = False) -> None:
        """Write to the audit trail, in a transaction of its own; with `once`, what is new within ten minutes."""
        key = key_of(record)
        if once and not self._recently.is_new(key):
            return
        try:
            with self.engine.begin() as connection:
                trail.append(connection, record)
        except Exception:
            self._recently.forget(key)
            raise

    def is_recorded(self, record: AuditRecord) -> bool:
        """Whether it would add no row with `once`; asks nobody and waits for nothing."""
        return self._recently.is_known(key_of(record))

    def asks_database(self, asked: Asked) -> bool:
        """Whether :meth:`admit` has to look somebody up; where it has not, it waits for nothing.

        Who is let in without asking may do all (:data:`LOOPBACK`), and nobody's refusal is recorded (:data:`NOBODY`).
        """
        return not self.rules.is_open and (asked.bearer is not None or asked.session_token is not None)

    def _record_failure(self, kind: AuditKind, principal: Principal, asked: Asked) -> None:
        rule = next((rule for rule in rules_for(asked.path) if asked.method in rule.methods), None)
        about = f"{asked.method} {rule.path}" if rule else asked.method
        failed = Outcome.MINOR_FAILURE
        self.record(record_of(kind, principal, outcome=failed, address=asked.address, about=about), once=True)

    def _check_door(self, asked: Asked) -> None:
        if asked.host_name not in self.rules.host_names:
            # A page elsewhere whose name was made to point here (DNS rebinding) calls us by its own name.
            raise Denied(
                HTTPStatus.MISDIRECTED_REQUEST, "This node is not called by that name; the setting is http_names."
            )
        if self.rules.demands_https and not asked.is_https:
            raise Denied(HTTPStatus.FORBIDDEN, "This node is reached through TLS only.")
        if self.rules.is_open and not {"forwarded", "x-forwarded-for"}.isdisjoint(asked.headers.keys()):
            raise Denied(
                HTTPStatus.FORBIDDEN,
                "This node is open to its own machine only, and this came through a proxy; "
                "the settings are http_authentication and http_trusted_proxies.",
            )

    def _identify(self, asked: Asked) -> Principal:
        if self.rules.is_open:
            return LOOPBACK
        key, token = asked.bearer, asked.session_token
        if key is not None:
            return self._key(asked, key)
        found = find_session(self.engine, token, self.rules.sessions) if token else None
        return found or NOBODY

    def _key(self, asked: Asked, key: str) -> Principal:
        _slow_down(self._bad_keys.wait(asked.network))
        found = find_key(self.engine, key)
        if found is not None:
            return found
        self._bad_keys.spend(asked.network)
        self._record_failure(AuditKind.BAD_KEY, NOBODY, asked)
        raise Denied(HTTPStatus.UNAUTHORIZED, "This key opens nothing.", {"www-authenticate": "Bearer"})


def _check_origin(asked: Asked) -> None:
    """Refuse what another site's page sends with the user's cookie, or to the user's own machine (CSRF)."""
    if asked.method in SAFE_METHODS or asked.bearer:
        return
    if asked.is_same_origin is False or (asked.is_same_origin is None and asked.session_token):
        raise Denied(HTTPStatus.FORBIDDEN, "A page of another site sent this, or nothing says that it did not.")


def _slow_down(seconds: float) -> None:
    if seconds > 0.0:
        wait = {"retry-after": str(int(seconds) + 1)}
        raise Denied(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests; try again later.", wait)


def _unknown(path: str) -> Denied:
    methods = sorted({method for rule in rules_for(path) for method in rule.methods})
    if methods:
        return Denied(HTTPStatus.METHOD_NOT_ALLOWED, "Method Not Allowed", {"allow": ", ".join(methods)})
    return Denied(HTTPStatus.NOT_FOUND, "Not Found")


def _sign_in(asked: Asked) -> Denied:
    if asked.is_navigation:
        to = {"location": f"/login?{urlencode({'next': asked.target})}"}
        return Denied(HTTPStatus.SEE_OTHER, "Sign in first.", to)
    return Denied(HTTPStatus.UNAUTHORIZED, "Sign in, or send a key.", {"www-authenticate": "Bearer"})


def _who(principal: Principal) -> str:
    return f"the role {principal.role}" if principal.role else "this key"
