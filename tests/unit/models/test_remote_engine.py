"""Networks on a real Triton: the same logits as here, and a named failure for everything that a server can do wrong."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.peers import LOOPBACK, free_tcp_port
from builders.triton import Triton
from inference.errors import PeerFailure, SettingRefusal
from models import remote_engine
from models.engine_choice import EngineChoice, compare, load_engine
from models.engines import OnnxEngine
from models.installed import find_bundle, list_bundles
from models.registry import DetectorSettings, load_detectors
from models.remote_engine import RemoteEngine, RemoteServer

SEGMENTATION, GRADING = "mr_sagittal_segmentation", "mr_disc_grading"
KEY = "Bearer a-key"


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    """Every shipped network by its own name; inference needs the key."""
    folder = tmp_path_factory.mktemp("triton")
    restricted = f"--http-restricted-api=inference:authorization={KEY}"
    with Triton.started(folder, {b.identity.name: b.weights for b in list_bundles()}, options=[restricted]) as server:
        yield server


def at(triton: Triton, **values: Any) -> RemoteServer:
    return RemoteServer(**{"url": triton.url, "token": KEY.removeprefix("Bearer "), "timeout_s": 60} | values)


@pytest.mark.peer("triton")
@pytest.mark.parametrize("name", [bundle.identity.name for bundle in list_bundles()])
def test_every_shipped_network_gives_the_same_there(triton: Triton, name: str) -> None:
    bundle = find_bundle(name)
    there = load_engine(bundle, EngineChoice.REMOTE, threads=1, remote=at(triton))
    here = OnnxEngine(bundle.weights, threads=1)

    assert there.name == f"triton 2.51.0 {name}/1 (KServe v2)"
    assert there.input_shape == here.input_shape
    shape = [size or usual for size, usual in zip(here.input_shape, (2, 1, 128, 128), strict=True)]
    image = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    assert compare(there, here, image).is_parity


@pytest.mark.peer("triton")
def test_the_answer_says_where_it_was_computed(triton: Triton) -> None:
    settings = DetectorSettings(threads=1, engine=EngineChoice.REMOTE, remote=at(triton))
    (detector,) = load_detectors(settings, [SEGMENTATION])
    assert detector.identity.engine == f"triton 2.51.0 {SEGMENTATION}/1 (KServe v2)"


@pytest.mark.peer("triton")
@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"names": {SEGMENTATION: "mr_sagittal/9"}}, "answered HTTP 404"),
        ({"names": {SEGMENTATION: f"{SEGMENTATION}/7"}}, "answered HTTP 404"),
        ({"names": {SEGMENTATION: GRADING}}, "answered HTTP 400"),
        ({"token": "another"}, "answered HTTP 403"),
        ({"url": f"http://{LOOPBACK}:1"}, "is not reached"),
    ],
)
def test_a_server_that_does_not_have_it_or_is_not_there(
    triton: Triton, values: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_engine, "FIRST_PAUSE_S", 0.01)
    with pytest.raises(PeerFailure, match=f"The inference server {says}"):
        load_engine(find_bundle(SEGMENTATION), EngineChoice.REMOTE, threads=1, remote=at(triton, **values))


@pytest.mark.peer("triton")
def test_other_weights_under_the_right_name_are_not_the_bundle(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    bundle = find_bundle("mr_axial_canal")
    model = onnx.load(bundle.weights)
    tensor = max(model.graph.initializer, key=lambda one: onnx.numpy_helper.to_array(one).size)
    values = onnx.numpy_helper.to_array(tensor)
    noise = np.random.default_rng(2).normal(size=values.shape) * values.std() / 20  # a factor would be normalised away
    tensor.CopyFrom(onnx.numpy_helper.from_array((values + noise).astype(np.float32), tensor.name))
    onnx.save(model, tmp_path / "other.onnx")
    with (
        Triton.started(tmp_path, {"mr_axial_canal": tmp_path / "other.onnx"}) as server,
        pytest.raises(
            PeerFailure, match=r"is not the network of bundle mr_axial_canal .* differs from ONNX Runtime by"
        ),
    ):
        load_engine(bundle, EngineChoice.REMOTE, threads=1, remote=RemoteServer(url=server.url))


def test_remote_without_a_server_is_refused() -> None:
    with pytest.raises(SettingRefusal, match="needs inference_server"):
        load_engine(find_bundle(SEGMENTATION), EngineChoice.REMOTE, threads=1)


METADATA = {
    "name": "m",
    "versions": ["1", "3", "2"],
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 1, 2, 2]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 1, 2, 2]}],
}
ANSWER = {
    "model_name": "m",
    "model_version": "3",
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 1, 2, 2], "data": [0.5, 1.5, 2.5, 3.5]}],
}
IMAGE = np.zeros((1, 1, 2, 2), np.float32)


@contextmanager
def plain_server(answers: Callable[[str], tuple[int, Any]]) -> Iterator[tuple[RemoteServer, list[str]]]:
    """A server without the binary extension: `answers` gives status and JSON, or bytes, for each path."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append(self.path)
            status, body = answers(self.path)
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET  # noqa: N815 - the form that http.server calls

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield RemoteServer(url=f"http://{LOOPBACK}:{server.server_port}", names={"b": "m"}, timeout_s=5), asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def usual(path: str) -> tuple[int, Any]:
    if path == "/v2":
        return 200, {"name": "plain", "version": "0.1"}
    return 200, ANSWER if path.endswith("/infer") else METADATA


def test_a_server_without_the_binary_extension_gets_json() -> None:
    with plain_server(usual) as (server, asked):
        engine = RemoteEngine(server, "b", (None, 1, 2, 2))
        assert engine.name == "plain 0.1 m/3 (KServe v2)"
        assert engine.run(IMAGE).tolist() == [[[[0.5, 1.5], [2.5, 3.5]]]]
    assert asked == ["/v2", "/v2/models/m", "/v2/models/m/infer"]


def test_a_server_that_lists_no_versions_is_held_to_that_of_its_first_answer() -> None:
    versions = iter(["v1", "v1", "v2"])

    def answers(path: str) -> tuple[int, Any]:
        if path.endswith("/infer"):
            return 200, ANSWER | {"model_version": next(versions)}
        return 200, METADATA | {"versions": []} if path == "/v2/models/m" else usual(path)[1]

    with plain_server(answers) as (server, _):
        engine = RemoteEngine(server, "b", (None, 1, 2, 2))
        engine.run(IMAGE)
        assert engine.name == "plain 0.1 m/v1 (KServe v2)"
        engine.run(IMAGE)
        with pytest.raises(PeerFailure, match="runs version v2 now, and version v1 was compared"):
            engine.run(IMAGE)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a: a | {"model_version": "4"}, "runs version 4 now, and version 3 was compared"),
        (lambda a: a | {"outputs": []}, "not one of the protocol"),
        (lambda a: a | {"outputs": [a["outputs"][0] | {"shape": [1, 1, 3, 3]}]}, "not one of the protocol"),
        (lambda a: a | {"outputs": [a["outputs"][0] | {"datatype": "FP16"}]}, "not one of the protocol"),
        (lambda a: a | {"outputs": [a["outputs"][0] | {"data": ["a"]}]}, "not one of the protocol"),
        (lambda a: {**a, "outputs": {"y": 1}}, "not one of the protocol"),
        (lambda _: [], "not one of the protocol"),
        (lambda _: b"\xff\xfe", "not one of the protocol"),
    ],
)
def test_an_answer_that_is_none_is_a_failure_by_name(change: Callable[[Any], Any], says: str) -> None:
    def answers(path: str) -> tuple[int, Any]:
        status, body = usual(path)
        return status, change(body) if path.endswith("/infer") else body

    with plain_server(answers) as (server, _):
        engine = RemoteEngine(server, "b", (None, 1, 2, 2))
        with pytest.raises(PeerFailure, match=says):
            engine.run(IMAGE)


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/v2", b"<html>", "is no server of the Open Inference Protocol"),
        ("/v2", [], "is no server of the Open Inference Protocol"),
        ("/v2/models/m", METADATA | {"inputs": []}, "does not have one of inputs"),
        ("/v2/models/m", METADATA | {"outputs": METADATA["outputs"] * 2}, "does not have one of outputs"),  # type: ignore[operator]
    ],
)
def test_what_is_no_such_server_or_network_is_said(path: str, body: Any, says: str) -> None:
    answers = plain_server(lambda asked: (200, body) if asked == path else usual(asked))
    with answers as (server, _), pytest.raises(PeerFailure, match=says):
        RemoteEngine(server, "b", (None, 1, 2, 2))


def test_what_may_pass_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_engine, "FIRST_PAUSE_S", 0.01)
    busy = iter([503, 429])
    with plain_server(lambda path: (next(busy, 200), usual(path)[1])) as (server, asked):
        RemoteEngine(server, "b", (None, 1, 2, 2))
        assert asked == ["/v2", "/v2", "/v2", "/v2/models/m"]
    with plain_server(lambda _: (503, {})) as (server, asked):
        with pytest.raises(PeerFailure, match="answered HTTP 503"):
            RemoteEngine(server, "b", (None, 1, 2, 2))
        assert len(asked) == remote_engine.TRIES
    silent = replace(server, url=f"http://{LOOPBACK}:{free_tcp_port()}")
    with pytest.raises(PeerFailure, match="is not reached"):
        RemoteEngine(silent, "b", (None, 1, 2, 2))
