"""kill -9 of receiver and worker at random moments of receive, infer and deliver: nothing lost, nothing doubled.

`python -m benchmarks.kills --kills 1000` does the same for longer.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from builders.kills import kill_again_and_again

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

KILLS = 25
"""With those of test_receiver_kill.py, 50 in all."""


def test_nothing_is_lost_or_doubled_by_kills(tmp_path: Path) -> None:
    result = kill_again_and_again(tmp_path, kills=KILLS)
    assert result.instances == KILLS * 5
    assert result.reports >= KILLS
