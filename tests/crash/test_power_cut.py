"""Power cuts while instances arrive, on a disk that keeps only what was flushed: nothing acknowledged is lost.

A kill -9 leaves what the kernel has; a power cut does not. `builders.power_disk` says what is lost.
`python -m benchmarks.power_cut` does the same for as long as one likes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from builders import power
from builders.cuts import cut_again_and_again
from builders.receiving import serve_for_ever, serve_unsynced

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(power.why_not() is not None, reason=f"no power can be cut here: {power.why_not()}"),
]


def test_nothing_that_was_acknowledged_is_lost_in_power_cuts(tmp_path: Path) -> None:
    result = cut_again_and_again(tmp_path, serve_for_ever, cuts=4, seed=3)
    assert result.acknowledged > 4
    assert result.lost == ()


def test_a_receiver_that_syncs_nothing_is_found_out(tmp_path: Path) -> None:
    result = cut_again_and_again(tmp_path, serve_unsynced, cuts=2, seed=3)
    assert result.acknowledged > 2
    assert result.lost
