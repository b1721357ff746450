"""Every transfer syntax is stored as it was received, byte for byte; real DCMTK and pynetdicom senders."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
    RLELossless,
)
from pynetdicom import AE

from builders.dicom import SeriesPlan, slice_dataset, small_voxels, write_series
from builders.peers import StoreScp, peer_environment, program, store_with_storescu
from builders.receiving import Node, association, data_set_bytes, running_node, store_file
from dicom_node.storage_classes import IMAGE_SYNTAXES, STORAGE_CLASSES, StorageKind

NATIVE = {ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, "1.2.840.10008.1.2.1"}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running_node(tmp_path / "node") as running:
        yield running


def instance(index: int = 0) -> Dataset:
    return slice_dataset(SeriesPlan(voxels=small_voxels(rows=64, columns=64)), index)


def written(path: Path, syntax: str) -> Path:
    """An MR instance in any transfer syntax; pixel data of compressed ones is a made-up codestream, never decoded."""
    dataset = instance()
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
        dataset["PixelData"].VR = "OW"
    elif syntax not in NATIVE:
        dataset.PixelData = encapsulate([bytes(range(256)) * 5 + b"\xff\xd9"])
        dataset["PixelData"].VR = "OB"
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("syntax", IMAGE_SYNTAXES)
def test_data_set_is_stored_byte_for_byte(node: Node, tmp_path: Path, syntax: str) -> None:
    path = written(tmp_path / "sent.dcm", syntax)
    with association(node.port, [(MRImageStorage, syntax)]) as peer:
        assert store_file(peer, path).Status == 0x0000
    (row,) = node.rows()
    assert row["transfer_syntax_uid"] == syntax
    assert node.stored(instance().SOPInstanceUID) == data_set_bytes(path)
    again = dcmread(node.spool.path(row["path"]))
    assert again.file_meta.TransferSyntaxUID == syntax
    assert again.file_meta.SourceApplicationEntityTitle == "PYNETDICOM"
    assert again.SOPInstanceUID == again.file_meta.MediaStorageSOPInstanceUID == instance().SOPInstanceUID


@pytest.mark.parametrize("entry", STORAGE_CLASSES.values(), ids=lambda entry: entry.keyword)
def test_every_sop_class_of_the_table_is_accepted_in_each_of_its_syntaxes(node: Node, entry: object) -> None:
    pairs = [(entry.uid, syntax) for syntax in entry.transfer_syntaxes]  # type: ignore[attr-defined]
    with association(node.port, pairs) as peer:
        assert {context.transfer_syntax[0] for context in peer.accepted_contexts} == {syntax for _, syntax in pairs}


def test_lossy_is_not_chosen_where_lossless_is_offered(node: Node) -> None:
    entity = AE(ae_title="PYNETDICOM")
    entity.add_requested_context(CTImageStorage, list(reversed(IMAGE_SYNTAXES)))
    peer = entity.associate("127.0.0.1", node.port, ae_title="SPINEAI")
    chosen = [context.transfer_syntax[0] for context in peer.accepted_contexts]
    peer.release()
    assert chosen == ["1.2.840.10008.1.2.1"]


@pytest.mark.parametrize(
    ("proposal", "make"),
    [
        ("-xi", lambda path: _converted("dcmconv", "+ti", path)),
        ("-xb", lambda path: _converted("dcmconv", "+tb", path)),
        ("-xe", lambda path: path),
        ("-xd", lambda path: _converted("dcmconv", "+td", path)),
        ("-xr", lambda path: _converted("dcmcrle", "+fo", path)),
        ("-xs", lambda path: _converted("dcmcjpeg", "+e1", path)),
        ("-xx", lambda path: _converted("dcmcjpeg", "+ee", path)),
        ("-xt", lambda path: _converted("dcmcjpls", "+el", path)),
        ("-xu", lambda path: _converted("dcmcjpls", "+en", path)),
        ("-xv", lambda path: _compressed_by_pydicom(path, JPEG2000Lossless)),
    ],
)
@pytest.mark.peer("dcmtk")
def test_storescu_leaves_the_same_bytes_here_and_at_a_bit_preserving_storescp(
    node: Node,
    storescp: Callable[..., StoreScp],
    tmp_path: Path,
    proposal: str,
    make: Callable[[Path], Path],
) -> None:
    """Real compressed objects, made and sent by DCMTK; storescp +B writes what came over the wire."""
    path = make(write_series(tmp_path / "sent", SeriesPlan(voxels=small_voxels(1, 64, 64)))[0])
    reference = storescp(options=("+B", "+xa"))
    for port, called in ((node.port, "SPINEAI"), (reference.port, reference.ae_title)):
        done = store_with_storescu([path], port, called=called, options=["-R", proposal])
        assert done.returncode == 0, done.stderr
    (expected,) = reference.wait_for(1)
    (row,) = node.rows()
    assert row["transfer_syntax_uid"] == dcmread(path).file_meta.TransferSyntaxUID
    assert node.stored(row["sop_instance_uid"]) == data_set_bytes(expected)


@pytest.mark.peer("dcmtk")
def test_a_series_of_rle_and_a_series_of_explicit_share_one_association(node: Node, tmp_path: Path) -> None:
    plan = SeriesPlan(voxels=small_voxels(4))
    paths = write_series(tmp_path / "sent", plan)
    paths[1:3] = [_compressed_by_pydicom(path, RLELossless) for path in paths[1:3]]
    done = store_with_storescu(paths, node.port, options=["-xr"])
    assert done.returncode == 0, done.stderr
    assert [row["transfer_syntax_uid"] for row in node.rows()].count(RLELossless) == 2
    assert len(node.rows()) == 4
    assert {row["study_instance_uid"] for row in node.rows()} == {plan.study_instance_uid}
    assert all(node.stored(row["sop_instance_uid"]) for row in node.rows())


def test_kinds_cover_images_results_and_documents() -> None:
    assert {entry.kind for entry in STORAGE_CLASSES.values()} == set(StorageKind)


def _converted(tool: str, option: str, path: Path) -> Path:
    executable = program(tool)
    assert executable is not None, f"{tool} is not installed"
    target = path.with_suffix(".converted.dcm")
    subprocess.run([str(executable), option, str(path), str(target)], check=True, env=peer_environment())
    return target


def _compressed_by_pydicom(path: Path, syntax: str) -> Path:
    dataset = dcmread(path)
    dataset.compress(syntax, generate_instance_uid=False)
    dataset.save_as(path)
    return path
