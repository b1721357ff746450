"""The container's description, read as text: there is no container engine where the tests run."""

from __future__ import annotations

import json
import re
import tomllib

import pytest
import yaml

from server.cli import COMMANDS
from server.settings import Settings


@pytest.fixture(scope="module")
def steps(repository) -> list[tuple[str, str]]:
    """(instruction, arguments) of every step, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", (repository / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


def of(steps, instruction: str) -> list[str]:
    return [arguments for name, arguments in steps if name == instruction]


def test_only_known_instructions(steps):
    known = {"FROM", "WORKDIR", "RUN", "COPY", "ENV", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL"}
    assert {name for name, _ in steps} <= known | {"HEALTHCHECK", "ENTRYPOINT", "CMD"}


def test_it_builds_in_one_stage_and_runs_in_another(steps):
    assert [stage.split(" AS ")[1] for stage in of(steps, "FROM")] == ["build", "node"]
    assert any(copied.startswith("--from=build ") for copied in of(steps, "COPY"))


def test_it_does_not_run_as_root(steps):
    last_stage = steps[max(index for index, (name, _) in enumerate(steps) if name == "FROM") :]
    (user,) = of(last_stage, "USER")
    assert user == "spine"
    assert "--uid 10001 " in " ".join(of(last_stage, "RUN"))


def test_everything_that_is_copied_exists_and_is_not_ignored(steps, repository):
    sources = [word for line in of(steps, "COPY") if not line.startswith("--from") for word in line.split()[:-1]]
    allowed = {line[1:] for line in (repository / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert not [name for name in sources if not (repository / name).exists()]
    assert {name.removeprefix("./") for name in sources} == allowed


def test_versions_are_held(steps):
    assert any("--constraint constraints.txt" in line for line in of(steps, "RUN"))


def test_it_has_a_health_check_and_its_commands_exist(steps):
    (check,) = of(steps, "HEALTHCHECK")
    program, command, *_ = json.loads(check.split("CMD", 1)[1])
    assert program == "spine-node"
    assert command in COMMANDS
    assert json.loads(of(steps, "CMD")[0])[0] in COMMANDS
    assert json.loads(of(steps, "ENTRYPOINT")[0])[-1] == "spine-node"


def test_every_package_of_the_project_is_in_the_image(steps, repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["packages"]["find"]["include"]
    copied = {line.split()[0] for line in of(steps, "COPY")}
    assert {pattern.rstrip("*") for pattern in patterns} <= copied


def test_the_composition_runs_every_role_without_rights(repository):
    services = yaml.safe_load((repository / "deploy" / "compose.yaml").read_text())["services"]
    roles = {name: service for name, service in services.items() if name != "database"}
    assert {service["command"][0] for service in roles.values()} == {"receive", "work", "web"}
    for service in roles.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "user" not in service  # the image's own, which is not root
    assert services["work"]["deploy"]["replicas"] == 2
    known = {f"SPINE_{name.upper()}" for name in Settings.model_fields}
    assert {name for service in roles.values() for name in service.get("environment", {})} <= known
    assert not any("PASSWORD" in str(value) for value in roles.values())
