"""Where HTTP may listen: what is refused at start, and what is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from inference.errors import SettingRefusal
from server.auth.setup import guard_rules, oidc_rules
from server.exposure import check_exposure, host_names
from server.settings import Settings
from server.settings_file import environment_of, load

TLS = {"http_tls_certificate": "c.pem", "http_tls_key": "k.pem"}
NAMED = {"http_names": ["spine.example"]}
LOCAL = {"http_authentication": ["local"]}
ANYWHERE = {"http_host": "0.0.0.0"}
PROXY = {"http_trusted_proxies": ["10.0.0.5", "10.0.1.0/24"]}
OIDC = {"http_authentication": ["oidc"], "oidc_issuer": "https://idp.example", "oidc_client_id": "spine"}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (ANYWHERE, "loopback only"),
        (ANYWHERE | TLS | NAMED, "loopback only"),
        (ANYWHERE | PROXY | NAMED, "loopback only"),
        (ANYWHERE | LOCAL | NAMED, "needs TLS"),
        (ANYWHERE | LOCAL | TLS, "needs http_names"),
        (NAMED, "needs http_authentication"),
        (PROXY, "needs http_authentication"),
        ({"http_tls_key": "k.pem"}, "both http_tls_certificate and http_tls_key"),
        ({"http_authentication": ["ldap"]}, "local, oidc or both"),
        (LOCAL | {"http_trusted_proxies": ["proxy.example"]}, "addresses or networks"),
        (LOCAL | {"http_trusted_proxies": ["*"]}, "addresses or networks"),
        (OIDC | {"oidc_issuer": "http://idp.example"}, "begins with https://"),
        (OIDC | {"oidc_client_id": ""}, "oidc_client_id"),
        ({"oidc_roles": ["staff=physician"]}, "viewer, radiologist, coder, administrator"),
        ({"session_idle": 1}, "session_idle"),
    ],
)
def test_what_would_let_anybody_in_or_listen_is_refused_in_one_sentence(values: dict[str, object], says: str) -> None:
    with pytest.raises(SettingRefusal) as refused:
        load(values)

    assert says in refused.value.sentence
    assert refused.value.sentence.count("\n") == 0


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"http_host": "::1"},
        LOCAL,
        TLS | LOCAL,
        ANYWHERE | LOCAL | TLS | NAMED,
        ANYWHERE | LOCAL | PROXY | NAMED,
        ANYWHERE | OIDC | TLS | NAMED,
        LOCAL | PROXY | NAMED,
        OIDC | {"oidc_issuer": "http://127.0.0.1:9000"},
    ],
)
def test_what_is_safe_starts(values: dict[str, object]) -> None:
    check_exposure(load(values))


def test_the_names_of_loopback_are_always_known(settings: Callable[..., Settings]) -> None:
    loopback = {"localhost", "127.0.0.1", "[::1]"}
    assert host_names(settings()) == loopback
    assert host_names(settings(http_host="127.0.0.2")) == loopback | {"127.0.0.2"}
    assert host_names(load(ANYWHERE | LOCAL | TLS | {"http_names": ["Spine.Example"]})) == loopback | {"spine.example"}


def test_settings_become_rules(settings: Callable[..., Settings]) -> None:
    assert guard_rules(settings()).is_open
    assert oidc_rules(settings()) is None
    assert guard_rules(load(LOCAL | PROXY)).demands_https
    assert not guard_rules(load(LOCAL)).is_open

    rules = oidc_rules(load(OIDC | {"oidc_roles": ["cn=a,ou=b=viewer"]}))

    assert [(word, str(role)) for word, role in rules.roles] == [("cn=a,ou=b", "viewer")]
    assert rules.client_secret == ""
    with pytest.raises(SettingRefusal, match="oidc_client_secret_file"):
        oidc_rules(load(OIDC | {"oidc_client_secret_file": "nowhere"}))


def test_settings_reach_the_roles_processes_by_environment(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = settings(**OIDC, **TLS, **NAMED)
    for name, value in environment_of(given).items():
        monkeypatch.setenv(name, value)

    assert load() == given
