"""``spine-node send``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from dicom_node import scu
from dicom_node.delivery import SendOutcome, Verdict
from inference.errors import PeerFailure, UsageRefusal
from server.dicom_trust import require_tls
from server.options import with_settings
from server.outbound import dicom_destination
from server.peers import parse_dicom_peer
from server.settings import Settings

_BATCH = 64


@with_settings
def command(
    settings: Settings,
    path: Annotated[Path, typer.Argument(help="File, or folder that is searched for files.")],
    peer: Annotated[
        str, typer.Argument(metavar="AET@HOST:PORT", help="Where to send it; dicoms://AET@HOST:PORT by TLS.")
    ],
) -> None:
    """Send files by C-STORE, as they are."""
    address = parse_dicom_peer(peer)
    require_tls(address, settings)
    destination = dicom_destination(address, settings)
    files = _instances(path)
    outcomes: list[SendOutcome] = []
    console = Console(stderr=True)
    batches = [files[i : i + _BATCH] for i in range(0, len(files), _BATCH)]
    for batch in track(
        batches, description="sending", console=console, transient=True, disable=not console.is_terminal
    ):
        outcomes.extend(scu.send(batch, destination))
    accepted = sum(outcome.verdict is Verdict.ACCEPTED for outcome in outcomes)
    typer.echo(f"{accepted} of {len(files)} instances were accepted by {peer}.")
    others = [outcome for outcome in outcomes if outcome.verdict is not Verdict.ACCEPTED]
    if others:
        raise PeerFailure(f"{len(others)} instances were not accepted; the first: {others[0].sentence}.")


def _instances(path: Path) -> list[Path]:
    """Files with the DICOM prefix at byte 128 (PS3.10 7.1), in the order of their names."""
    if not path.exists():
        raise UsageRefusal(f"There is no folder or file {path}.")
    candidates = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    files = [file for file in candidates if _has_prefix(file)]
    if not files:
        raise UsageRefusal(f"No DICOM file is in {path}.")
    return files


def _has_prefix(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(132)[128:] == b"DICM"
