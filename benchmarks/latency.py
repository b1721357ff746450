"""Seconds from the end of the quiet period to the SR at the peer, for a generated 30-slice MR study."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import Comprehensive3DSRStorage

from builders.node import Node
from builders.peers import StoreScp, store_with_storescu
from builders.phantom import phantom_study
from training.phantom import PhantomParameters

SLICES = 30
QUIET_PERIOD_S = 3.0
TIMEOUT_S = 300.0


def measure_latency(folder: Path, *, studies: int, say: Callable[[str], None]) -> list[float]:
    """Send `studies` studies one after another; the seconds of each. The first one also loads the model."""
    with StoreScp.started(folder / "archive") as archive:
        options = {"quiet-period": QUIET_PERIOD_S, "destination": f"ARCHIVE={archive.destination}"}
        with Node.started(folder / "node", options=options) as node:
            return [_one_study(folder, number, node, archive, say) for number in range(studies)]


def _one_study(folder: Path, number: int, node: Node, archive: StoreScp, say: Callable[[str], None]) -> float:
    parameters = PhantomParameters(
        seed=number + 1, slices=SLICES, slice_spacing_mm=3.3, fractures={"L1": ("crush", 0.4)}
    )
    say(f"latency: generating study {number + 1}")
    plan, paths = phantom_study(folder / f"study-{number}", parameters, study=f"bench {number}")
    say(f"latency: study {number + 1}")
    outcome = store_with_storescu(paths, node.dicom_port, called=node.ae_title)
    if outcome.returncode:
        raise RuntimeError(f"storescu ended with {outcome.returncode}: {outcome.stderr[-2000:]}")
    complete_at = time.monotonic() + QUIET_PERIOD_S
    while not _has_report(archive.folder, plan.study_instance_uid):
        if time.monotonic() > complete_at + TIMEOUT_S:
            raise RuntimeError(f"no SR after {TIMEOUT_S:g} s; see {node.log}")
        time.sleep(0.02)
    return time.monotonic() - complete_at


def _has_report(folder: Path, study_instance_uid: str) -> bool:
    return any(_is_report_of(path, study_instance_uid) for path in folder.glob("SR*"))


def _is_report_of(path: Path, study_instance_uid: str) -> bool:
    try:
        dataset = pydicom.dcmread(path, specific_tags=["SOPClassUID", "StudyInstanceUID"])
    except (InvalidDicomError, EOFError):
        return False  # still being written
    found = (dataset.get("SOPClassUID"), dataset.get("StudyInstanceUID"))
    return found == (Comprehensive3DSRStorage, study_instance_uid)
