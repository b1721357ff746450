"""What the documentation repeats of the code is what the code says; what it says of commands can be run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from dicom_node.storage_classes import ACCEPTED_TRANSFER_SYNTAXES, STORAGE_CLASSES
from docs import generate
from docs.blocks.markdown import table
from server.cli import COMMANDS
from server.settings import Settings

LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)
COMMAND = re.compile(r"spine-node ([a-z]+)\b")
NOT_COMMANDS = {"in", "serve"}


def pages() -> list:
    return generate.pages()


def page_name(page) -> str:
    return str(page.relative_to(generate.REPOSITORY))


@pytest.mark.parametrize("page", pages(), ids=page_name)
def test_generated_parts_are_what_the_code_says(page):
    text = page.read_text()
    assert generate.render(text) == text, "run `make docs`"


def test_every_block_is_used_on_some_page():
    used = {name for page in pages() for name in re.findall(r"<!-- generated: ([a-z-]+) -->", page.read_text())}
    assert used == set(generate.BLOCKS)


def test_a_changed_block_is_noticed():
    page = "<!-- generated: settings -->\n| nothing |\n<!-- end -->\n"
    assert generate.render(page) != page


@pytest.mark.parametrize(("source", "copy"), generate.SCHEMA_COPIES.items(), ids=str)
def test_the_published_schemas_are_the_ones_that_are_used(source, copy):
    assert copy.read_bytes() == source.read_bytes(), "run `make docs`"


def test_a_bar_in_a_cell_does_not_end_it():
    assert table(["a"], [["x|y"]]).splitlines()[-1] == r"| x\|y |"


@pytest.mark.parametrize("page", pages(), ids=page_name)
def test_links_lead_somewhere(page):
    broken = []
    for match in LINK.finditer(page.read_text()):
        target, _, anchor = match["target"].partition("#")
        if "://" in target:
            continue
        linked = (page.parent / target).resolve() if target else page
        if not linked.exists() or (anchor and anchor not in anchors(linked.read_text())):
            broken.append(match["target"])
    assert not broken


def anchors(text: str) -> set[str]:
    """The anchors that a page's headings get."""
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in HEADING.findall(text)}


def test_the_conformance_statement_names_every_class_and_syntax():
    text = (generate.REPOSITORY / "docs" / "conformance-statement.md").read_text()
    assert not [uid for uid in (*STORAGE_CLASSES, *ACCEPTED_TRANSFER_SYNTAXES) if f"`{uid}`" not in text]


def test_every_command_and_every_setting_is_documented():
    guide = generate.REPOSITORY / "docs" / "user-guide"
    commands, settings = (guide / "commands.md").read_text(), (guide / "configuring.md").read_text()
    assert not [name for name in COMMANDS if f"spine-node {name}" not in commands]
    assert not [name for name in Settings.model_fields if f"`SPINE_{name.upper()}`" not in settings]


@pytest.mark.parametrize("page", pages(), ids=page_name)
def test_only_commands_that_exist_are_named(page):
    code = "\n".join(re.findall(r"`{3}.*?`{3}|`[^`]+`", page.read_text(), re.DOTALL))
    named = {name for name in COMMAND.findall(code) if f"image {name}" not in code}
    assert not named - set(COMMANDS) - NOT_COMMANDS


def test_make_targets_of_the_readme_exist():
    readme, makefile = ((generate.REPOSITORY / name).read_text() for name in ("README.md", "Makefile"))
    named = set(re.findall(r"`?make ([a-z]+)`?", "\n".join(re.findall(r"`{3}.*?`{3}|`[^`]+`", readme, re.DOTALL))))
    assert {"demo", "test", "check", "bench", "docs", "peers"} <= named
    assert not [name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)]


@pytest.mark.parametrize("target", ["demo", "test", "check", "bench", "docs", "peers"])
def test_make_knows_how_to_make_each_target(target):
    outcome = subprocess.run(
        ["make", "--dry-run", target], cwd=generate.REPOSITORY, capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stderr


def test_research_use_only_is_said_where_people_begin():
    for name in ("README.md", "docs/user-guide/installing.md", "docs/conformance-statement.md"):
        assert "research use only" in (generate.REPOSITORY / name).read_text().lower()


def test_decisions_have_their_four_parts():
    for page in sorted((generate.REPOSITORY / "docs" / "decisions").glob("0*.md")):
        text = page.read_text()
        parts = ("**Status.**", "**Context.**", "**Decision.**", "**Consequences.**")
        assert [part for part in parts if part in text] == list(parts), page.name
        assert page.name in (page.parent / "README.md").read_text()


def test_every_control_of_the_threat_model_names_tests_that_exist(repository: Path) -> None:
    text = (repository / "docs" / "security-and-privacy.md").read_text(encoding="utf-8")
    table = text.split("## Threat model")[1].split("## ")[0]
    rows = [row for row in table.splitlines() if row.startswith("|")][2:]
    assert len(rows) > 15
    for row in rows:
        named = re.findall(r"`(tests/[^`]+)`", row)
        assert named, row
        assert [path for path in named if not (repository / path).exists()] == []
