"""Who may associate: every combination of AE title, address, certificate and user, and what a refused one is told."""

from __future__ import annotations

import ipaddress
import itertools

import pytest

from dicom_node.admission import Admitted, Origin, PeerCertificate, PeerRule, UserIdentity, admit, find_rule

DIGEST, OTHER = "a" * 64, "b" * 64
CERTIFICATE = PeerCertificate(sha256=DIGEST, names=frozenset({"pacs.example.org", "10.0.0.5"}))
NETWORK = ipaddress.ip_network("10.0.0.0/24")
WHOLE = PeerRule(
    name="PACS",
    ae_titles=frozenset({"PACS"}),
    networks=(NETWORK,),
    certificate_sha256=frozenset({DIGEST}),
    certificate_names=frozenset({"pacs.example.org"}),
)


def origin(address: str = "10.0.0.5", certificate: PeerCertificate | None = CERTIFICATE) -> Origin:
    return Origin(address=address, is_tls=certificate is not None, certificate=certificate)


@pytest.mark.parametrize("parts", list(itertools.product([False, True], repeat=4)))
def test_a_rule_asks_for_what_it_names_and_for_no_more(parts: tuple[bool, ...]) -> None:
    title, network, digest, name = parts
    rule = PeerRule(
        name="PACS",
        ae_titles=WHOLE.ae_titles if title else frozenset(),
        networks=WHOLE.networks if network else (),
        certificate_sha256=WHOLE.certificate_sha256 if digest else frozenset(),
        certificate_names=WHOLE.certificate_names if name else frozenset(),
    )
    assert rule.fault("PACS", origin()) is None
    assert rule.fault("OTHER", origin()) == ("calling_ae_title" if title else None)
    assert rule.fault("PACS", origin(address="10.0.1.5")) == ("address" if network else None)
    assert rule.fault("PACS", origin(certificate=None)) == ("certificate" if digest or name else None)
    stranger = PeerCertificate(sha256=OTHER, names=frozenset({"elsewhere"}))
    assert rule.fault("PACS", origin(certificate=stranger)) == ("certificate" if digest or name else None)


def test_the_closest_rule_says_what_did_not_fit() -> None:
    rules = (WHOLE, PeerRule(name="MR", ae_titles=frozenset({"MR"})))

    assert find_rule(rules, "MR", origin(certificate=None)) == rules[1]
    assert find_rule(rules, "PACS", origin()) == WHOLE
    assert find_rule(rules, "PACS", origin(certificate=None)) == "certificate"
    assert find_rule(rules, "PACS", origin(address="::1")) == "address"
    assert find_rule(rules, "CT", origin()) == "calling_ae_title"


def user(kind: int, primary: bytes = b"ruth", secondary: bytes = b"") -> UserIdentity:
    return UserIdentity(type=kind, primary=primary, secondary=secondary, wants_response=True)


@pytest.mark.parametrize(
    ("identity", "where", "word"),
    [
        (None, origin(), "user_missing"),
        (user(1), origin(), "user"),
        (user(1, b"guest"), origin(), None),
        (user(2, secondary=b"right"), origin(), None),
        (user(2, secondary=b"wrong"), origin(), "user"),
        (user(2, secondary=b"right"), origin(certificate=None), "user_in_the_clear"),
        (user(2, secondary=b"right"), origin("127.0.0.1", None), None),
        (user(3, b"\xff\xfe"), origin(), "user_identity_kerberos"),
        (user(4, b"<saml/>"), origin(), "user_identity_saml"),
        (user(5, b"e30."), origin(), "user_identity_jwt"),
        (user(9), origin(), "user_unreadable"),
        (user(2, b"\xff"), origin(), "user_unreadable"),
    ],
)
def test_users_are_checked_or_refused_by_name(identity: UserIdentity | None, where: Origin, word: str | None) -> None:
    def check(name: str, passcode: str | None, address: str) -> bool:
        assert address == where.address
        return (name, passcode) in {("ruth", "right"), ("guest", None)}

    found = admit("PACS", where, identity, rules=(), check_user=check)

    assert (found if isinstance(found, str) else None) == word
    if isinstance(found, Admitted):
        assert identity is not None
        assert (found.user, found.confirms_user) == (identity.primary.decode(), True)


def test_without_users_what_a_request_says_of_one_is_ignored() -> None:
    assert admit("PACS", origin(), user(3), rules=(), check_user=None) == Admitted()


def test_a_rule_may_let_a_peer_in_without_a_user_but_not_with_a_wrong_one() -> None:
    rules = (PeerRule(name="MR", needs_user=False),)

    assert admit("MR", origin(), None, rules=rules, check_user=lambda *_: False) == Admitted(peer_name="MR")
    assert admit("MR", origin(), user(2), rules=rules, check_user=lambda *_: False) == "user"
