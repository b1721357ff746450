"""The sagittal segmenter of a bundle, loaded as the server loads it, for what is measured and cut with it."""

from __future__ import annotations

from pathlib import Path

from models.bundle import read_bundle
from models.engines import OnnxEngine
from models.mr_sagittal import MrSagittalDetector
from models.registry import SEGMENTER, SHIPPED, DetectorSettings


def load_segmenter(bundle: Path | None = None, *, threads: int = 2) -> MrSagittalDetector:
    """The segmenter of a bundle's folder (the shipped one when None), with its digest checked.

    Raises:
        BundleRefusal: the bundle is not what its metadata says.
    """
    described, settings = read_bundle(bundle or SHIPPED / SEGMENTER), DetectorSettings()
    described.verify()
    engine = OnnxEngine(described.weights, threads=threads)
    return MrSagittalDetector(described, engine, settings.policies)
