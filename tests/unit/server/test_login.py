"""Signing in and out, through a real socket."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import takewhile

import httpx
import pytest
from sqlalchemy import Engine, select, update

from builders.web import PASSWORD, RULES, add_person, key_of, serving, session_of, sign_in
from server.auth.audit import trail
from server.auth.brakes import PAIR_LIMIT
from server.auth.keys import create_key, find_key
from server.auth.passwords import hash_password
from server.auth.roles import Permission, Role
from server.auth.sessions import find_session, open_session
from server.auth.tables import api_keys, sessions, users
from server.auth.users import add_user, disable_user, find_user, set_password, verify_user
from server.compose import Node
from server.database import reading
from server.settings import Settings


@pytest.fixture
def settings(settings: Callable[..., Settings]) -> Callable[..., Settings]:
    return lambda **values: settings(**({"http_authentication": ("local",)} | values))


@pytest.fixture
def client(node: Node) -> Iterator[httpx.Client]:
    with serving(node) as url, httpx.Client(base_url=url, timeout=60) as made:
        yield made


def records(node: Node) -> list[tuple[str, str, str]]:
    with reading(node.engine) as connection:
        found = trail.entries(connection, limit=100)
    return [(e.record.kind.value, e.record.outcome.name, e.record.subject) for e in reversed(found)]


def test_a_session_opens_what_the_role_may_and_ends_at_logout(client: httpx.Client, node: Node) -> None:
    add_person(node, "ruth", Role.RADIOLOGIST)
    assert client.get("/api/v1/studies").status_code == 401

    answer = sign_in(client, "Ruth")

    assert (answer.status_code, answer.headers["location"]) == (303, "/api/v1/me")
    cookie = answer.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=lax", "Path=/"))
    me = client.get("/api/v1/me").json()
    assert (me["subject"], me["role"], me["method"]) == ("ruth", "radiologist", "password")
    assert client.get("/api/v1/studies").status_code == 200

    token = dict(client.cookies)
    assert client.post("/logout", headers={"Origin": str(client.base_url)}).status_code == 303
    assert httpx.get(client.base_url.join("/api/v1/studies"), cookies=token).status_code == 401, "a token replayed"
    assert records(node) == [("login", "SUCCESS", "ruth"), ("logout", "SUCCESS", "ruth")]


def test_a_login_ends_the_session_that_the_browser_had(client: httpx.Client, node: Node) -> None:
    add_person(node, "ruth")
    planted = session_of(node, Role.VIEWER)
    client.cookies["spine"] = planted["Cookie"].partition("=")[2]

    answer = sign_in(client, "ruth", Origin=str(client.base_url))

    assert answer.status_code == 303
    assert answer.cookies["spine"] not in planted["Cookie"]
    assert httpx.get(client.base_url.join("/api/v1/me"), headers=planted).status_code == 401


def test_the_failure_does_not_say_what_was_wrong(client: httpx.Client, node: Node) -> None:
    for name in ("ruth", "gone"):
        add_person(node, name)
    with node.engine.begin() as connection:
        disable_user(connection, name="gone")

    answers = [
        sign_in(client, "ruth", "wrong password"),
        sign_in(client, "nobody"),
        sign_in(client, "gone"),
        sign_in(client, "ruth' OR '1'='1' --"),
        sign_in(client, "ruth", "' OR 1=1; DROP TABLE users; --"),
    ]

    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    with reading(node.engine) as connection:
        assert len(connection.execute(select(users)).all()) == 2
    assert [subject for _, _, subject in records(node)] == ["ruth", "unknown", "gone", "unknown", "ruth"]


def test_a_name_that_does_not_exist_takes_as_long_as_a_wrong_password(node: Node) -> None:
    add_person(node, "ruth")

    def fastest(name: str) -> float:
        times = []
        for _ in range(4):
            start = time.thread_time()
            assert verify_user(node.engine, name, "wrong password") is None
            times.append(time.thread_time() - start)
        return min(times)

    assert 0.5 < fastest("ruth") / fastest("nobody") < 2.0


def test_sessions_end_when_idle_when_old_with_a_new_password_and_when_disabled(
    client: httpx.Client, node: Node
) -> None:
    def status_after(**changed: float) -> int:
        session = session_of(node, Role.VIEWER)
        with node.engine.begin() as connection:
            connection.execute(update(sessions).values(**changed))
        return client.get("/api/v1/me", headers=session).status_code

    now = time.time()
    assert status_after(last_seen_at=now - RULES.idle_s + 60) == 200
    assert status_after(last_seen_at=now - RULES.idle_s - 61) == 401
    assert status_after(created_at=now - RULES.lifetime_s - 1) == 401

    add_person(node, "ruth")
    for change in (
        lambda connection: set_password(connection, name="ruth", password=PASSWORD),
        lambda connection: disable_user(connection, name="ruth"),
    ):
        assert sign_in(client, "ruth", Origin=str(client.base_url)).status_code == 303
        assert client.get("/api/v1/me").status_code == 200
        with node.engine.begin() as connection:
            change(connection)
        assert client.get("/api/v1/me").status_code == 401


def test_use_keeps_a_session_open(client: httpx.Client, node: Node) -> None:
    session = session_of(node, Role.VIEWER)
    with node.engine.begin() as connection:
        connection.execute(update(sessions).values(last_seen_at=time.time() - 600))

    assert client.get("/api/v1/me", headers=session).status_code == 200

    with reading(node.engine) as connection:
        assert connection.execute(select(sessions.c.last_seen_at)).scalar_one() > time.time() - 60


def test_guessing_is_braked_for_that_address_and_not_for_the_user_elsewhere(
    settings: Callable[..., Settings], node: Node
) -> None:
    behind = Node(settings=settings(http_trusted_proxies=("127.0.0.1",)), engine=node.engine, spool=node.spool)
    add_person(node, "ruth")
    with serving(behind) as url, httpx.Client(base_url=url, timeout=60, headers={"X-Forwarded-Proto": "https"}) as http:
        origin = url.replace("http", "https", 1)
        for _ in range(PAIR_LIMIT):
            assert sign_in(http, "ruth", "wrong password", **{"X-Forwarded-For": "10.0.0.66"}).status_code == 401

        stopped = sign_in(http, "ruth", **{"X-Forwarded-For": "10.0.0.66"})
        elsewhere = sign_in(http, "ruth", **{"X-Forwarded-For": "10.0.0.7", "Origin": origin})

    assert stopped.status_code == 429, "the right password neither"
    assert int(stopped.headers["retry-after"]) > 1
    assert elsewhere.status_code == 303
    assert "__Host-spine=" in elsewhere.headers["set-cookie"]
    assert "Secure" in elsewhere.headers["set-cookie"]


def test_keys_open_what_they_are_for_until_they_are_over(client: httpx.Client, node: Node) -> None:
    metrics = key_of(node, Permission.READ_METRICS)

    assert client.get("/metrics", headers=metrics).status_code == 200
    assert client.get("/api/v1/studies", headers=metrics).status_code == 403
    assert client.get("/metrics", headers=key_of(node, Permission.READ_METRICS, lifetime_s=-1)).status_code == 401
    wrong = metrics["Authorization"][:-1] + "!"
    assert client.get("/metrics", headers={"Authorization": wrong}).status_code == 401
    with node.engine.begin() as connection:
        assert not [row for row in connection.execute(select(api_keys)) if metrics["Authorization"][-20:] in str(row)]
        connection.execute(update(api_keys).values(revoked_at=time.time()))
    assert client.get("/metrics", headers=metrics).status_code == 401
    assert [kind for kind, _, _ in records(node)] == ["refused", "bad_key"], "once each in ten minutes"


def test_trying_keys_is_braked(client: httpx.Client) -> None:
    tries = (client.get("/metrics", headers={"Authorization": f"Bearer spine_{n}_x"}) for n in range(200))
    statuses = [first.status_code for first in takewhile(lambda answer: answer.status_code == 401, tries)]

    assert 30 <= len(statuses) < 200


def test_a_password_is_kept_salted_and_with_its_parameters() -> None:
    first, second = hash_password(PASSWORD), hash_password(PASSWORD)

    assert first.startswith("scrypt$ln=14,r=8,p=5$")
    assert first != second


@pytest.mark.parametrize("next_", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x"])
def test_a_login_leads_nowhere_else(client: httpx.Client, node: Node, next_: str) -> None:
    page = client.get("/login", params={"next": next_}).text

    assert 'name="next" value="/"' in page


def test_an_address_with_a_line_break_is_no_address(client: httpx.Client) -> None:
    assert client.get("/login", params={"next": "/a\r\nX: 1"}).status_code == 400


def test_users_sessions_and_keys_are_the_same_on_both_databases(engine: Engine) -> None:
    with engine.begin() as connection:
        add_user(connection, name="ruth", display_name="Ruth", role=Role.VIEWER, password=PASSWORD)
        _, key = create_key(connection, name="m", permissions=[Permission.READ_METRICS], lifetime_s=60)
        user = find_user(connection, "ruth")
        token = open_session(connection, user.principal, generation=user.generation, rules=RULES)

    assert verify_user(engine, "ruth", PASSWORD).principal == find_session(engine, token, RULES)
    assert verify_user(engine, "ruth\0", PASSWORD) is None
    assert find_key(engine, key).permissions == {Permission.READ_METRICS}
    with engine.begin() as connection:
        disable_user(connection, name="ruth")
    assert find_session(engine, token, RULES) is None
