"""Figures that others published for the same tasks, to be printed beside ours (models.md 1.2, 1.3, 1.9).

They were measured on other images by other people, so that a difference is no comparison of methods. What models.md
marks as quoted from memory is marked so here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One figure of another work."""

    task: str
    figure: str
    source: str


FIGURES = (
    Published(
        task="Dice vertebra / disc / canal, two human readers",
        figure="0.93 to 0.95",
        source="models.md 1.9, unverified",
    ),
    Published(
        task="Dice vertebra / disc / canal, MR, best seen",
        figure="0.93 / 0.97 / 0.96",
        source="models.md 1.9; SPINEPS, arXiv 2402.16368",
    ),
    Published(
        task="Dice vertebra, SPIDER test set",
        figure="0.929 (SPINEPS), 0.907 (nnU-Net)",
        source="arXiv 2402.16368",
    ),
    Published(
        task="Dice vertebra / disc / canal, SPIDER hidden set, its baseline",
        figure="0.93 / 0.85 / 0.92",
        source="arXiv 2306.12217; numbers unverified",
    ),
    Published(
        task="Dice vertebra / disc, MR, TotalSegmentator's own test",
        figure="0.918 / 0.871",
        source="its results_all_classes_mr.json",
    ),
    Published(
        task="Every vertebra named right, T2, whole spine in view",
        figure="98.3 % of people (94.2 % before)",
        source="VERIDAH, arXiv 2601.14066",
    ),
    Published(
        task="Height loss >= 25 %, CT, 590 people",
        figure="sensitivity 78.0 %, specificity 94.2 %",
        source="HealthOST, Diagnostics 2025;15:1530",
    ),
    Published(
        task="Fracture, two human readers, chest CT, per patient",
        figure="kappa 0.56 to 0.81; height loss +- 12.5 % between readers",
        source="PMC3733867",
    ),
)
