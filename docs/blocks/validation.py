"""Validation figures, from nothing but the committed ``metrics.json`` of each model bundle."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from docs.blocks.markdown import table

BUNDLES = Path(__file__).parent.parent.parent / "models" / "bundles"
MEASURES = {"dice": "Dice", "nsd_1mm": "surface within 1 mm"}


def validation() -> str:
    """One table for each bundle that was measured, and the command that measured it."""
    parts = [_bundle(json.loads(path.read_text())) for path in sorted(BUNDLES.glob("*/docs/metrics.json"))]
    return "\n\n".join(parts) or "No bundle has been measured: there is no `metrics.json` yet."


def _bundle(metrics: dict[str, Any]) -> str:
    return RENDERERS[metrics["schema"]](metrics)


def _grader(metrics: dict[str, Any]) -> str:
    model, scores = metrics["model"], metrics["scores"]
    grades = scores["pfirrmann"]
    rows = [
        ("Pfirrmann grade", str(grades["graded"]), "", f"quadratic: {_interval(grades['kappa_quadratic'])}", "", "")
    ]
    rows += [
        (
            name.replace("_", " "),
            str(score["graded"]),
            _interval(score["auc"]),
            _interval(score["kappa"]),
            f"{score['unsure']:.0%}",
            _interval(score["kappa_when_sure"]),
        )
        for name, score in scores.items()
        if isinstance(score, dict) and "auc" in score
    ]
    intro = (
        f"**{model['name']} {model['version']}** on {scores['discs']} discs of {scores['patients']} patients, "
        f"{metrics['data']} ({metrics['protocol']}; 95 % intervals over patients), by "
        f"`python -m training.export_grader`. Within one Pfirrmann grade: {_interval(grades['within_one_grade'])}. "
        "A disc is graded for what its series show; where neither answer is sure, it is left open."
    )
    return "\n\n".join([intro, table(("", "graded", "AUC", "kappa", "left open", "kappa of the rest"), rows)])


def _interval(score: dict[str, float]) -> str:
    return f"{score['value']:.2f} ({score['low']:.2f} to {score['high']:.2f})"


def _segmenter(metrics: dict[str, Any]) -> str:
    model, real = metrics["model"], metrics["real"]
    summary = real["summary"]
    structures = list(next(iter(summary.values()))["mean"])
    rows = [
        (f"{MEASURES[measure]}, {kind} of patients", *(f"{summary[measure][kind][name]:.3f}" for name in structures))
        for measure in summary
        for kind in ("mean", "min")
    ]
    rows += [
        (f"Dice, mean; simulated: {name}", *(f"{scores[structure]:.3f}" for structure in structures))
        for name, scores in metrics["simulated"].items()
    ]
    intro = (
        f"**{model['name']} {model['version']}** on {len(real['patients'])} patients kept back of {real['data']} "
        f"({metrics['protocol']}), by `python -m training.evaluate`:"
    )
    return "\n\n".join([intro, table(("", *structures), rows)])


def _sac(metrics: dict[str, Any]) -> str:
    model, made = metrics["model"], metrics["generated"]
    tiers = {
        "kept-back patients, reformatted (real signal)": metrics["real"]["summary"],
        "drawn scenes (synthetic)": metrics["drawn"]["summary"],
        "generated spines, whole detector (synthetic)": made,
    }
    rows = [
        (
            name,
            str(tier.get("crops", tier.get("measured"))),
            f"{tier['dice']:.3f}" if "dice" in tier else "",
            *(f"{tier[key]['bias']:+.1f} (SD {tier[key]['sd']:.1f})" for key in ("area", "area_percent", "ap")),
        )
        for name, tier in tiers.items()
    ]
    cutoffs = "; ".join(
        f"under {name}: sensitivity {row['sensitivity']:.2f}, specificity {row['specificity']:.2f}"
        for name, row in made["cutoffs"].items()
    )
    intro = (
        f"**{model['name']} {model['version']}**: no axial acquisition with labels was at hand. "
        f"{metrics['real']['data']}; "
        f"drawn and generated images beside it, by `python -m training.export_axial`. On generated spines: {cutoffs}."
    )
    heads = ("", "sacs", "Dice", "area error, mm2", "area error, %", "front-to-back error, mm")
    return "\n\n".join([intro, table(heads, rows)])


RENDERERS: Mapping[str, Callable[[dict[str, Any]], str]] = {
    "spine-metrics/1": _segmenter,
    "spine-grading-metrics/1": _grader,
    "spine-sac-metrics/1": _sac,
}
"""By the schema of ``metrics.json``."""
