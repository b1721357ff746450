"""One request as the gate sees it, before any route: who calls, by which name, how, and for what."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from starlette.datastructures import Headers
from starlette.requests import cookie_parser

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
COOKIE_PLAIN, COOKIE_TLS = "spine", "__Host-spine"
"""The second name is kept by a browser only with Secure, Path=/ and no Domain (RFC 6265bis 4.1.3.2)."""
_CONTROL = frozenset(range(0x20)) | {0x7F}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request says about itself."""

    method: str
    path: str
    query: str
    scheme: str
    address: str
    """Of the client; of the nearest one that is no trusted proxy."""
    headers: Headers

    @property
    def host(self) -> str:
        """The Host header in lower case, with the port."""
        return self.headers.get("host", "").lower()

    @property
    def host_name(self) -> str:
        """Without the port."""
        host = self.host
        end = host.find("]") + 1 if host.startswith("[") else host.find(":")
        return host[:end] if end > 0 else host

    @property
    def is_https(self) -> bool:
        """Whether the client speaks TLS, to us or to a trusted proxy."""
        return self.scheme == "https"

    @property
    def network(self) -> str:
        """What counts as one client: an IPv4 address, or the /64 that one IPv6 host can choose addresses from."""
        try:
            address = ipaddress.ip_address(self.address)
        except ValueError:
            return self.address
        if address.version == 4:  # noqa: PLR2004 - IPv4
            return str(address)
        return str(ipaddress.ip_network((address, 64), strict=False))

    @property
    def bearer(self) -> str | None:
        """The key in ``Authorization``; empty where another scheme is used."""
        value = self.headers.get("authorization")
        if value is None:
            return None
        scheme, _, key = value.partition(" ")
        return key.strip() if scheme.lower() == "bearer" else ""

    @property
    def session_token(self) -> str | None:
        """The token in the session cookie."""
        return self.cookie(COOKIE_TLS if self.is_https else COOKIE_PLAIN)

    def cookie(self, name: str) -> str | None:
        """One cookie."""
        return cookie_parser(self.headers.get("cookie", "")).get(name)

    @property
    def is_navigation(self) -> bool:
        """Whether a person opens a page, who is better helped by the login page than by a problem."""
        return self.method == "GET" and "text/html" in self.headers.get("accept", "")

    @property
    def target(self) -> str:
        """Path and query, to come back to."""
        return quote(self.path, safe="/:@-._~") + (f"?{self.query}" if self.query else "")

    @property
    def has_control_characters(self) -> bool:
        """Whether path or query hold what no name and no value has, like NUL, which PostgreSQL cannot keep."""
        return not _CONTROL.isdisjoint(self.path.encode("utf-8", "replace") + unquote_to_bytes(self.query))

    @property
    def is_same_origin(self) -> bool | None:
        """Whether a browser says that one of our own pages asks; None where no browser says anything.

        ``Sec-Fetch-Site`` is sent by every browser since 2023 to loopback and under TLS, ``Origin`` with every POST.
        """
        site = self.headers.get("sec-fetch-site")
        if site is not None:
            return site in {"same-origin", "none"}
        origin = self.headers.get("origin")
        return None if origin is None else origin.lower() == f"{self.scheme}://{self.host}"


def asked(scope: Mapping[str, Any]) -> Asked:
    """The request of an ASGI scope of type http."""
    client = scope.get("client")
    return Asked(
        method=str(scope["method"]),
        path=str(scope["path"]),
        query=bytes(scope.get("query_string", b"")).decode("latin-1"),
        scheme=str(scope.get("scheme", "http")),
        address=client[0] if client else "",
        headers=Headers(scope=dict(scope)),
    )
