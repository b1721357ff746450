"""How levels are written."""

from __future__ import annotations

import pytest

from claims.reading.levels import GroupKind, level_groups
from claims.reading.view import fold


def named(text: str) -> list[str]:
    return [" ".join(v.name for v in group.levels) for group in level_groups(fold(text, 0, len(text)))]


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("compression fracture of L1", ["L1"]),
        ("L-1 fracture", ["L1"]),
        ("L 1 fracture", ["L1"]),
        ("COMPRESSION FRACTURE OF T12", ["T12"]),
        ("Th12 and D11", ["T12 T11"]),
        ("fracture of L II", ["L2"]),
        ("LI and LIII fractures", ["L1 L3"]),
        ("the first lumbar vertebra", ["L1"]),
        ("12th thoracic vertebra", ["T12"]),
        ("lumbar 2 vertebral body", ["L2"]),
        ("L one and T twelve", ["L1 T12"]),
        ("T11 through L1", ["T11 T12 L1"]),
        ("T11-L1", ["T11 T12 L1"]),
        ("T11–L1", ["T11 T12 L1"]),
        ("T12 to L2 vertebral bodies", ["T12 L1 L2"]),
        ("L1, L3 and L4", ["L1 L3 L4"]),
        ("L1-3 and L5", ["L1 L2 L3 L5"]),
        ("T4, T6, 7, and 8", ["T4 T6 T7 T8"]),
        ("superior endplate of L2", ["L2"]),
        ("Fracture of L1, L2 is normal", ["L1", "L2"]),
        ("T1 compression fracture", ["T1"]),
        ("fracture at T2", ["T2"]),
        ("T1 through T3", ["T1 T2 T3"]),
        ("L1 measures 12 mm, 3 cm above", ["L1"]),
    ],
)
def test_levels_of_a_sentence(text: str, levels: list[str]) -> None:
    assert named(text) == levels


@pytest.mark.parametrize(
    "text",
    [
        "T1 and T2 weighted images",
        "Sagittal T1, T2 and STIR",
        "low T1 and high T2 signal",
        "T2 hyperintensity in the marrow",
        "low T1 fracture line",
        "L12 is no level",
        "LV function, TI 150 ms, CI scheme",
        "the S1 nerve root",
        "L1.5 mm slices",
    ],
)
def test_no_levels(text: str) -> None:
    assert named(text) == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("T12-L1 disc", GroupKind.DISC),
        ("L4/L5 disc protrusion", GroupKind.DISC),
        ("L1/L2", GroupKind.PAIR),
        ("T12-L1", GroupKind.PAIR),
        ("L1 and L2", GroupKind.BODIES),
        ("T11-L1", GroupKind.BODIES),
    ],
)
def test_two_neighbours_may_be_a_disc(text: str, kind: GroupKind) -> None:
    (group,) = level_groups(fold(text, 0, len(text)))
    assert group.kind is kind
