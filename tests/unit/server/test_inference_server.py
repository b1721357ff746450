"""The settings of a server that runs models, and what becomes of a study while it is away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from inference.errors import SettingRefusal
from server.inference_server import inference_server
from server.kernel import Kernel
from server.settings import Settings
from server.settings_file import load
from server.study_kernel import ReaderFactory

REMOTE = {"inference_engine": "remote", "inference_server": "https://gpu.example:8000"}
REQUEST = {"study_instance_uid": "1.2.3", "revision": 1, "paths": [], "content_at": 0.0, "predecessor": None}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"inference_engine": "remote"}, "go together"),
        ({"inference_server": "https://gpu.example"}, "go together"),
        (REMOTE | {"inference_server": "http://gpu.example"}, "begins with https://"),
        (REMOTE | {"inference_server": "https://u:p@gpu.example"}, "holds no password"),
        (REMOTE | {"inference_server": "gpu.example:8000"}, "begins with https://"),
        (REMOTE | {"inference_server_models": ["seg"]}, "BUNDLE=MODEL"),
        (REMOTE | {"inference_server_models": ["a=b/1/2"]}, "BUNDLE=MODEL"),
        (REMOTE | {"inference_server_models": ["a=b/"]}, "BUNDLE=MODEL"),
    ],
)
def test_what_does_not_go_together_is_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingRefusal, match=says):
        load(values)


def test_the_server_has_its_names_and_its_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("hush\n")
    settings = load(REMOTE | {"inference_server_models": "a=b/2,c=d", "inference_server_token_file": file})
    server = inference_server(settings)
    assert server is not None
    assert (server.model_of("a"), server.model_of("c"), server.model_of("e")) == (("b", "2"), ("d", ""), ("e", ""))
    assert server.token == "hush"  # noqa: S105 - of this test
    assert inference_server(Settings()) is None
    file.write_text("two words")
    with pytest.raises(SettingRefusal, match="does not hold one token"):
        inference_server(settings)
    file.unlink()
    with pytest.raises(SettingRefusal, match="cannot be read"):
        inference_server(settings)
    with pytest.raises(SettingRefusal, match="is not a file"):
        inference_server(load(REMOTE | {"inference_server_ca_file": file}))


def test_a_study_waits_for_a_server_that_is_away_and_is_not_read_elsewhere(tmp_path: Path) -> None:
    values = REMOTE | {"inference_server": "http://127.0.0.1:1", "models": ["mr_axial_canal"], "data_dir": tmp_path}
    kernel = Kernel(ReaderFactory(load(values)), timeout=120)
    try:
        answers = [kernel.call(REQUEST) for _ in range(2)]
    finally:
        kernel.stop()
    away = {"state": "away", "reason": "The inference server is not reached (model mr_axial_canal)."}
    assert answers == [away, away]
