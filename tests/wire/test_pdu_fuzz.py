"""Broken units at a served receiver: `python -m benchmarks.fuzz` sends a million, this a few thousand."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders.pdu_fuzz import fuzz

UNITS = 6000
MORE_MIB = 20.0
"""Allowed between a fifth of the units and the end: the allocator's own."""


@pytest.mark.slow
def test_broken_units_neither_end_nor_fill_the_receiver(tmp_path: Path) -> None:
    result = fuzz(tmp_path, units=UNITS)
    assert result.units >= UNITS
    assert result.tracebacks == 0
    early, late = result.memory_mib
    assert late < early + MORE_MIB
