"""``make demo``: a generated MR study with one crushed vertebra goes through the node to a loopback archive.

Nothing but this machine takes part, and nothing is downloaded. ``STUDY=folder`` sends that folder instead;
``DEMO_EXIT=1`` ends after the findings. Everything is written below ``demo-data`` (``DEMO_DIR`` names another folder).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console

from dicom_node.reader import index_studies
from inference.errors import Failure, Refusal, UsageRefusal
from inference.findings.encode import decode
from server.commands.infer import findings_table
from server.demo_archive import AE_TITLE as ARCHIVE_AE_TITLE
from server.demo_node import (
    NODE_AE_TITLE,
    QUIET_PERIOD_S,
    DemoFailure,
    Places,
    choose_port,
    last_line,
    newest_run,
    open_deliveries,
    send,
    start_archive,
    start_node,
    stop,
    wait_for,
)
from server.demo_study import write_demo_study
from server.output import wide_console

MARKER = ".spine-demo"
"""A folder with this file was made by the demo, and may be emptied by the next one."""
READ_WITHIN_S = 600.0
DONE, FAILED, REFUSED = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the environment asks for."""

    root: Path
    study: Path | None
    ends: bool

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Wish:
        """Read DEMO_DIR, STUDY and DEMO_EXIT.

        Raises:
            UsageRefusal: STUDY is not there.
        """
        study = Path(environment["STUDY"]) if environment.get("STUDY") else None
        if study is not None and not study.exists():
            raise UsageRefusal(f"STUDY must be a folder with a DICOM study, there is no {study}.")
        root = Path(environment.get("DEMO_DIR") or "demo-data").absolute()
        return cls(root=root, study=study, ends=environment.get("DEMO_EXIT", "") not in ("", "0"))


def main() -> None:
    """Run the demo, and leave with its exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # an orderly end takes the processes along
    sys.exit(run(os.environ))


def run(environment: Mapping[str, str]) -> int:
    """Run the demo; returns the exit code."""
    console = wide_console()
    try:
        _show(Wish.of(environment), console)
    except Refusal as refusal:
        sys.stderr.write(refusal.sentence + "\n")
        return REFUSED
    except Failure as failure:
        sys.stderr.write(f"{failure}\n")
        return FAILED
    except KeyboardInterrupt:
        console.print("Stopped.")
    return DONE


def _show(wish: Wish, console: Console) -> None:
    started = time.monotonic()
    places = _prepare(wish.root)
    study = wish.study
    if study is None:
        study = places.root / "study"
        console.print(f"Generating an MR study with a crushed L1 (synthetic) in {study}", markup=False)
        write_demo_study(study)
    uids = [index.study_instance_uid for index in index_studies([study])]
    with _processes(places, console) as node:
        console.print(send(study, places), markup=False)
        console.print(f"Waiting for the study to be complete (no new instance for {QUIET_PERIOD_S} s) and read ...")
        _wait_for_results(places, uids, node)
        for uid in uids:
            _report(places, uid, console)
        console.print(f"{time.monotonic() - started:.0f} s from start to here.")
        if not wish.ends:
            _keep_serving(places, node, console)


def _wait_for_results(places: Places, uids: Sequence[str], node: subprocess.Popen[bytes]) -> None:
    def is_read() -> bool:
        return all(newest_run(places, uid) is not None for uid in uids)

    wait_for(is_read, "findings", node, places.node_log, READ_WITHIN_S)
    wait_for(lambda: open_deliveries(places) == 0, "SR and SEG at the archive", node, places.node_log, READ_WITHIN_S)


def _prepare(root: Path) -> Places:
    """Empty the folder of an earlier demo, and choose ports."""
    if root.exists() and any(root.iterdir()):
        if not (root / MARKER).is_file():
            raise UsageRefusal(f"{root} must be empty or of an earlier demo; move it away or set DEMO_DIR.")
        shutil.rmtree(root)
    root.mkdir(parents=True, exist_ok=True)
    (root / MARKER).touch()
    (root / "archive").mkdir()
    ports = [choose_port(wanted) for wanted in (11112, 8080, 11113)]
    return Places(root=root, dicom_port=ports[0], http_port=ports[1], archive_port=ports[2])


@contextmanager
def _processes(places: Places, console: Console) -> Iterator[subprocess.Popen[bytes]]:
    """Archive and node, running; yields the node."""
    archive = start_archive(places)
    node = None
    try:
        console.print(f"Archive {ARCHIVE_AE_TITLE} listens on port {places.archive_port}", markup=False)
        node = start_node(places)
        console.print(f"Node {NODE_AE_TITLE} listens on port {places.dicom_port}, {places.url}", markup=False)
        yield node
    finally:
        for process in (node, archive):
            if process is not None:
                stop(process)


def _report(places: Places, study_instance_uid: str, console: Console) -> None:
    """Print the findings of one study and where everything is."""
    newest = newest_run(places, study_instance_uid)
    if newest is None or newest["state"] != "done":
        reason = newest["reason"] if newest else last_line(places.node_log)
        raise DemoFailure(f"Study {study_instance_uid} was not read: {reason}")
    address = f"{places.url}/api/v1/studies/{study_instance_uid}"
    answer = httpx.get(f"{address}/findings", timeout=10.0, trust_env=False)
    answer.raise_for_status()
    console.print(findings_table(decode(answer.content)))
    received = sorted((places.archive / study_instance_uid).glob("*.dcm"))
    if not any(path.name.startswith("SR-") for path in received):
        raise DemoFailure(
            f"No SR of study {study_instance_uid} reached the archive; see {places.url}/api/v1/deliveries."
        )
    made = places.node_data / "results"
    local = [*sorted(made.glob(f"*/{study_instance_uid}/**/findings.json"))]
    pictures = sorted(made.glob(f"*/{study_instance_uid}/*/**/*.png"))
    for name, paths in (("findings", local), ("at the archive", received), ("overlays", pictures)):
        for path in paths:
            console.print(f"{name:>15}: {path}", markup=False, soft_wrap=True)
    viewer = f"{places.url}/viewer?StudyInstanceUIDs={study_instance_uid}"
    pages = {"study": address, "findings": f"{address}/findings", "API": f"{places.url}/api/docs"}
    for name, url in (pages | {"worklist": f"{places.url}/", "viewer": viewer}).items():
        console.print(f"{name:>15}: {url}", markup=False, soft_wrap=True)


def _keep_serving(places: Places, node: subprocess.Popen[bytes], console: Console) -> None:
    console.print(f"Serving until Ctrl-C; send to {NODE_AE_TITLE}@127.0.0.1:{places.dicom_port}", markup=False)
    code = node.wait()
    raise DemoFailure(f"The node ended with code {code}: {last_line(places.node_log)}")


if __name__ == "__main__":
    main()
