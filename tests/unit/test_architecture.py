"""The architecture is a test: directions, file sizes, a light receiver, nothing of a patient or a machine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

PACKAGES = ("inference", "models", "dicom_node", "claims", "server", "training")
LINES_PER_FILE = 400
FUNCTION_LINES_P90 = 30
MAY_PRINT = ("server/cli.py", "server/commands/", "server/demo.py", "benchmarks/", "docs/generate.py")
RECEIVER_MODULES = ("dicom_node.scp", "dicom_node.assembly", "dicom_node.spool", "dicom_node.store", "server.receive")
HEAVY = ("onnxruntime", "openvino", "torch", "monai", "highdicom", "SimpleITK", "scipy")
MACHINE_PATH = re.compile(r"(?<![\w./-])/(?:work|root|home)/\w")
DICOM_PREFIX_AT = 128


def files_in_the_project(root: Path) -> list[Path]:
    """Everything that is, or would be, committed."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = [root / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def python_files(root: Path) -> list[Path]:
    return [path for path in files_in_the_project(root) if path.suffix == ".py"]


def test_no_file_is_longer_than_the_cap(repository):
    long = {
        str(path.relative_to(repository)): lines
        for path in python_files(repository)
        if (lines := len(path.read_text().splitlines())) > LINES_PER_FILE
    }
    assert not long


def test_nine_of_ten_functions_fit_on_a_screen(repository):
    lengths = sorted(
        (node.end_lineno or node.lineno) - node.lineno + 1
        for path in python_files(repository)
        if path.relative_to(repository).parts[0] in PACKAGES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert lengths[int(len(lengths) * 0.9)] <= FUNCTION_LINES_P90


def test_import_contracts_hold(repository):
    outcome = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_only_the_command_line_prints(repository):
    printing = [
        f"{name}:{node.lineno}"
        for path in python_files(repository)
        if not (name := str(path.relative_to(repository))).startswith((*MAY_PRINT, "tests/"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not printing


def test_no_dicom_file_is_in_the_project(repository):
    dicom = []
    for path in files_in_the_project(repository):
        with path.open("rb") as file:
            head = file.read(DICOM_PREFIX_AT + 4)
        if path.suffix.lower() in {".dcm", ".dicom", ".ima"} or head[DICOM_PREFIX_AT:] == b"DICM":
            dicom.append(str(path.relative_to(repository)))
    assert not dicom


def test_no_path_of_a_machine_is_in_the_project(repository):
    found = []
    for path in files_in_the_project(repository):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(repository)}: {match.group()}" for match in MACHINE_PATH.finditer(text)]
    assert not found


def test_the_machine_path_pattern_sees_one():
    separator = "/"
    assert MACHINE_PATH.search(f" in {separator}home{separator}someone")
    assert not MACHINE_PATH.search("spine-node receive|work|web, docs/home/item")


@pytest.mark.parametrize("module", RECEIVER_MODULES)
def test_the_receiver_stays_light(repository, module):
    code = f"import sys, {module}; print(' '.join(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    outcome = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    assert not set(outcome.stdout.split()) & {*HEAVY, "models"}


def test_the_version_has_one_source(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text())
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "server.__version__"}
    version = import_module("server").__version__
    copies = [
        str(path.relative_to(repository))
        for path in python_files(repository)
        if path.relative_to(repository).parts[0] in PACKAGES[:-1]
        and path != repository / "server" / "__init__.py"
        and f'"{version}"' in path.read_text()
    ]
    assert not copies


def test_every_dependency_has_an_exact_version(repository):
    lines = [line for line in (repository / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line) for line in lines)
    pinned = {re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower() for line in lines}
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    names = {re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9._-]+", name).group()).lower() for name in wanted}
    assert not names - pinned
