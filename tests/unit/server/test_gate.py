"""The gate before every route, through a real socket: names, origins, roles, headers, TLS, limits."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import trustme

from builders.routes import routes_of
from builders.web import key_of, serving, session_of
from inference.errors import SettingRefusal
from server.auth.gate import AUDITED
from server.auth.roles import FOR_KEYS, PERMISSIONS, Permission, Role
from server.auth.rules import permission_for
from server.auth.tables import metadata
from server.compose import Node
from server.http.app import create
from server.settings import Settings
from server.web import run

ANSWERED = {401, 403}
LOCAL = {"http_authentication": ("local",)}
PAGES = (
    "/",
    "/api/docs",
    "/api/openapi.json",
    "/api/v1/me",
    "/pages",
    "/claims",
    "/statistics",
    "/study",
    "/viewer",
    "/viewer/1.2.3",
)
"""What everybody who has signed in may open; none of them holds anything of a study."""
REFUSED_TO_ALL = {("POST", "/dicom-web/workitems/1.2.3/subscribers/1.2.3")}
"""Where 403 says that it is not done for anybody (PS3.18 11.10.3.1)."""


@pytest.fixture
def closed(with_settings: Callable[..., Node]) -> Iterator[tuple[Node, httpx.Client]]:
    node = with_settings(**LOCAL)
    with serving(node) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield node, client


@pytest.fixture
def opened(node: Node) -> Iterator[httpx.Client]:
    with serving(node) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


def test_every_route_has_a_permission(node: Node) -> None:
    application = create(node)
    application.state.client.destroy()
    routes = routes_of(application)

    assert len(routes) > 15
    assert not [route for route in routes if permission_for(*route) is None]
    pages = {route for route in routes if permission_for(*route) is permission_for("GET", "/nothing/here")}
    assert pages == {("GET", path) for path in PAGES}, "data, not pages"


def test_a_route_without_a_rule_stays_shut(node: Node) -> None:
    for path in ("/api/v2/new", "/api/v1/users", "/oidc/other", "/metrics/all"):
        assert permission_for("GET", path) is None
    assert permission_for("DELETE", "/dicom-web/studies/1.2") is None
    assert permission_for("POST", "/anything") is None


def test_each_route_is_open_to_those_who_may_and_to_nobody_else(closed: tuple[Node, httpx.Client]) -> None:
    node, client = closed
    application = create(node)
    application.state.client.destroy()
    people = {role: session_of(node, role) for role in Role}
    wrong = []
    for method, path in sorted(routes_of(application) - REFUSED_TO_ALL):
        permission = permission_for(method, path)
        origin = {"Origin": str(client.base_url).rstrip("/")}
        for role, session in people.items():
            status = client.request(method, path, headers=origin | session).status_code
            if (status in ANSWERED) is (permission in PERMISSIONS[role]) and path not in {"/login", "/logout"}:
                wrong.append((method, path, role, status))
            people[role] = session_of(node, role) if path == "/logout" else session
        nobody = client.request(method, path, headers=origin).status_code
        if (nobody == 401) is (permission in {Permission.PROBE, Permission.SIGN_IN}) and path != "/login":
            wrong.append((method, path, "nobody", nobody))

    assert not wrong


@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        ("GET", "/dicom-web/studies", Permission.READ_IMAGES),
        ("GET", "/dicom-web/studies/1.2/series/3/metadata", Permission.READ_IMAGES),
        ("POST", "/dicom-web/studies", Permission.STORE_IMAGES),
        ("GET", "/api/v1/studies/1.2/overlay", Permission.READ_FINDINGS),
        ("POST", "/api/v1/claims/check", Permission.READ_CLAIMS),
    ],
)
def test_paths_with_values_have_their_permission(
    closed: tuple[Node, httpx.Client], method: str, path: str, permission: Permission
) -> None:
    node, client = closed
    for role in Role:
        headers = session_of(node, role) | {"Origin": str(client.base_url).rstrip("/")}
        status = client.request(method, path, headers=headers).status_code
        assert (status not in {401, 403}) is (permission in PERMISSIONS[role])
    if permission in FOR_KEYS:
        assert client.request(method, path, headers=key_of(node, permission)).status_code not in {401, 403}
        others = FOR_KEYS - {permission}
        assert client.request(method, path, headers=key_of(node, *others)).status_code == 403


def test_what_reads_or_changes_a_study_is_audited() -> None:
    not_about_a_study = {
        Permission.PROBE,
        Permission.SIGN_IN,
        Permission.OPEN_PAGES,
        Permission.READ_WORKLIST,
        Permission.READ_METRICS,
        Permission.OPERATE,
        Permission.HOLD,  # recorded with its reason by server.holds
    }
    assert set(AUDITED) == set(Permission) - not_about_a_study


@pytest.mark.parametrize(
    "path", ["/api/v1/studies/../audit", "//api/v1/audit", "/api/v1/studies/%2e%2e/audit", "/api/v1/audit/"]
)
def test_no_way_of_writing_a_path_leads_around_its_rule(closed: tuple[Node, httpx.Client], path: str) -> None:
    node, client = closed
    raw = httpx.URL(str(client.base_url).rstrip("/")).copy_with(raw_path=path.encode())

    answer = client.get(raw, headers=session_of(node, Role.VIEWER))

    assert "records" not in answer.text
    assert answer.status_code in {403, 404}


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "[::1"])
def test_a_foreign_name_is_refused_on_loopback_too(opened: httpx.Client, host: str) -> None:
    answer = opened.get("/api/v1/studies", headers={"Host": host})

    assert answer.status_code == 421
    assert "http_names" in answer.json()["detail"]


def test_probes_may_call_the_node_as_they_like(opened: httpx.Client) -> None:
    assert opened.get("/healthz", headers={"Host": "10.1.2.3:8080"}).status_code == 200


def test_an_open_node_answers_nobody_behind_a_proxy(opened: httpx.Client) -> None:
    answer = opened.get("/api/v1/studies", headers={"X-Forwarded-For": "10.0.0.1"})

    assert answer.status_code == 403
    assert "proxy" in answer.json()["detail"]


def test_an_open_node_is_used_as_before_but_not_by_other_sites(opened: httpx.Client) -> None:
    own = str(opened.base_url).rstrip("/")
    retry = "/api/v1/retry/1.2"

    assert opened.get("/api/v1/studies").status_code == 200
    assert opened.post(retry).status_code == 404, "a program says nothing of an origin"
    assert opened.post(retry, headers={"Origin": own}).status_code == 404
    assert opened.post(retry, headers={"Origin": "https://evil.example"}).status_code == 403
    assert opened.post(retry, headers={"Origin": "null"}).status_code == 403
    assert opened.post(retry, headers={"Sec-Fetch-Site": "cross-site", "Origin": own}).status_code == 403
    assert opened.post(retry, headers={"Sec-Fetch-Site": "same-site"}).status_code == 403


def test_a_cookie_alone_changes_nothing(closed: tuple[Node, httpx.Client]) -> None:
    node, client = closed
    retry = "/api/v1/retry/1.2"
    session = session_of(node, Role.RADIOLOGIST)
    own = str(client.base_url).rstrip("/")

    def status(**headers: str) -> int:
        return client.post(retry, headers=session | headers).status_code

    assert status() == 403
    assert status(Origin="https://evil.example") == 403
    assert status(Origin=own.replace("localhost", "127.0.0.1")) == 403
    assert status(Origin=own) == 404
    assert client.post(retry, headers=key_of(node, Permission.OPERATE)).status_code == 404, "a key is no cookie"


def test_people_are_led_to_the_login_and_programs_are_told(closed: tuple[Node, httpx.Client]) -> None:
    _, client = closed
    page = client.get("/viewer?StudyInstanceUIDs=1.2", headers={"Accept": "text/html,*/*"})

    assert page.status_code == 303
    assert page.headers["location"] == "/login?next=%2Fviewer%3FStudyInstanceUIDs%3D1.2"
    assert client.get("/api/v1/studies").headers["www-authenticate"] == "Bearer"


def test_the_headers_are_on_every_answer(closed: tuple[Node, httpx.Client]) -> None:
    _, client = closed
    answers = [client.get(path) for path in ("/healthz", "/login", "/nothing", "/api/v1/studies", "/api/v9")]
    answers.append(client.get("/healthz", headers={"Host": "x"}))
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors" in answer.headers["content-security-policy"]
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert "strict-transport-security" not in answer.headers
        assert "server" not in answer.headers
    policies = [answer.headers["content-security-policy"] for answer in answers]
    assert "'wasm-unsafe-eval'" in policies[2]
    assert "'unsafe-eval'" not in "".join(policies)
    assert all("script" not in policy for policy in (policies[0], policies[1], policies[3]))


def test_a_client_is_slowed_down(with_settings: Callable[..., Node]) -> None:
    with serving(with_settings(http_requests_per_minute=20)) as url, httpx.Client(base_url=url) as client:
        answers = [client.get("/healthz") for _ in range(40)]

    assert answers[0].status_code == 200
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_probes_cannot_be_used_to_keep_the_node_busy(closed: tuple[Node, httpx.Client]) -> None:
    _, client = closed

    assert 429 in {client.get("/healthz").status_code for _ in range(200)}


def test_a_body_has_a_limit(closed: tuple[Node, httpx.Client]) -> None:
    _, client = closed

    assert client.post("/login", content=b"name=" + b"x" * 2_000_000).status_code == 413


def test_a_client_that_goes_silent_is_sent_away(
    closed: tuple[Node, httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.auth.gate.CHUNK_TIMEOUT_S", 0.3)
    _, client = closed
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=20) as connection:
        connection.sendall(b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nname=")
        answer = connection.recv(4096)

    assert answer.startswith(b"HTTP/1.1 408")
    assert b"nosniff" in answer


def test_it_speaks_tls_with_its_own_certificate(
    with_settings: Callable[..., Node], settings: Callable[..., Settings], tmp_path: Path
) -> None:
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "c.pem")
    leaf.private_key_pem.write_to_path(tmp_path / "k.pem")
    tls = {"http_tls_certificate": tmp_path / "c.pem", "http_tls_key": tmp_path / "k.pem"}
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    with serving(with_settings(**LOCAL, **tls)) as url, httpx.Client(base_url=url, verify=trust) as client:
        answer = client.get("/login")
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        with pytest.raises(httpx.TransportError):
            httpx.get(url.replace("https", "http", 1) + "/healthz")

    with pytest.raises(SettingRefusal, match="TLS cannot use"):
        run(settings(**tls | {"http_tls_key": tmp_path / "c.pem"}, data_dir=tmp_path / "x"))


def test_behind_a_proxy_only_https_is_answered_and_addresses_are_its_word(with_settings: Callable[..., Node]) -> None:
    trusted = {"http_trusted_proxies": ("127.0.0.1",), "http_names": ("spine.example",)}
    with serving(with_settings(**LOCAL, **trusted)) as url, httpx.Client(base_url=url) as client:
        through = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "10.0.0.9", "Host": "spine.example"}
        assert client.get("/login", headers=through).headers["strict-transport-security"]
        assert client.get("/login").status_code == 403
    with serving(with_settings(**LOCAL, **trusted | {"http_trusted_proxies": ("10.0.0.1",)})) as url:
        assert httpx.get(url + "/login", headers=through).status_code == 403, "not from that proxy"


def test_the_tables_hold_no_secret() -> None:
    columns = {f"{table.name}.{column.name}" for table in metadata.tables.values() for column in table.columns}

    assert {c for c in columns if re.search("pass|token|key_|secret", c)} == {
        "users.password_hash",
        "sessions.token_sha256",
        "api_keys.key_sha256",
    }


def test_a_fault_of_ours_has_the_headers_and_says_nothing(
    node: Node, opened: httpx.Client, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> str:
        raise RuntimeError("DOE^JOHN")

    monkeypatch.setattr("server.metrics.render", broken)
    answer = opened.get("/metrics")

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "DOE" not in answer.text + "".join(capfd.readouterr())
