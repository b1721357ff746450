"""Seconds from the end of the quiet period to the SR at the peer, for a 30-slice MR study: generated, and real."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import Comprehensive3DSRStorage

from builders.dicom import SeriesPlan, write_series
from builders.node import Node
from builders.peers import StoreScp, store_with_storescu
from builders.phantom import phantom_plan
from builders.spider import spider_plan
from training.phantom import PhantomParameters, generate_spine
from training.spider import FOLDER, default_data_folder

SLICES = 30
QUIET_PERIOD_S = 3.0
TIMEOUT_S = 300.0
REAL_PATIENT = "209"
"""The SPIDER patient with 30 slices."""


def measure_latency(folder: Path, *, studies: int, say: Callable[[str], None]) -> dict[str, list[float]]:
    """Send `studies` studies of each kind one after another; the seconds of each. The first also loads the model."""
    kinds = {"generated": _generated}
    if (default_data_folder() / FOLDER).is_dir():
        kinds[f"real, SPIDER patient {REAL_PATIENT}"] = _real
    with StoreScp.started(folder / "archive") as archive:
        options = {"quiet-period": QUIET_PERIOD_S, "destination": f"ARCHIVE={archive.destination}"}
        with Node.started(folder / "node", options=options) as node:
            found: dict[str, list[float]] = {}
            for kind, make in kinds.items():
                say(f"latency: {studies} studies, {kind}")
                plans = [make(number) for number in range(studies)]
                found[kind] = [_one_study(folder / kind, plan, node, archive) for plan in plans]
            return found


def _generated(number: int) -> SeriesPlan:
    parameters = PhantomParameters(
        seed=number + 1, slices=SLICES, slice_spacing_mm=3.3, fractures={"L1": ("crush", 0.4)}
    )
    return phantom_plan(generate_spine(parameters), study=f"bench {number}")


def _real(number: int) -> SeriesPlan:
    """The same images each time, as another study."""
    return replace(spider_plan(default_data_folder(), REAL_PATIENT), study=f"bench real {number}")


def _one_study(folder: Path, plan: SeriesPlan, node: Node, archive: StoreScp) -> float:
    paths = write_series(folder / plan.study, plan)
    earlier = set(archive.folder.glob("SR*"))
    outcome = store_with_storescu(paths, node.dicom_port, called=node.ae_title)
    if outcome.returncode:
        raise RuntimeError(f"storescu ended with {outcome.returncode}: {outcome.stderr[-2000:]}")
    complete_at = time.monotonic() + QUIET_PERIOD_S
    while not _has_report(set(archive.folder.glob("SR*")) - earlier, plan.study_instance_uid):
        if time.monotonic() > complete_at + TIMEOUT_S:
            raise RuntimeError(f"no SR after {TIMEOUT_S:g} s; see {node.log}")
        time.sleep(0.02)
    return time.monotonic() - complete_at


def _has_report(arrived: set[Path], study_instance_uid: str) -> bool:
    """Only what is new is opened: looking at all of them, fifty times a second, would take time from the node."""
    return any(_is_report_of(path, study_instance_uid) for path in arrived)


def _is_report_of(path: Path, study_instance_uid: str) -> bool:
    try:
        dataset = pydicom.dcmread(path, specific_tags=["SOPClassUID", "StudyInstanceUID"])
    except (InvalidDicomError, EOFError):
        return False  # still being written
    found = (dataset.get("SOPClassUID"), dataset.get("StudyInstanceUID"))
    return found == (Comprehensive3DSRStorage, study_instance_uid)
