"""Who may associate: by AE title, address and certificate, and by the user that a request names.

An AE title is a name that anybody can say, an address is the network's word, a certificate is a proof. A rule may ask
for any of them together. What a refused peer is told is one of the reasons of PS3.8 Table 9-21 and says no more than
it must; the log and the audit trail say which part did not fit.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

CheckUser: TypeAlias = Callable[[str, str | None, str], bool]
"""Whether a user, by name and passcode (None where the request has none), may come from an address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerCertificate:
    """What a peer proved in the handshake."""

    sha256: str
    """Of the encoded certificate, 64 hexadecimal digits in lower case."""
    names: frozenset[str]
    """Common name and subject alternative names, in lower case; empty where no authority was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a request comes from."""

    address: str
    is_tls: bool = False
    certificate: PeerCertificate | None = None

    @property
    def is_private(self) -> bool:
        """Whether nobody on the way can read a passcode: over TLS, or within this machine."""
        return self.is_tls or (bool(self.address) and ipaddress.ip_address(self.address).is_loopback)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRule:
    """A peer that may associate; an empty field asks for nothing."""

    name: str
    """For people; in logs."""
    ae_titles: frozenset[str] = frozenset()
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    certificate_sha256: frozenset[str] = frozenset()
    certificate_names: frozenset[str] = frozenset()
    """Any one of them has to be a name of the certificate; in lower case."""
    needs_user: bool = True
    """Whether the request has to name a user, where users are checked at all."""

    def fault(self, calling_ae_title: str, origin: Origin) -> str | None:
        """The first part that does not fit: `calling_ae_title`, `address` or `certificate`; None where all fit."""
        if self.ae_titles and calling_ae_title not in self.ae_titles:
            return "calling_ae_title"
        if self.networks and not any(ipaddress.ip_address(origin.address) in network for network in self.networks):
            return "address"
        shown = origin.certificate
        if self.certificate_sha256 and (shown is None or shown.sha256 not in self.certificate_sha256):
            return "certificate"
        if self.certificate_names and (shown is None or not shown.names & self.certificate_names):
            return "certificate"
        return None


PeerRules: TypeAlias = Callable[[], Sequence[PeerRule]]
"""Of which one has to fit, as they are now; empty: no rule."""


def no_rules() -> Sequence[PeerRule]:
    """Anybody may associate."""
    return ()


_FAULTS = ("calling_ae_title", "address", "certificate")


def find_rule(rules: Sequence[PeerRule], calling_ae_title: str, origin: Origin) -> PeerRule | str:
    """The first rule that fits, or what did not fit in the rule that came closest."""
    faults = []
    for rule in rules:
        fault = rule.fault(calling_ae_title, origin)
        if fault is None:
            return rule
        faults.append(fault)
    return max(faults, key=_FAULTS.index)


class IdentityType(IntEnum):
    """User-Identity-Type of PS3.7 Table D.3-14."""

    USERNAME = 1
    USERNAME_PASSCODE = 2
    KERBEROS = 3
    SAML = 4
    JWT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class UserIdentity:
    """What a request says about its user (PS3.7 D.3.3.7)."""

    type: int
    primary: bytes
    secondary: bytes
    wants_response: bool


def identity_fault(identity: UserIdentity | None, origin: Origin, check: CheckUser) -> str | None:
    """Why the user of a request is not let in, as a word; None where they are."""
    if identity is None:
        return "user_missing"
    try:
        kind = IdentityType(identity.type)
        if kind not in {IdentityType.USERNAME, IdentityType.USERNAME_PASSCODE}:
            return f"user_identity_{kind.name.lower()}"
        name, passcode = identity.primary.decode(), identity.secondary.decode()
    except ValueError:
        return "user_unreadable"
    if not origin.is_private:
        return "user_in_the_clear"
    given = passcode if kind is IdentityType.USERNAME_PASSCODE else None
    return None if check(name, given, origin.address) else "user"


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """By what a request was let in."""

    peer_name: str = ""
    """Of the rule."""
    user: str = ""
    """Who was checked."""
    confirms_user: bool = False
    """Whether the answer says that the user was accepted."""


def admit(
    calling_ae_title: str,
    origin: Origin,
    identity: UserIdentity | None,
    *,
    rules: Sequence[PeerRule],
    check_user: CheckUser | None,
) -> Admitted | str:
    """Whether a request is let in; else the word of what did not fit."""
    rule = find_rule(rules, calling_ae_title, origin) if rules else ANYBODY
    if isinstance(rule, str):
        return rule
    if check_user is None or (identity is None and not rule.needs_user):
        return Admitted(peer_name=rule.name)
    fault = identity_fault(identity, origin, check_user)
    if fault is not None or identity is None:
        return fault or "user_missing"
    return Admitted(peer_name=rule.name, user=identity.primary.decode(), confirms_user=identity.wants_response)


ANYBODY = PeerRule(name="")
"""What holds where there is no rule."""
