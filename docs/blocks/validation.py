"""Validation figures, from nothing but the committed ``metrics.json`` of each model bundle."""

from __future__ import annotations

import json
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
