"""What the worker's child process does: load the models once, then read one study per request.

Everything that can go wrong with a study becomes a value here: a refusal of its input, a failure of ours, or a fault
of the program, named by its type and place because its text may quote a dataset.
"""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from dicom_node.spool import RESULTS
from inference.errors import Failure, PeerFailure, Refusal, SettingRefusal
from inference.marrow_findings import MarrowPolicy
from inference.pipeline import Detector
from inference.policies import Policies
from inference.sac_findings import SacAreaPolicy
from inference.spine_findings import FracturePolicy
from inference.stenosis import StenosisPolicy
from models.engine_choice import EngineChoice, why_no_openvino
from models.registry import DetectorSettings, load_detectors
from server.compose import open_spool, threads_per_worker
from server.events import configure, fault, frames_of
from server.inference_server import inference_server
from server.kernel import Value, Work
from server.memory import keep_freed_memory, spare_lasting_objects
from server.settings import OFF, Settings
from server.study_run import FINDINGS_NAME, MadeObject, RunContext, StudyRun, run_study, write_overlays


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


@dataclass(frozen=True, slots=True)
class ReaderFactory:
    """Makes the child's work; picklable, because the child is spawned."""

    settings: Settings

    def __call__(self) -> Work:
        """Load the models, in the child; where one is refused, every study fails with that sentence."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
        configure(self.settings.log_level)
        keep_freed_memory()
        try:
            reader = StudyReader(self.settings, load(self.settings))
        except PeerFailure as failure:  # each study asks again
            fault("inference_server_away", failure, reason=str(failure))
            return StudyReader(self.settings, None)
        except Refusal as refusal:
            fault("models_refused", reason=refusal.sentence)
            return partial(_cannot_read, f"The models cannot be used: {refusal.sentence}")
        spare_lasting_objects()
        return reader


def _cannot_read(reason: str, _request: Value) -> Value:
    return {"state": "failed", "reason": reason}


class StudyReader:
    """Reads one study per call, and writes its objects below the results folder."""

    def __init__(self, settings: Settings, detectors: tuple[Detector, ...] | None) -> None:
        """Keep the loaded detectors; None: they are loaded with the next study."""
        self._settings = settings
        self._detectors = detectors
        self._spool = open_spool(settings)

    def __call__(self, request: Value) -> Value:
        """``state``: done with what was made; refused, failed or away (the inference server) with the reason."""
        try:
            return self._read(request, self._loaded())
        except PeerFailure as failure:
            # What comes back may be another version: nothing is read before it was compared again.
            self._detectors = None
            return {"state": "away", "reason": str(failure)}
        except Refusal as refusal:
            return {"state": "refused", "reason": refusal.sentence}
        except Failure as failure:
            return {"state": "failed", "reason": str(failure)}
        except Exception as error:  # noqa: BLE001 - the boundary of one study: no fault of it may reach another study
            fault("study_fault", error, study_instance_uid=request["study_instance_uid"], revision=request["revision"])
            place = frames_of(error)[-1] if error.__traceback__ else "unknown place"
            return {"state": "failed", "reason": f"A fault of the program: {type(error).__name__} at {place}."}

    def _loaded(self) -> tuple[Detector, ...]:
        if self._detectors is None:
            try:
                self._detectors = load(self._settings)
            except Refusal as refusal:  # of a model, not of the study
                raise Failure(f"The models cannot be used: {refusal.sentence}") from refusal
        return self._detectors

    def _read(self, request: Value, detectors: tuple[Detector, ...]) -> Value:
        folder = f"{results_folder(request['study_instance_uid'], request['revision'])}/{request['reading']}"
        context = RunContext(
            created=datetime.fromtimestamp(request["content_at"], UTC),
            revision=request["revision"],
            predecessor=self._path(request["predecessor"]),
            ae_title=self._settings.ae_title,
            config_digest=config_digest(self._settings),
            earlier_review=request.get("earlier_review"),
            presentation_states=self._settings.presentation_states,
            text_report=self._settings.text_report != OFF,
            earlier_text=self._path(request.get("earlier_text")),
            key_images=self._settings.key_images != OFF,
        )
        run = run_study(
            [self._spool.path(path) for path in request["paths"]],
            detectors,
            lambda name, data: self._spool.write_result(f"{folder}/{name}", data),
            context,
            lambda _doing, _fraction: None,
        )
        if self._settings.overlays:
            self._write_overlays(run, folder)
        return _answer(run, folder)

    def _write_overlays(self, run: StudyRun, folder: str) -> None:
        root = self._spool.root
        for picture in write_overlays(run, root / folder):
            self._spool.upload(str(picture.relative_to(root)))

    def _path(self, relative: str | None) -> Path | None:
        return self._spool.path(relative) if relative else None


def results_folder(study_instance_uid: str, revision: int) -> str:
    """Where the objects of one revision are kept, relative to the spool's root.

    Each reading writes into a folder of its own below it: a worker that was taken for dead and goes on, perhaps with
    an older version of the software, never writes over what another one made and published.
    """
    fan_out = hashlib.sha256(study_instance_uid.encode()).hexdigest()[:2]
    return f"{RESULTS}/{fan_out}/{study_instance_uid}/r{revision}"


def result_values(made: Iterable[MadeObject], folder: str) -> list[dict[str, Any]]:
    """What was made, as values of the work queue; ``folder`` is relative to the spool's root."""
    return [
        {
            "role": item.role,
            "path": f"{folder}/{item.name}",
            "sop_instance_uid": item.sop_instance_uid,
            "sop_class_uid": item.sop_class_uid,
            "series_instance_uid": item.series_instance_uid,
            "sha256": item.sha256,
        }
        for item in made
    ]


def _answer(run: StudyRun, folder: str) -> Value:
    return {
        "state": "done",
        "findings_path": f"{folder}/{FINDINGS_NAME}",
        "findings_sha256": run.findings_sha256,
        "results": result_values(run.objects, folder),
        "seconds": round(run.seconds, 3),
        "notes": list(run.not_encoded),
    }
