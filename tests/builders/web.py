"""The web process's application behind a real socket, and identities to ask it with."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn

from server.auth.asked import COOKIE_PLAIN
from server.auth.keys import create_key
from server.auth.roles import Method, Permission, Role, person
from server.auth.sessions import SessionRules, open_session
from server.auth.users import add_user
from server.compose import Node
from server.http.app import create
from server.web import http_tls, server_config

PASSWORD = "correct horse battery"  # noqa: S105 - of users that live for one test
RULES = SessionRules(idle_s=1800.0, lifetime_s=43_200.0)


@contextmanager
def serving(node: Node) -> Iterator[str]:
    """Serve as ``spine-node web`` does, on a free port of loopback; gives the base URL."""
    application = create(node)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(server_config(application, node.settings, http_tls(node.settings)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    yield f"{'https' if node.settings.http_tls_certificate else 'http'}://localhost:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(20)
    listener.close()
    application.state.dicomweb.door.close()
    application.state.packets.stop()
    application.state.client.destroy()


def add_person(node: Node, name: str, role: Role = Role.VIEWER) -> None:
    """A local user with PASSWORD."""
    with node.engine.begin() as connection:
        add_user(connection, name=name, display_name=name.title(), role=role, password=PASSWORD)


def session_of(node: Node, role: Role, *, subject: str = "sub@idp.example") -> dict[str, str]:
    """Headers of somebody whom the identity provider signed in: no password has to be hashed."""
    with node.engine.begin() as connection:
        token = open_session(connection, person(subject, "Somebody", role, Method.OIDC), rules=RULES)
    return {"Cookie": f"{COOKIE_PLAIN}={token}"}


def key_of(node: Node, *permissions: Permission, lifetime_s: float | None = None) -> dict[str, str]:
    """Headers of a machine with a key."""
    with node.engine.begin() as connection:
        _, key = create_key(connection, name="machine", permissions=permissions, lifetime_s=lifetime_s)
    return {"Authorization": f"Bearer {key}"}


def sign_in(client: httpx.Client, name: str, password: str = PASSWORD, **headers: str) -> httpx.Response:
    """Send the login form."""
    return client.post("/login", data={"name": name, "password": password, "next": "/api/v1/me"}, headers=headers)


@contextmanager
def web_client(node: Node) -> Iterator[httpx.Client]:
    """A client of the node, which serves until it is done."""
    with serving(node) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client
