"""What the worker's child does before it reads: models and engines that cannot be used are said, not crashed on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from inference.errors import SettingRefusal
from models.engine_choice import EngineChoice
from server import cli
from server.detectors import detector_settings, load
from server.kernel import Kernel
from server.settings import Settings
from server.study_kernel import ReaderFactory

REQUEST = {"study_instance_uid": "1.2.3", "revision": 1, "paths": [], "content_at": 0.0, "predecessor": None}


@pytest.mark.parametrize("choice", list(EngineChoice))
def test_the_setting_reaches_the_detectors(choice: EngineChoice) -> None:
    server = "http://127.0.0.1:8000" if choice is EngineChoice.REMOTE else ""
    assert detector_settings(Settings(inference_engine=choice.value, inference_server=server)).engine is choice


def test_an_engine_that_is_not_installed_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)  # what Python itself takes for "not installed"

    with pytest.raises(SettingRefusal, match=r"openvino cannot be used: it is not installed \(extra openvino\)\.$"):
        load(Settings(inference_engine="openvino"))


def test_openvino_on_cuda_ends_the_worker_before_it_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--data-dir", str(tmp_path), "--device", "cuda", "--inference-engine", "openvino"]

    assert cli.run(["work", *options]) == cli.REFUSED

    assert "cannot be used: it is used on the cpu only, got device 'cuda'." in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_refused_model_fails_every_study_with_its_sentence(tmp_path: Path) -> None:
    """The child used to end without a word, and each study with "ended unexpectedly"."""
    kernel = Kernel(ReaderFactory(Settings(data_dir=tmp_path, models=("nothing",))), timeout=120)
    try:
        answers = [kernel.call(REQUEST) for _ in range(2)]
    finally:
        kernel.stop()

    assert answers[0] == answers[1]
    assert answers[0]["state"] == "failed"
    assert answers[0]["reason"].startswith("The models cannot be used: no bundle 'nothing'; installed: ")
