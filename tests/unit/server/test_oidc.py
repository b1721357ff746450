"""Signing in with an identity provider: a real one, in a process of its own, on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from builders.oidc import CLIENT_ID, CLIENT_SECRET, OidcProvider
from builders.web import serving
from server.auth.audit import trail
from server.compose import Node
from server.database import reading
from server.settings import Settings

CLAIMS = {"sub": "4711", "name": "Dr Ruth Example", "realm_access": {"roles": ["staff", "spine-readers"]}}


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    with OidcProvider.started(tmp_path_factory.mktemp("oidc")) as made:
        yield made


@pytest.fixture
def client(
    settings: Callable[..., Settings], node: Node, provider: OidcProvider, tmp_path: Path
) -> Iterator[httpx.Client]:
    secret = tmp_path / "secret"
    secret.write_text(CLIENT_SECRET + "\n")
    configured = settings(
        http_authentication=("oidc",),
        oidc_issuer=provider.issuer,
        oidc_client_id=CLIENT_ID,
        oidc_client_secret_file=secret,
        oidc_role_claim="realm_access.roles",
        oidc_roles=("spine-readers=radiologist", "staff=viewer"),
    )
    served = Node(settings=configured, engine=node.engine, spool=node.spool)
    with serving(served) as url, httpx.Client(base_url=url, timeout=60, follow_redirects=True) as made:
        yield made


def test_a_person_signs_in_with_the_hospitals_account(client: httpx.Client, provider: OidcProvider, node: Node) -> None:
    provider.gives(CLAIMS)

    answer = client.get("/oidc/login", params={"next": "/api/v1/me"})

    assert [step.status_code for step in answer.history] == [303, 302, 303]
    asked = answer.history[1].url.params
    assert (asked["code_challenge_method"], asked["response_type"]) == ("S256", "code")
    me = answer.json()
    assert me["subject"] == f"4711@{provider.issuer.removeprefix('http://')}"
    assert (me["display_name"], me["role"], me["method"]) == ("Dr Ruth Example", "radiologist", "oidc")
    with reading(node.engine) as connection:
        assert trail.entries(connection, limit=1)[0].record.subject == me["subject"]
    assert (
        client.post("/login", data={"name": "a", "password": "b"}, headers={"Origin": _own(client)}).status_code == 403
    )


@pytest.mark.parametrize(
    ("claims", "key", "says"),
    [
        ({"aud": "another node"}, "published", "not for this node"),
        ({"aud": [CLIENT_ID, "another"], "azp": "another"}, "published", "not for this node"),
        ({"iss": "https://evil.example"}, "published", "not for this node"),
        ({"nonce": "of another login"}, "published", "not for this node"),
        ({"exp": 1}, "published", "not for this node"),
        ({"iat": 4_000_000_000, "exp": 4_000_000_300}, "published", "not for this node"),
        ({}, "other", "not signed"),
        ({}, "none", "not signed"),
        ({}, "public", "not signed"),
        ({"realm_access": {"roles": ["visitors"]}}, "published", "no role"),
        ({"realm_access": "administrator"}, "published", "no role"),
        ({"sub": ""}, "published", "names nobody"),
        ({"sub": "a\u202eb"}, "published", "cannot be kept"),
    ],
)
def test_a_token_that_is_not_right_lets_nobody_in(
    client: httpx.Client, provider: OidcProvider, claims: dict[str, object], key: str, says: str
) -> None:
    provider.gives(CLAIMS | claims, key=key)

    answer = client.get("/oidc/login")

    assert answer.status_code == 403
    assert says in answer.text
    assert "spine" not in client.cookies
    assert client.get("/api/v1/me").status_code == 401


def test_an_answer_belongs_to_the_browser_that_asked(client: httpx.Client, provider: OidcProvider) -> None:
    provider.gives(CLAIMS)
    client.follow_redirects = False
    at_provider = client.get("/oidc/login").headers["location"]
    callback = httpx.get(at_provider).headers["location"]

    assert httpx.get(callback).status_code == 403, "another browser, without the flow's cookie"
    assert client.get(callback.replace("state=", "state=x")).status_code == 403
    assert client.get(callback + "&iss=https://evil.example").status_code == 403
    assert client.get(callback).status_code == 303
    assert client.get("/oidc/callback?error=access_denied&state=x").status_code == 403


def test_a_code_is_worth_nothing_twice_nor_with_another_verifier(client: httpx.Client, provider: OidcProvider) -> None:
    provider.gives(CLAIMS)
    client.follow_redirects = False
    first = httpx.get(client.get("/oidc/login").headers["location"]).headers["location"]
    kept = client.cookies["spine-login"]
    assert client.get(first).status_code == 303
    client.cookies.set("spine-login", kept, domain="localhost.local", path="/oidc")

    assert client.get(first).status_code == 403

    stolen = httpx.get(client.get("/oidc/login").headers["location"]).headers["location"]
    own = client.get("/oidc/login").headers["location"]
    code, state = httpx.URL(stolen).params["code"], httpx.URL(own).params["state"]
    answer = client.get("/oidc/callback", params={"code": code, "state": state})
    assert answer.status_code == 403
    assert "no ID token" in answer.text


def test_a_provider_may_change_its_keys(
    client: httpx.Client, provider: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.gives(CLAIMS)
    assert client.get("/oidc/login", params={"next": "/api/v1/me"}).status_code == 200
    monkeypatch.setattr("server.auth.oidc._REFRESH_S", 0.0)
    provider.rotates_its_key()

    assert client.get("/oidc/login", params={"next": "/api/v1/me"}).json()["role"] == "radiologist"


def test_a_provider_that_is_not_there_is_said(settings: Callable[..., Settings], node: Node, free_port: int) -> None:
    nowhere = settings(
        http_authentication=("oidc", "local"), oidc_issuer=f"http://127.0.0.1:{free_port}", oidc_client_id="x"
    )
    with serving(Node(settings=nowhere, engine=node.engine, spool=node.spool)) as url:
        answer = httpx.get(f"{url}/oidc/login")

    assert answer.status_code == 503
    assert "does not answer" in answer.text
    assert 'action="/login"' in answer.text, "a local user still can"


def _own(client: httpx.Client) -> str:
    return str(client.base_url).rstrip("/")
