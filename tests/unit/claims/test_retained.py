"""The direction of a view from what its header says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims.retained import agreed, plane_of_angles, plane_of_orientation, plane_of_position
from claims.study import ViewPlane

F, L, O = ViewPlane.FRONTAL, ViewPlane.LATERAL, ViewPlane.OBLIQUE  # noqa: E741 - as radiographers abbreviate
ANGLES = st.floats(-720, 720)


@pytest.mark.parametrize(
    ("primary", "secondary", "plane"),
    [
        (0, 0, F), (180, 0, F), (-178, 12, F), (15, -30, F), (90, 0, L), (-88, 5, L), (270, 0, L), (45, 0, O),
        (-30, 10, O), (0, 60, O),
    ],
)  # fmt: skip
def test_angles(primary: float, secondary: float, plane: ViewPlane) -> None:
    assert plane_of_angles(primary, secondary) is plane


@given(ANGLES, st.floats(-90, 90))
def test_the_other_side_and_a_full_turn_are_the_same_direction(primary: float, secondary: float) -> None:
    """Away from a limit, where rounding decides."""
    if min(abs(abs(primary) % 90 - limit) for limit in (20, 70)) > 1e-6:
        plane = plane_of_angles(primary, secondary)
        assert plane_of_angles(-primary, -secondary) is plane
        assert plane_of_angles(primary + 360, secondary) is plane
        assert plane_of_angles(primary + 180, secondary) is plane


@pytest.mark.parametrize(
    ("position", "plane"), [("AP", F), ("pa ", F), ("LL", L), ("LLO", O), ("", None), ("XX", None)]
)
def test_view_position(position: str, plane: ViewPlane | None) -> None:
    assert plane_of_position(position) is plane


@pytest.mark.parametrize(
    ("orientation", "plane"),
    [
        (["L", "F"], F), (["R", "H"], F), (["A", "F"], L), (["P", "FL"], L), (["LA", "F"], O), (["LH", "F"], F),
        (["L", "P"], None), (["F", "L"], None), (["L"], None), ([], None), (["", ""], None), (["Q", "F"], None),
    ],
)  # fmt: skip
def test_patient_orientation(orientation: list[str], plane: ViewPlane | None) -> None:
    assert plane_of_orientation(orientation) is plane


def test_headers_that_disagree_say_nothing() -> None:
    assert agreed([F, None, F]) is F
    assert agreed([F, L]) is None
    assert agreed([None]) is None
