"""A bundle is refused by name for everything that could make its answers untrue."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from inference.errors import BundleRefusal, SettingRefusal
from models.bundle import read_bundle
from models.engines import OnnxEngine
from models.installed import SHIPPED, find_bundle, list_bundles
from models.registry import DetectorSettings, import_bundle, load_detectors

onnx = pytest.importorskip("onnx", reason="the package onnx makes the tiny test network")

NAME = "mr_sagittal_segmentation"


def tiny_network(outputs=1):
    """Four classes from five slices by one 1x1 convolution."""
    weights = onnx.numpy_helper.from_array(np.eye(4, 5, dtype=np.float32).reshape(4, 5, 1, 1), "w")
    shape = ["n", 5, "h", "w"]
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, shape)
    names = ["logits", "more"][:outputs]
    values = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["n", 4, "h", "w"]) for n in names]
    nodes = [onnx.helper.make_node("Conv", ["image", "w"], [n]) for n in names]
    graph = onnx.helper.make_graph(nodes, "tiny", [image], values, [weights])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    return model.SerializeToString()


@pytest.fixture
def bundle_folder(tmp_path):
    """A copy of the shipped bundle's layout around a tiny network, under a name of its own."""
    folder = tmp_path / "source" / "site_model"
    shutil.copytree(SHIPPED / NAME, folder, ignore=shutil.ignore_patterns("*.onnx"))
    weights = tiny_network()
    (folder / "models" / "model.onnx").write_bytes(weights)
    change(folder, name="site_model", detector=NAME, sha256=hashlib.sha256(weights).hexdigest())
    return folder


def change(folder, **spine):
    path = folder / "configs" / "metadata.json"
    metadata = json.loads(path.read_text())
    metadata["spine"].update(spine)
    path.write_text(json.dumps(metadata))


def test_every_shipped_bundle_is_whole_and_small():
    bundles = list_bundles()
    assert NAME in [b.identity.name for b in bundles]
    for bundle in bundles:
        bundle.verify()
        assert bundle.weights.stat().st_size <= 12 * 2**20


def test_shipped_detectors_load_and_say_who_they_are():
    detectors = load_detectors(DetectorSettings(threads=1))
    assert {d.identity.sha256 for d in detectors} == {b.identity.sha256 for b in list_bundles()}
    assert detectors[0].identity.name == NAME  # what it outlines, the grader grades


def test_a_grader_needs_the_segmentation():
    with pytest.raises(BundleRefusal, match="use both or neither"):
        load_detectors(DetectorSettings(threads=1), ["mr_disc_grading"])


@pytest.mark.parametrize("part", ["configs/metadata.json", "models/model.onnx", "docs/README.md", "LICENSE"])
def test_a_missing_part_is_named(bundle_folder, part):
    (bundle_folder / part).unlink()
    with pytest.raises(BundleRefusal, match=f"lacks {part}"):
        read_bundle(bundle_folder)


def test_changed_weights_are_refused_by_digest(bundle_folder):
    weights = bundle_folder / "models" / "model.onnx"
    weights.write_bytes(weights.read_bytes() + b"\0")
    with pytest.raises(BundleRefusal, match="the weights digest to"):
        read_bundle(bundle_folder).verify()


@pytest.mark.parametrize("value", [{"context_slices": 4}, {"spacing_mm": [0.0, 1.0]}, {"multiple_of": 0}])
def test_metadata_out_of_range_is_refused_with_the_value(bundle_folder, value):
    change(bundle_folder, **value)
    with pytest.raises(BundleRefusal, match="must be odd"):
        read_bundle(bundle_folder)


def test_metadata_that_is_not_json_is_refused(bundle_folder):
    (bundle_folder / "configs" / "metadata.json").write_text("{")
    with pytest.raises(BundleRefusal, match="not usable"):
        read_bundle(bundle_folder)


def test_a_python_expression_in_metadata_stays_a_string(bundle_folder):
    """MONAI configs evaluate '$...'; ours are data."""
    change(bundle_folder, training_data="$__import__('os').abort()")
    assert read_bundle(bundle_folder).identity.training_data.startswith("$__import__")


def test_a_site_bundle_is_imported_loaded_and_listed_once(bundle_folder, tmp_path):
    site = tmp_path / "site"
    assert import_bundle(bundle_folder, site).identity.name == "site_model"
    assert find_bundle("site_model", site).folder == site / "site_model"
    assert len(load_detectors(DetectorSettings(threads=1), ["site_model"], site)) == 1
    with pytest.raises(BundleRefusal, match="already installed"):
        import_bundle(bundle_folder, site)


def test_labels_of_another_anatomy_are_refused(bundle_folder, tmp_path):
    change(bundle_folder, labels={"0": "background", "1": "liver"})
    with pytest.raises(BundleRefusal, match="labels must be"):
        import_bundle(bundle_folder, tmp_path / "site")


def test_an_unknown_detector_is_refused(bundle_folder, tmp_path):
    change(bundle_folder, detector="palm_reading")
    with pytest.raises(BundleRefusal, match="palm_reading"):
        import_bundle(bundle_folder, tmp_path / "site")


def test_an_unknown_name_lists_what_is_installed():
    with pytest.raises(BundleRefusal, match=NAME):
        find_bundle("nothing")


def test_the_engine_runs_what_it_loaded(bundle_folder):
    engine = OnnxEngine(bundle_folder / "models" / "model.onnx", threads=1)
    image = np.random.default_rng(0).normal(size=(1, 5, 6, 7)).astype(np.float32)
    np.testing.assert_allclose(engine.run(image), image[:, :4], rtol=1e-6)


def test_a_device_that_is_not_there_is_refused_by_name(bundle_folder):
    with pytest.raises(SettingRefusal, match="got 'tpu'"):
        OnnxEngine(bundle_folder / "models" / "model.onnx", threads=1, device="tpu")


def test_garbage_weights_are_refused(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(BundleRefusal, match="not a network"):
        OnnxEngine(path, threads=1)


def test_a_network_with_two_outputs_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(tiny_network(outputs=2))
    with pytest.raises(BundleRefusal, match="one input and one output, got 1 and 2"):
        OnnxEngine(path, threads=1)
