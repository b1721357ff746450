"""``python -m benchmarks.bare_reading FOLDER SECONDS``: reads one study again and again on one thread, without a node.

What two of these reach on two cores is all that two workers can: cores may share caches, memory or a chip.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from models.registry import DetectorSettings, load_detectors
from server.study_run import RunContext, run_study

MODEL = "mr_sagittal_segmentation"


def main(folder: Path, seconds: float) -> None:
    """Print studies a minute, of whole readings within about that time; the first reading only warms up."""
    detectors = load_detectors(DetectorSettings(threads=1), [MODEL])
    paths = sorted(folder.rglob("*.dcm"))
    context = RunContext(created=datetime.now(UTC))

    def read() -> None:
        run_study(paths, detectors, lambda _name, _data: None, context, lambda _doing, _share: None)

    read()
    began = time.monotonic()
    count = 0
    while time.monotonic() - began < seconds:
        read()
        count += 1
    print(60 * count / (time.monotonic() - began))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
