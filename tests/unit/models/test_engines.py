"""OpenVINO stands in for ONNX Runtime only where it gives the same logits; otherwise it is said why it does not."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from builders.peers import peer_environment
from inference.errors import BundleRefusal, SettingRefusal
from models.bundle import WEIGHTS
from models.engine_choice import (
    LARGEST_LOGIT_DIFFERENCE,
    Difference,
    EngineChoice,
    compare,
    load_engine,
    parity_image,
)
from models.engines import OnnxEngine, OpenVinoEngine
from models.installed import find_bundle, list_bundles
from models.registry import DetectorSettings, load_detectors

onnx = pytest.importorskip("onnx", reason="the package onnx makes the test networks")

SEGMENTATION = "mr_sagittal_segmentation"
REAL_SIZE = (1, 5, 640, 512)
"""Of a T2 SPACE slice with its neighbours on the network's grid."""
FLOAT = onnx.TensorProto.FLOAT
needs_openvino = pytest.mark.peer("openvino")


@pytest.fixture
def bundle_of(tmp_path):
    """The shipped segmentation's description around another network."""

    def make(model):
        path = tmp_path / WEIGHTS
        path.parent.mkdir(parents=True)
        path.write_bytes(model.SerializeToString())
        return replace(find_bundle(SEGMENTATION), folder=tmp_path)

    return make


def network(*nodes, weights=()):
    """A network from image (5 channels) to logits; ``nodes`` are (operator, inputs, domain), each fed by the last."""
    names = ["image", *(f"value{n}" for n in range(1, len(nodes))), "logits"]
    made = [
        onnx.helper.make_node(operator, [source, *inputs], [target], domain=domain)
        for (operator, inputs, domain), (source, target) in zip(nodes, pairwise(names), strict=True)
    ]
    image = onnx.helper.make_tensor_value_info("image", FLOAT, ["n", 5, "h", "w"])
    logits = onnx.helper.make_tensor_value_info("logits", FLOAT, ["n", "c", "h", "w"])
    constants = [onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights]
    graph = onnx.helper.make_graph(made, "test", [image], [logits], constants)
    domains = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("com.microsoft", 1)]
    return onnx.helper.make_model(graph, opset_imports=domains, ir_version=9)


def badly_scaled_network():
    """Sums of large numbers of both signs: what is left of them depends on the order in which they were added."""
    large = 1e6 * np.random.default_rng(1).normal(size=(4, 5, 7, 7))
    return network(("Conv", ["w"], ""), weights=[("w", large)])


def rounded_to_bfloat16(path):
    """A network whose weights keep the 8 significant bits of bfloat16."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype in (np.float16, np.float32) and values.size > 1:
            mantissa, exponent = np.frexp(values.astype(np.float64))
            rounded = np.ldexp(np.round(mantissa * 2**8) / 2**8, exponent).astype(values.dtype)
            tensor.CopyFrom(onnx.numpy_helper.from_array(rounded, tensor.name))
    return model


def log_of(caplog):
    (record,) = [r for r in caplog.records if r.message == "engine_chosen"]
    return record


@needs_openvino
@pytest.mark.parametrize("name", [bundle.identity.name for bundle in list_bundles()])
def test_both_engines_give_the_same_on_every_shipped_network(name):
    bundle = find_bundle(name)
    ours, expected = OpenVinoEngine(bundle.weights, threads=1), OnnxEngine(bundle.weights, threads=1)
    assert ours.input_shape == expected.input_shape
    shape = tuple(size or real for size, real in zip(ours.input_shape, REAL_SIZE, strict=True))
    noise = np.random.default_rng(7).normal(size=shape).astype(np.float32)
    # The limit is not near what rounding does, also on noise, where logits are larger than on any image.
    for image, share in ((parity_image(ours.input_shape, bundle.multiple_of), 0.1), (noise, 0.5)):
        difference = compare(ours, expected, image)
        assert difference.is_parity, difference
        assert difference.logit < share * LARGEST_LOGIT_DIFFERENCE


@needs_openvino
def test_auto_takes_openvino_and_the_answer_says_so(caplog):
    caplog.set_level(logging.INFO)
    detectors = load_detectors(DetectorSettings(threads=1), [SEGMENTATION])
    assert detectors[0].identity.engine.startswith("openvino 20")
    assert detectors[0].identity.engine.endswith(" cpu f32")
    assert (log_of(caplog).engine, log_of(caplog).model) == (detectors[0].identity.engine, SEGMENTATION)


def test_onnxruntime_is_taken_where_it_is_asked_for():
    settings = DetectorSettings(threads=1, engine=EngineChoice.ONNXRUNTIME)
    assert load_detectors(settings, [SEGMENTATION])[0].identity.engine.startswith("onnxruntime 1.")


@needs_openvino
def test_weights_of_half_precision_are_not_in_parity(bundle_of):
    whole = find_bundle(SEGMENTATION)
    rounded = bundle_of(rounded_to_bfloat16(whole.weights))
    image = parity_image((None, 5, None, None), whole.multiple_of)
    reference = OnnxEngine(whole.weights, threads=1)
    assert compare(OpenVinoEngine(whole.weights, threads=1), reference, image).is_parity
    difference = compare(OpenVinoEngine(rounded.weights, threads=1), reference, image)
    assert not difference.is_parity
    assert difference.logit > LARGEST_LOGIT_DIFFERENCE


@needs_openvino
def test_engines_that_round_apart_leave_onnxruntime_and_a_warning(bundle_of, caplog):
    bundle = bundle_of(badly_scaled_network())
    assert load_engine(bundle, EngineChoice.AUTO, threads=1).name.startswith("onnxruntime")
    assert log_of(caplog).levelno == logging.WARNING
    assert log_of(caplog).reason.startswith("it differs from ONNX Runtime by ")
    with pytest.raises(SettingRefusal, match="openvino cannot run mr_sagittal_segmentation: it differs from ONNX"):
        load_engine(bundle, EngineChoice.OPENVINO, threads=1)


@needs_openvino
def test_an_operator_that_only_onnxruntime_knows_leaves_onnxruntime(bundle_of, caplog):
    bundle = bundle_of(network(("Inverse", [], "com.microsoft")))
    assert load_engine(bundle, EngineChoice.AUTO, threads=1).name.startswith("onnxruntime")
    assert log_of(caplog).reason == "model.onnx is not a network that OpenVINO can load"


@needs_openvino
def test_a_network_that_gives_no_numbers_is_never_in_parity(bundle_of):
    bundle = bundle_of(network(("Sqrt", [], "")))
    image = parity_image((None, 5, None, None), 64)
    ours, expected = OpenVinoEngine(bundle.weights, threads=1), OnnxEngine(bundle.weights, threads=1)
    assert not compare(ours, expected, image).is_parity


def test_a_class_that_changes_is_no_parity_however_small_the_logits():
    assert Difference(logit=0.0, class_change=0.0).is_parity
    assert not Difference(logit=1e-6, class_change=2e-4).is_parity


def test_without_the_extra_auto_is_onnxruntime_and_openvino_is_refused(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setitem(sys.modules, "openvino", None)  # what Python itself takes for "not installed"
    bundle = find_bundle(SEGMENTATION)
    assert load_engine(bundle, EngineChoice.AUTO, threads=1).name.startswith("onnxruntime")
    record = log_of(caplog)
    assert (record.levelno, record.reason) == (logging.INFO, "it is not installed (extra openvino)")
    with pytest.raises(SettingRefusal, match="it is not installed"):
        load_engine(bundle, EngineChoice.OPENVINO, threads=1)
    with pytest.raises(SettingRefusal, match="not installed"):
        OpenVinoEngine(bundle.weights, threads=1)


@needs_openvino
@pytest.mark.parametrize("threads", [1, 2])
def test_openvino_repeats_itself_to_the_bit_in_float32_with_the_threads_it_was_given(threads):
    weights = find_bundle(SEGMENTATION).weights
    image = np.random.default_rng(3).normal(size=(1, 5, 320, 256)).astype(np.float32)
    engines = [OpenVinoEngine(weights, threads=threads) for _ in range(2)]
    first = engines[0].run(image).tobytes()
    other_size = np.ascontiguousarray(image[:, :, :192])
    for engine in engines:
        for _ in range(3):
            assert engine.run(image).tobytes() == first
            engine.run(other_size)  # what ran in between leaves nothing behind
        properties = engine._compiled.get_property
        assert properties("INFERENCE_NUM_THREADS") == threads
        assert properties("INFERENCE_PRECISION_HINT").to_string() == "f32"


@needs_openvino
def test_what_an_engine_returned_stays_when_it_runs_again():
    engine = OpenVinoEngine(find_bundle(SEGMENTATION).weights, threads=1)
    image = parity_image((1, 5, 64, 64), 64)
    kept = engine.run(image)
    before = kept.tobytes()
    engine.run(-image)
    assert kept.tobytes() == before


@needs_openvino
def test_garbage_and_two_outputs_are_refused(tmp_path):
    (tmp_path / "garbage.onnx").write_bytes(b"not a network")
    with pytest.raises(BundleRefusal, match="not a network"):
        OpenVinoEngine(tmp_path / "garbage.onnx", threads=1)
    model = network(("Relu", [], ""))
    model.graph.output.add().CopyFrom(onnx.helper.make_tensor_value_info("image", FLOAT, ["n", 5, "h", "w"]))
    (tmp_path / "two.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BundleRefusal, match="one input and one output, got 1 and 2"):
        OpenVinoEngine(tmp_path / "two.onnx", threads=1)


def test_the_image_of_the_comparison_is_the_same_every_time_and_of_the_networks_shape():
    image = parity_image((None, 5, None, None), 64)
    assert (image.shape, image.dtype) == ((1, 5, 256, 256), np.float32)
    assert image.tobytes() == parity_image((None, 5, None, None), 64).tobytes()
    assert abs(image.mean()) < 1e-3
    assert abs(image.std() - 1) < 1e-3
    assert parity_image((2, 8, 96, 96), 96).shape == (2, 8, 96, 96)
    assert parity_image((None, 1, None, None), 96).shape == (1, 1, 288, 288)


WATCHED = """
import ctypes, os, struct, sys
AUDIT, ALLOW, KILL = [], 0x7FFF0000, 0x80000000
sys.addaudithook(lambda event, _: AUDIT.append(event) if event.split(".")[0] == "socket" else None)
rules = [  # <linux/filter.h>: (code, true, false, value); offsets in seccomp_data: 0 call, 16 first argument
    (0x20, 0, 0, 0), (0x15, 0, 4, 41),  # another call than socket(2) of x86-64: allow
    (0x20, 0, 0, 16), (0x15, 1, 0, 2), (0x15, 0, 1, 10),  # neither AF_INET nor AF_INET6: allow
    (0x06, 0, 0, KILL), (0x06, 0, 0, ALLOW),
]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(rules), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
assert libc.prctl(22, 2, program, 0, 0) == 0, ctypes.get_errno()  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
{work}
print(AUDIT, sorted(name for name in sys.modules if "telemetry" in name))
"""
"""A process that is killed when it, or a library in it, opens an internet socket; what Python opens is listed too."""
READ = """
import numpy
from models.engine_choice import EngineChoice, load_engine
from models.installed import find_bundle
for choice in (EngineChoice.{choice}, EngineChoice.ONNXRUNTIME):
    engine = load_engine(find_bundle("mr_sagittal_segmentation"), choice, threads=1)
    engine.run(numpy.zeros((1, 5, 64, 64), numpy.float32))
"""
NATIVE = "libc.socket({family}, 1, 0)"


def run_watched(work, home):
    """Run it as a site runs it: nothing in the environment says that this is a test, or asks for privacy."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": peer_environment()["PYTHONPATH"], "HOME": str(home)}
    command = [sys.executable, "-c", WATCHED.replace("{work}", work)]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=240, check=False
    )


@pytest.mark.parametrize("choice", [pytest.param("OPENVINO", marks=needs_openvino), "ONNXRUNTIME"])
def test_reading_opens_no_socket_loads_no_telemetry_and_leaves_nothing_at_home(tmp_path, choice):
    """ONNX Runtime used to keep a device identifier and a queue of events for its maker in ~/.cache/Microsoft."""
    done = run_watched(READ.format(choice=choice), tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "[] []"), done.stderr
    assert not list(tmp_path.iterdir())


def test_the_watch_sees_a_socket_of_python_and_of_a_library(tmp_path):
    python = run_watched("import socket; socket.socket(socket.AF_UNIX)", tmp_path)
    assert "socket.__new__" in python.stdout
    assert run_watched(NATIVE.format(family=1), tmp_path).returncode == 0  # AF_UNIX leaves no machine
    for family in (2, 10):
        assert run_watched(NATIVE.format(family=family), tmp_path).returncode == -signal.SIGSYS
