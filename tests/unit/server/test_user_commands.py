"""``spine-node users`` and ``keys``: what they change, and that no secret shows anywhere."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import httpx
import pytest
import typer

from builders.peers import running, wait_until
from builders.web import PASSWORD
from server.auth.audit import trail
from server.auth.keys import find_key
from server.auth.roles import Permission
from server.auth.users import find_user, verify_user
from server.cli import run
from server.commands import keys, users
from server.compose import Node
from server.database import reading
from server.settings import Settings


@pytest.fixture
def call(node: Node, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def command(words: str, typed: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        code = run([*words.split(), "--data-dir", str(node.settings.data_dir)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


def test_a_user_is_added_listed_disabled_and_enabled_by_a_new_password(call, node: Node) -> None:
    assert call("users add ruth --role radiologist --password-stdin", PASSWORD + "\n")[0] == 0
    assert verify_user(node.engine, "ruth", PASSWORD).role == "radiologist"
    assert call("users disable ruth")[0] == 0
    assert verify_user(node.engine, "ruth", PASSWORD) is None
    assert "disabled" in call("users list")[1]
    assert call("users passwd ruth --password-stdin", "another good phrase")[0] == 0
    assert verify_user(node.engine, "ruth", PASSWORD) is None
    assert verify_user(node.engine, "ruth", "another good phrase").generation == 3
    with reading(node.engine) as connection:
        recorded = [entry.record for entry in trail.entries(connection, limit=10)]
    assert [r.object for r in reversed(recorded)] == [
        "user ruth added as radiologist",
        "user ruth disabled",
        "user ruth new password",
    ]
    assert all(r.subject.startswith("os:") for r in recorded)


@pytest.mark.parametrize(
    ("words", "typed", "says"),
    [
        ("users add Ruth --role viewer --password-stdin", PASSWORD, "a-z"),
        ("users add ruth'-- --role viewer --password-stdin", PASSWORD, "a-z"),
        ("users add ruth --role physician --password-stdin", PASSWORD, "physician"),
        ("users add ruth --role viewer --password-stdin", "too short", "12 to 256"),
        ("users add ruth --role viewer --password-stdin", "aaaaaaaaaaaaaaaa", "different"),
        ("users add margarete --role viewer --password-stdin", "margarete123", "name"),
        ("users disable nobody", "", "no user 'nobody'"),
        ("users passwd nobody --password-stdin", PASSWORD, "no user 'nobody'"),
        ("keys create m --permission review", "", "review"),
        ("keys create m --permission administer", "", "administer"),
        ("keys create m", "", "permission"),
        ("keys revoke nothing", "", "no key 'nothing'"),
    ],
)
def test_what_is_wrong_is_refused_and_leaves_nothing(call, node: Node, words: str, typed: str, says: str) -> None:
    code, _, error = call(words, typed)

    assert code == 2
    assert says in error
    assert error.count("\n") == 1
    with reading(node.engine) as connection:
        assert find_user(connection, "ruth") is None
        assert trail.verify(connection).rows == 0


def test_a_name_is_taken_once(call) -> None:
    assert call("users add ruth --role viewer --password-stdin", PASSWORD)[0] == 0
    assert "already" in call("users add ruth --role administrator --password-stdin", PASSWORD)[2]


def test_a_key_is_shown_once(call, node: Node) -> None:
    _, key, _ = call("keys create prometheus --permission read_metrics --days 30")
    key = key.strip()

    assert re.fullmatch(r"spine_[0-9a-f]{12}_[\w-]{43}", key)
    assert find_key(node.engine, key).permissions == {Permission.READ_METRICS}
    listed = call("keys list")[1]
    identifier = key.split("_")[1]
    assert identifier in listed
    assert key.split("_", 2)[2] not in listed
    assert call(f"keys revoke {identifier}")[0] == 0
    assert find_key(node.engine, key) is None


def test_no_setting_is_a_secret_because_options_show_in_the_list_of_processes() -> None:
    secret = [name for name in Settings.model_fields if re.search("secret|password|token", name)]

    assert all(name.endswith("_file") for name in secret)
    assert len(secret) == 3
    for application in (users.application, keys.application):
        group = typer.main.get_command(application)
        own = {p.name: p for command in group.commands.values() for p in command.params}
        assert own.keys() & {"password", "secret", "key"} == set()


def test_no_secret_is_in_the_log_the_database_or_an_answer(tmp_path: Path, free_port: int) -> None:
    secrets = ["a password nobody has", "spine_0123456789ab_thekeythatnobodyhas", "tokenthatisnoone"]
    url, log, data = f"http://127.0.0.1:{free_port}", tmp_path / "log", tmp_path / "data"
    options = ["--data-dir", str(data), "--http-port", str(free_port), "--http-authentication", "local"]
    with running([sys.executable, "-m", "server.cli", "web", *options, "--log-level", "DEBUG"], log=log):
        wait_until(lambda: is_alive(url), timeout_s=90, what="the web process")
        answers = [
            httpx.post(f"{url}/login", data={"name": "x", "password": secrets[0]}),
            httpx.post(f"{url}/login", data={"name": secrets[0], "password": "x"}),
            httpx.post(f"{url}/login", content=b"\xff\xfe" + secrets[0].encode()),
            httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {secrets[1]}"}),
            httpx.get(f"{url}/api/v1/me", headers={"Cookie": f"spine={secrets[2]}"}),
        ]
        database = b"".join(path.read_bytes() for path in data.glob("spine.sqlite*"))
    assert [answer.status_code for answer in answers] == [401] * 5
    for secret in secrets:
        assert secret not in log.read_text()
        assert secret.encode() not in database
        assert all(secret not in answer.text for answer in answers)


def is_alive(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").is_success
    except httpx.TransportError:
        return False
