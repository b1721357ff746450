"""The detectors that are made from the installed bundles."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from inference.errors import BundleRefusal
from inference.pipeline import Detector
from inference.policies import Policies
from models.bundle import Bundle, read_bundle
from models.engine_choice import EngineChoice, load_engine
from models.engines import Engine
from models.installed import find_bundle, list_bundles
from models.mr_axial_canal import MrAxialCanalDetector
from models.mr_disc_grader import MrDiscGrader
from models.mr_sagittal import MrSagittalDetector
from models.remote_engine import RemoteServer


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorSettings:
    """How detectors run."""

    threads: int = 2
    device: str = "cpu"
    engine: EngineChoice = EngineChoice.AUTO
    policies: Policies = field(default_factory=Policies)
    remote: RemoteServer | None = None
    """For the engine ``remote``."""


Loaded: TypeAlias = Mapping[str, Detector]
"""The detectors that were loaded before, by name of their kind."""


def _segmenter(bundle: Bundle, engine: Engine, settings: DetectorSettings, _loaded: Loaded) -> Detector:
    return MrSagittalDetector(bundle, engine, settings.policies)


def _grader(bundle: Bundle, engine: Engine, _settings: DetectorSettings, loaded: Loaded) -> Detector:
    segmenter = loaded.get(SEGMENTER)
    if not isinstance(segmenter, MrSagittalDetector):
        raise BundleRefusal(f"bundle {bundle.identity.name} grades what {SEGMENTER} outlines; use both or neither")
    return MrDiscGrader(bundle, engine, segmenter)


def _axial_canal(bundle: Bundle, engine: Engine, settings: DetectorSettings, loaded: Loaded) -> Detector:
    segmenter = loaded.get(SEGMENTER)
    if not isinstance(segmenter, MrSagittalDetector):
        raise BundleRefusal(f"bundle {bundle.identity.name} names levels by what {SEGMENTER} outlines; use both")
    return MrAxialCanalDetector(bundle, engine, segmenter, settings.policies.sac_area)


SEGMENTER = "mr_sagittal_segmentation"
DETECTORS: Mapping[str, Callable[[Bundle, Engine, DetectorSettings, Loaded], Detector]] = {
    SEGMENTER: _segmenter,
    "mr_axial_canal": _axial_canal,
    "mr_disc_grading": _grader,
}
"""Detector name in a bundle's metadata -> how to build it; in the order in which they read a study."""


def load_detectors(
    settings: DetectorSettings, names: Sequence[str] | None = None, site_folder: Path | None = None
) -> tuple[Detector, ...]:
    """Verified, loaded detectors of the named bundles (all installed ones when None)."""
    bundles = list_bundles(site_folder) if names is None else [find_bundle(n, site_folder) for n in names]
    return _load_all(bundles, settings)


def _load_all(bundles: Sequence[Bundle], settings: DetectorSettings) -> tuple[Detector, ...]:
    unknown = next((bundle for bundle in bundles if bundle.detector not in DETECTORS), None)
    if unknown is not None:
        raise BundleRefusal(
            f"bundle {unknown.identity.name} asks for detector {unknown.detector!r}; known: {', '.join(DETECTORS)}"
        )
    loaded: dict[str, Detector] = {}
    ordered = sorted(bundles, key=lambda bundle: list(DETECTORS).index(bundle.detector))
    return tuple(_load(bundle, settings, loaded) for bundle in ordered)


def _load(bundle: Bundle, settings: DetectorSettings, loaded: dict[str, Detector]) -> Detector:
    bundle.verify()
    engine = load_engine(
        bundle, settings.engine, threads=settings.threads, device=settings.device, remote=settings.remote
    )
    run_by = replace(bundle, identity=replace(bundle.identity, engine=engine.name))
    detector = DETECTORS[bundle.detector](run_by, engine, settings, loaded)
    loaded.setdefault(bundle.detector, detector)
    return detector


def import_bundle(source: Path, site_folder: Path) -> Bundle:
    """Copy a bundle into the site's folder after checking it; BundleRefusal when it is unusable or already there."""
    bundle = read_bundle(source)
    bundle.verify()
    installed = list_bundles(site_folder)
    if bundle.identity.name in {b.identity.name for b in installed}:
        raise BundleRefusal(f"bundle {bundle.identity.name!r} is already installed; remove it first")
    _load_all([*installed, bundle], DetectorSettings(threads=1, engine=EngineChoice.ONNXRUNTIME))
    site_folder.mkdir(parents=True, exist_ok=True)
    target = site_folder / bundle.identity.name
    shutil.copytree(source, target)
    return read_bundle(target)
