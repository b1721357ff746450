"""Which direction a retained view was taken in, from what its header says: never from its pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from claims.study import ViewPlane

TOLERANCE_DEG = 20.0
"""Farthest from straight that a frontal or lateral view may lie; our own choice: a disc is looked at along its tilt."""
TILT_DEG = 45.0
"""Farthest towards the head or the feet; beyond, the view is neither frontal nor lateral. Our own choice."""
_POSITIONS: Mapping[str, ViewPlane] = {
    "AP": ViewPlane.FRONTAL,
    "PA": ViewPlane.FRONTAL,
    "LL": ViewPlane.LATERAL,
    "RL": ViewPlane.LATERAL,
    "RLD": ViewPlane.LATERAL,
    "LLD": ViewPlane.LATERAL,
    "RLO": ViewPlane.OBLIQUE,
    "LLO": ViewPlane.OBLIQUE,
}
"""View Position (0018,5101) of radiography and fluoroscopy (PS3.3 C.8.7.1.1.1)."""
_ACROSS: Mapping[frozenset[str], ViewPlane] = {
    frozenset("L"): ViewPlane.FRONTAL,
    frozenset("R"): ViewPlane.FRONTAL,
    frozenset("A"): ViewPlane.LATERAL,
    frozenset("P"): ViewPlane.LATERAL,
    frozenset("LA"): ViewPlane.OBLIQUE,
    frozenset("LP"): ViewPlane.OBLIQUE,
    frozenset("RA"): ViewPlane.OBLIQUE,
    frozenset("RP"): ViewPlane.OBLIQUE,
}
_ALONG = ({"H"}, {"F"})
_STRAIGHT_DEG = 180.0


def plane_of_angles(primary_deg: float, secondary_deg: float) -> ViewPlane:
    """The direction by the positioner's angles (PS3.3 C.8.7.5.1.2).

    Args:
        primary_deg: Positioner Primary Angle (0018,1510): 0 with the receptor in front of the patient, 90 at the left
            hand, -90 at the right, 180 at the back.
        secondary_deg: Positioner Secondary Angle (0018,1511): towards the head positive.
    """
    turned = abs(primary_deg) % (2 * _STRAIGHT_DEG)
    turned = min(turned, 2 * _STRAIGHT_DEG - turned)
    if abs(secondary_deg) > TILT_DEG:
        return ViewPlane.OBLIQUE
    if min(turned, _STRAIGHT_DEG - turned) <= TOLERANCE_DEG:
        return ViewPlane.FRONTAL
    return ViewPlane.LATERAL if abs(turned - _STRAIGHT_DEG / 2) <= TOLERANCE_DEG else ViewPlane.OBLIQUE


def plane_of_position(view_position: str) -> ViewPlane | None:
    """The direction by View Position; None where it names none that is known here."""
    return _POSITIONS.get(view_position.strip().upper())


def plane_of_orientation(patient_orientation: Sequence[str]) -> ViewPlane | None:
    """The direction by Patient Orientation (0020,0020; PS3.3 C.7.6.1.1.1): rows across, columns along the body.

    Head and feet may stand beside the main letter; an image turned on its side says nothing here.
    """
    if len(patient_orientation) != 2:  # noqa: PLR2004 - of the row and of the column
        return None
    row, column = (set(value.strip().upper()) for value in patient_orientation)
    if not any(main <= column for main in _ALONG):
        return None
    return _ACROSS.get(frozenset(row - {"H", "F"}))


def agreed(planes: Sequence[ViewPlane | None]) -> ViewPlane | None:
    """The one direction that all name that name one; None where none does, or two differ."""
    named = {plane for plane in planes if plane is not None}
    return named.pop() if len(named) == 1 else None
