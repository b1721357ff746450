"""Status tables and the back-off schedule."""

from __future__ import annotations

import pytest

from dicom_node.delivery import STORE_STATUS, STORE_STATUS_RANGES, BackOff, Verdict, rule_context, rule_http, rule_store

ACCEPTED, REFUSED, FAILED = Verdict.ACCEPTED, Verdict.REFUSED, Verdict.FAILED


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (0x0000, ACCEPTED),
        (0xB000, ACCEPTED),
        (0xB006, ACCEPTED),
        (0xB007, ACCEPTED),
        (0x0111, ACCEPTED),
        (0xA700, FAILED),
        (0xA7FF, FAILED),
        (0xA900, REFUSED),
        (0xA9FF, REFUSED),
        (0xC000, REFUSED),
        (0xCFFF, REFUSED),
        (0x0122, REFUSED),
        (0x0124, REFUSED),
        (0x0110, FAILED),
        (0xA800, FAILED),
        (0xFFFF, FAILED),
    ],
)
def test_store_status(status, verdict):
    assert rule_store(status).verdict is verdict


def test_no_single_status_lies_in_a_range():
    inside = [s for s in STORE_STATUS for first, last, _ in STORE_STATUS_RANGES if first <= s <= last]
    assert inside == []


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, ACCEPTED),
        (204, ACCEPTED),
        (302, FAILED),
        (400, REFUSED),
        (401, REFUSED),
        (404, REFUSED),
        (408, FAILED),
        (413, REFUSED),
        (415, REFUSED),
        (429, FAILED),
        (500, FAILED),
        (501, REFUSED),
        (503, FAILED),
    ],
)
def test_http_status(status, verdict):
    assert rule_http(status).verdict is verdict


@pytest.mark.parametrize(("result", "verdict"), [(1, FAILED), (2, FAILED), (3, REFUSED), (4, REFUSED), (0, FAILED)])
def test_rejected_presentation_context(result, verdict):
    assert rule_context(result).verdict is verdict


def test_back_off_doubles_up_to_its_longest_and_ends():
    schedule = BackOff(first_s=10, longest_s=60, attempts=6)
    assert [schedule.delay_s(n) for n in range(1, 7)] == [10, 20, 40, 60, 60, None]
    assert schedule.delay_s(1000) is None


def test_the_default_schedule_survives_a_weekend():
    schedule = BackOff()
    waits = [schedule.delay_s(n) or 0 for n in range(1, schedule.attempts + 1)]
    assert sum(waits) > 60 * 3600
    assert max(waits) == 3600


def test_back_off_counts_from_one():
    with pytest.raises(ValueError, match="attempts_made must be 1 or more, got 0"):
        BackOff().delay_s(0)
