"""What installing the viewer keeps and refuses; the real package is installed by the browser tests."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
from pathlib import Path

import pytest

import server.viewer
from inference.errors import Refusal
from server.cli import run
from server.viewer import VERSION, install, installed_version

FILES = {
    "package/LICENSE": "licence",
    "package/package.json": "{}",
    "package/dist/index.html": "index",
    "package/dist/sw.js": "service worker",
    "package/dist/ort/model.onnx": "large",
    "package/dist/assets/a.png": "picture",
}


def tarball(path: Path, files: dict[str, str]) -> str:
    """Write a package; returns its integrity."""
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return "sha512-" + base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "package.tgz"
    monkeypatch.setattr(server.viewer, "INTEGRITY", tarball(path, FILES))
    return path


def names_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_what_is_used_is_unpacked_and_nothing_else(tmp_path: Path, package: Path) -> None:
    folder = tmp_path / "data" / "viewer"

    assert install(folder, package) > 0

    assert names_in(folder) == {"LICENSE", "index.html", "assets/a.png", "version.txt"}
    assert installed_version(folder) == VERSION
    assert names_in(folder.parent) == {f"viewer/{name}" for name in names_in(folder)}


def test_another_tarball_is_refused_and_the_installed_one_stays(tmp_path: Path, package: Path) -> None:
    folder = tmp_path / "viewer"
    install(folder, package)
    other = tmp_path / "other.tgz"
    tarball(other, FILES | {"package/dist/index.html": "bad"})

    with pytest.raises(Refusal, match="digest"):
        install(folder, other)

    assert (folder / "index.html").read_text() == "index"


def test_a_member_that_would_leave_the_folder_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "evil.tgz"
    integrity = tarball(path, FILES | {"package/dist/../../../evil.txt": "out"})
    monkeypatch.setattr(server.viewer, "INTEGRITY", integrity)

    with pytest.raises(server.viewer.ViewerFailure):
        install(tmp_path / "data" / "viewer", path)

    assert not list(tmp_path.rglob("evil.txt"))


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path, package: Path) -> None:
    (tmp_path / "kept").write_text("mine")

    with pytest.raises(Refusal, match="something else"):
        install(tmp_path, package)

    assert (tmp_path / "kept").read_text() == "mine"


def test_the_command_installs_once_and_is_put_in_place_again(
    tmp_path: Path, package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["viewer", "install", "--data-dir", str(tmp_path / "data"), "--from", str(package)]

    assert run(words) == 0
    assert run(words) == 0

    first, again = capsys.readouterr().out.splitlines()
    assert "MB" in first
    assert "is installed in" in again
    assert installed_version(tmp_path / "data" / "viewer") == VERSION


def test_without_npm_the_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(Refusal, match="npm"):
        install(tmp_path / "viewer")
