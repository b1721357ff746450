"""The detectors of this node, as the site has set them."""

from __future__ import annotations

import hashlib

from inference.errors import SettingRefusal
from inference.marrow_findings import MarrowPolicy
from inference.pipeline import Detector
from inference.policies import Policies
from inference.sac_findings import SacAreaPolicy
from inference.spine_findings import FracturePolicy
from inference.stenosis import StenosisPolicy
from models.engine_choice import EngineChoice, why_no_openvino
from models.registry import DetectorSettings, load_detectors
from server.compose import threads_per_worker
from server.inference_server import inference_server
from server.settings import Settings


def policies_of(settings: Settings) -> Policies:
    """The operating points that the site chose."""
    return Policies(
        fracture=FracturePolicy(loss=settings.fracture_loss, z=settings.fracture_z),
        marrow=MarrowPolicy(
            ratio=settings.marrow_ratio,
            share=settings.marrow_share,
            z=settings.marrow_z,
            quiet=settings.marrow_quiet,
        ),
        stenosis=StenosisPolicy(absolute_mm=settings.stenosis_mm),
        sac_area=SacAreaPolicy(absolute_mm2=settings.sac_area_mm2),
    )


def detector_settings(settings: Settings) -> DetectorSettings:
    """How detectors run, as the site set it."""
    return DetectorSettings(
        threads=threads_per_worker(settings),
        device=settings.device,
        engine=EngineChoice(settings.inference_engine),
        policies=policies_of(settings),
        remote=inference_server(settings),
    )


def check_engine(settings: Settings) -> None:
    """Refuse, before anything is loaded, an engine that is asked for by name and cannot be used on this machine."""
    inference_server(settings)
    why_not = why_no_openvino(settings.device)
    if settings.inference_engine == EngineChoice.OPENVINO and why_not is not None:
        raise SettingRefusal(f"inference_engine openvino cannot be used: {why_not}.")


def config_digest(settings: Settings) -> str:
    """Digest of the settings that change an answer; empty for the defaults, so that they may be added to."""
    pairs = zip(policies_of(settings).statements, Policies().statements, strict=True)
    changed = "; ".join(chosen for chosen, usual in pairs if chosen != usual)
    return hashlib.sha256(changed.encode()).hexdigest() if changed else ""


def load(settings: Settings) -> tuple[Detector, ...]:
    """The detectors that this node uses.

    Raises:
        BundleRefusal: a bundle is missing or is not what its metadata says.
        SettingRefusal: the engine or the device of the settings cannot be used.
        PeerFailure: the inference server is away, or runs another network.
    """
    check_engine(settings)
    return load_detectors(detector_settings(settings), settings.models or None, settings.site_bundles)
