"""Reads one study per call in the worker's child process, with the detectors loaded.

Everything that can go wrong with a study becomes a value here: a refusal of its input, a failure of ours, or a fault
of the program, named by its type and place because its text may quote a dataset.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from inference.errors import Failure, PeerFailure, Refusal
from inference.pipeline import Detector
from server.compose import open_spool
from server.detectors import config_digest, load
from server.events import fault, frames_of
from server.kernel import Value
from server.made_objects import result_values
from server.runs import results_folder
from server.settings import OFF, Settings
from server.study_run import FINDINGS_NAME, RunContext, StudyRun, run_study, write_overlays


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
        if self._spool.objects is None:
            write_overlays(run, self._spool.root / folder)
            return
        made = self._spool.new_tmp()
        try:
            for picture in write_overlays(run, made):
                self._spool.write_result(f"{folder}/{picture.relative_to(made)}", picture.read_bytes())
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def _path(self, relative: str | None) -> Path | None:
        return self._spool.path(relative) if relative else None


def _answer(run: StudyRun, folder: str) -> Value:
    return {
        "state": "done",
        "findings_path": f"{folder}/{FINDINGS_NAME}",
        "findings_sha256": run.findings_sha256,
        "results": result_values(run.objects, folder),
        "seconds": round(run.seconds, 3),
        "notes": list(run.not_encoded),
    }
