"""Model bundles: are they what their metadata says, and which engine runs each."""

from __future__ import annotations

from collections.abc import Iterator

from inference.errors import BundleRefusal, PeerFailure, SettingRefusal
from models.engine_choice import load_engine
from models.installed import find_bundle, list_bundles
from server.checks.answer import Answer, fail, ok
from server.detectors import detector_settings
from server.settings import Settings


def check_models(settings: Settings) -> Iterator[Answer]:
    """Digest and engine of each bundle that is used, loaded as a worker loads it."""
    try:
        folder = settings.site_bundles
        bundles = [find_bundle(name, folder) for name in settings.models] or list(list_bundles(folder))
    except BundleRefusal as refusal:
        yield fail("models", refusal.sentence, "spine-node models list; install that bundle again.")
        return
    chosen = detector_settings(settings)
    for bundle in bundles:
        name = f"model {bundle.identity.name}"
        try:
            bundle.verify()
            engine = load_engine(
                bundle, chosen.engine, threads=chosen.threads, device=chosen.device, remote=chosen.remote
            )
        except BundleRefusal as refusal:
            yield fail(name, refusal.sentence, "The file was changed, or is not whole: install that bundle again.")
        except (SettingRefusal, PeerFailure) as error:
            yield fail(name, str(error), "Correct inference_engine, device or inference_server.")
        else:
            yield ok(name, f"{bundle.identity.version}, digest verified, run by {engine.name}.")
