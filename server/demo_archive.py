"""The demo's archive: a storage SCP on loopback, in a process of its own, that files what it receives.

Run as ``python -m server.demo_archive PORT FOLDER``. An instance is filed under its study as ``SR-<uid>.dcm``,
written aside and
then renamed, so that a file that is there is whole.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage
from pynetdicom import AE, evt
from pynetdicom.events import Event

VERIFICATION = "1.2.840.10008.1.1"
"""PS3.4 A.4."""
AE_TITLE = "DEMOARCHIVE"
HOST = "127.0.0.1"
LOOK_S = 1.0
SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
"""PS3.4 B.2.3: the peer may send it again."""


def file_instance(event: Event, folder: Path) -> int:
    """Keep one instance; returns the status of PS3.4 table B.2-1."""
    dataset = event.dataset
    name = f"{dataset.get('Modality', 'OT')}-{dataset.SOPInstanceUID}.dcm"
    place = folder / str(dataset.StudyInstanceUID)
    try:
        place.mkdir(parents=True, exist_ok=True)
        aside = place / f"{name}.part"
        aside.write_bytes(event.encoded_dataset())
        aside.rename(place / name)
    except OSError:
        return OUT_OF_RESOURCES
    return SUCCESS


def serve(port: int, folder: Path, stop: threading.Event) -> None:
    """Answer C-ECHO and C-STORE of SR and SEG until told to stop."""
    application = AE(ae_title=AE_TITLE)
    for context in (Comprehensive3DSRStorage, SegmentationStorage, VERIFICATION):
        application.add_supported_context(context)
    application.start_server((HOST, port), block=False, evt_handlers=[(evt.EVT_C_STORE, file_instance, [folder])])
    parent = os.getppid()
    while not stop.wait(LOOK_S) and os.getppid() == parent:
        pass  # a demo that was killed cannot say so: this process is then given to another parent
    application.shutdown()


def main() -> None:
    """Serve until SIGTERM; Ctrl-C belongs to the demo, which ends this process itself."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(int(sys.argv[1]), Path(sys.argv[2]), stop)


if __name__ == "__main__":
    main()
