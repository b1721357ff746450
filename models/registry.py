"""Which bundles are installed, and the detectors made from them.

Bundles live in the package's own ``bundles`` folder and, when a site imports its own, in a further folder; a name may
exist once.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from inference.errors import BundleRefusal
from inference.pipeline import Detector
from inference.spine_findings import FracturePolicy
from models.bundle import Bundle, read_bundle
from models.engines import Engine, OnnxEngine
from models.mr_sagittal import MrSagittalDetector

SHIPPED = Path(__file__).parent / "bundles"


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorSettings:
    """How detectors run."""

    threads: int = 2
    device: str = "cpu"
    fracture: FracturePolicy = field(default_factory=FracturePolicy)


DETECTORS: Mapping[str, Callable[[Bundle, Engine, DetectorSettings], Detector]] = {
    "mr_sagittal_segmentation": lambda bundle, engine, settings: MrSagittalDetector(bundle, engine, settings.fracture),
}
"""Detector name in a bundle's metadata -> how to build it."""


def list_bundles(site_folder: Path | None = None) -> tuple[Bundle, ...]:
    """Every installed bundle, by name; BundleRefusal when one is unusable or a name exists twice."""
    folders = [p for root in (SHIPPED, site_folder) if root is not None and root.is_dir() for p in root.iterdir()]
    bundles = sorted((read_bundle(p) for p in folders if p.is_dir()), key=lambda b: b.identity.name)
    names = [b.identity.name for b in bundles]
    twice = {n for n in names if names.count(n) > 1}
    if twice:
        raise BundleRefusal(f"each bundle's name may be installed once, got twice: {', '.join(sorted(twice))}")
    return tuple(bundles)


def find_bundle(name: str, site_folder: Path | None = None) -> Bundle:
    """The installed bundle of that name; BundleRefusal lists the names that there are."""
    bundles = list_bundles(site_folder)
    found = next((b for b in bundles if b.identity.name == name), None)
    if found is None:
        raise BundleRefusal(f"no bundle {name!r}; installed: {', '.join(b.identity.name for b in bundles) or 'none'}")
    return found


def load_detectors(
    settings: DetectorSettings, names: Sequence[str] | None = None, site_folder: Path | None = None
) -> tuple[Detector, ...]:
    """Verified, loaded detectors of the named bundles (all installed ones when None)."""
    bundles = list_bundles(site_folder) if names is None else [find_bundle(n, site_folder) for n in names]
    return tuple(_load(bundle, settings) for bundle in bundles)


def _load(bundle: Bundle, settings: DetectorSettings) -> Detector:
    build = DETECTORS.get(bundle.detector)
    if build is None:
        raise BundleRefusal(
            f"bundle {bundle.identity.name} asks for detector {bundle.detector!r}; known: {', '.join(DETECTORS)}"
        )
    bundle.verify()
    return build(bundle, OnnxEngine(bundle.weights, threads=settings.threads, device=settings.device), settings)


def import_bundle(source: Path, site_folder: Path) -> Bundle:
    """Copy a bundle into the site's folder after checking it; BundleRefusal when it is unusable or already there."""
    bundle = read_bundle(source)
    bundle.verify()
    _load(bundle, DetectorSettings(threads=1))
    installed = {b.identity.name for b in list_bundles(site_folder)}
    if bundle.identity.name in installed:
        raise BundleRefusal(f"bundle {bundle.identity.name!r} is already installed; remove it first")
    site_folder.mkdir(parents=True, exist_ok=True)
    target = site_folder / bundle.identity.name
    shutil.copytree(source, target)
    return read_bundle(target)
