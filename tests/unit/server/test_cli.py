from __future__ import annotations

import json
from pathlib import Path

import pytest

from builders.dicom import SeriesPlan, small_voxels, write_series
from server.cli import COMMANDS, run
from server.settings import Settings


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["bogus"], "No such command"),
        (["retry"], "Missing argument"),
        (["status", "--colour", "red"], "No such option"),
        (["status", "--dicom-port", "70000"], "dicom_port"),
        (["web", "--http-host", "0.0.0.0"], "loopback only"),
        (["infer", "/does/not/exist", "--out", "/tmp/x"], "There is no folder"),
        (["plan", "/does/not/exist"], "There is no folder"),
        (["send", "/does/not/exist", "A@h:1"], "There is no folder"),
        (["send", ".", "nonsense"], "AET@HOST:PORT"),
        (["models", "show", "nothing"], "nothing"),
        (["status", "--config", "/does/not/exist.toml"], "cannot be read"),
    ],
)
def test_a_users_mistake_is_one_line_and_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert run(arguments) == 2

    (line,) = lines(capsys)
    assert says in line


def test_a_folder_without_dicom_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "readme.txt").write_text("no DICOM")

    assert run(["infer", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 2

    assert len(lines(capsys)) == 1
    assert not (tmp_path / "out").exists()


def test_an_unreachable_database_is_our_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPINE_DATABASE_URL", "postgresql://u:secret@127.0.0.1:1/x?connect_timeout=2")

    assert run(["status"]) == 1

    (line,) = lines(capsys)
    assert "cannot be prepared" in line
    assert "secret" not in line


@pytest.mark.filterwarnings(
    # pynetdicom 3.0.4 leaves the socket of a connection that failed to the garbage collector
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)
def test_a_peer_that_is_not_there_is_our_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_series(tmp_path, SeriesPlan(voxels=small_voxels(1)))

    assert run(["send", str(tmp_path), "NOBODY@127.0.0.1:1"]) == 1

    assert "not accepted" in lines(capsys)[-1]


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0

    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


def test_every_setting_is_an_option(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")

    assert run(["receive", "--help"]) == 0

    shown = capsys.readouterr().out
    singular = {"destinations": "destination", "query_peers": "query-peer", "models": "model"}
    singular |= {"http_names": "http-name", "http_trusted_proxies": "http-trusted-proxy", "oidc_roles": "oidc-role"}
    singular |= {"commitment_destinations": "commitment-destination", "commitment_peers": "commitment-peer"}
    singular["hl7_senders"] = "hl7-sender"
    singular["inference_server_models"] = "inference-server-model"
    singular["allowed_calling_ae_titles"] = "allowed-calling-ae-title"
    for name in Settings.model_fields:
        assert f"--{singular.get(name, name).replace('_', '-')}" in shown


def test_retry_of_an_unknown_identifier_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["retry", "1.2.3", "--data-dir", str(tmp_path)]) == 2

    assert "1.2.3" in lines(capsys)[-1]


def test_models_are_listed_and_verified(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "list"]) == 0
    assert run(["models", "verify"]) == 0
    assert run(["models", "show", "mr_sagittal_segmentation"]) == 0

    shown = capsys.readouterr().out
    assert "mr_sagittal_segmentation" in shown
    assert json.loads(shown[shown.index("{") :])["version"]


def test_a_fault_of_the_program_quotes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "spine.sqlite").write_bytes(b"this is no database, DOE^JANE" * 100)

    assert run(["status", "--data-dir", str(tmp_path)]) == 1

    assert "DOE" not in "".join(lines(capsys))
