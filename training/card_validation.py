"""The validation part of the model card: every figure comes from `metrics.json`, published ones from `published`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.published import FIGURES
from training.scores import MEASURES, STRUCTURES

HEADS = {"dice": "Dice", "nsd_1mm": "NSD", "hd95_mm": "HD95 mm"}
Metrics = Mapping[str, Any]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def figures(*scores: Mapping[str, float], digits: int = 3) -> list[str]:
    """The structures' figures of each score."""
    return [f"{score[name]:.{digits}f}" for score in scores for name in STRUCTURES]


def interval(score: Mapping[str, float], digits: int = 3) -> str:
    """A mean with its interval."""
    return f"{score['value']:.{digits}f} ({score['low']:.{digits}f} to {score['high']:.{digits}f})"


def share(score: Mapping[str, float]) -> str:
    """A share with its count and Wilson interval."""
    return f"{score['count']} of {score['of']}, {score['value']:.1%} ({score['low']:.1%} to {score['high']:.1%})"


def mean_table(head: str, scores: Mapping[str, Mapping[str, float]]) -> str:
    """One row of mean Dice for each name."""
    return table([head, *STRUCTURES], [[name, *figures(means)] for name, means in scores.items()])


def real_tables(real: Metrics) -> str:
    """Each T2 SPACE patient, then means with intervals."""
    head = ["patient", "slices", *[f"{HEADS[m]} {name}" for m in ("dice", "nsd_1mm") for name in STRUCTURES]]
    rows = [[row["patient"], str(row["slices"]), *figures(row["dice"], row["nsd_1mm"])] for row in real["patients"]]
    summary = real["summary"]
    rows += [[kind, "", *figures(summary["dice"][kind], summary["nsd_1mm"][kind])] for kind in ("mean", "min")]
    return "\n\n".join([table(head, rows), interval_table("T2 SPACE", {"kept back": real["intervals"]})])


def interval_table(head: str, groups: Mapping[str, Metrics]) -> str:
    """Mean and interval of each measure and structure."""
    rows = [
        [name, HEADS[m], *[interval(group[m][structure], 2 if m == "hd95_mm" else 3) for structure in STRUCTURES]]
        for name, group in groups.items()
        for m in MEASURES
    ]
    return table([head, "", *STRUCTURES], rows)


def carried_section(carried: Metrics) -> str:
    """T1 and T2 TSE by carried labels."""
    rows = carried["registrations"]
    refused = [row for row in rows if not row["accepted"]]
    lines = [f"- {row['patient']} {row['contrast']}: {'; '.join(row['faults'])}" for row in refused]
    absent = ", ".join(carried["patients_without_slice"])
    scores = {f"{name} ({group['patients']} patients)": group for name, group in carried["scores"].items()}
    parts = [
        f"{len(rows)} slices were registered, {len(rows) - len(refused)} believed. "
        "Rules, which look at no segmentation: "
        + _rules(carried["rules"])
        + (f" No slice of these T2 SPACE patients is at hand: {absent}." if absent else ""),
        *(["Refused, and in no figure below:\n\n" + "\n".join(lines)] if lines else []),
        interval_table("series", scores),
        "The same slices changed, mean Dice:",
        mean_table("change", _changed(carried["changed"])),
        "By vendor, field strength and sex, mean Dice; patients kept back and trained on together:",
        mean_table("group", _subgroups(carried["subgroups"])),
    ]
    return "\n\n".join(parts)


def _rules(rules: Metrics) -> str:
    return (
        f"stretched at most {rules['aspect']:g} times more one way than the other, turned by at most "
        f"{rules['turn_deg']:g} degrees, at least {rules['overlap']:.0%} of the SPACE slice "
        f"overlapping, edges of both images agreeing by {rules['edges']:g} or more (0 by chance, 1 where all run "
        "parallel)."
    )


def _changed(changed: Metrics) -> dict[str, Any]:
    return {
        f"{change}: {name} ({group['patients']})": group["mean_dice"]
        for change, groups in changed.items()
        for name, group in groups.items()
    }


def _subgroups(subgroups: Metrics) -> dict[str, Any]:
    return {
        f"{name} ({group['patients']})": group["mean_dice"]
        for groups in subgroups.values()
        for name, group in groups.items()
    }


def levels_section(levels: Metrics) -> str:
    """Level naming by series and group."""
    rows = [
        [
            name,
            share(part["whole_right"]),
            f"{part['right']} / {part['shifted']} / {part['missed']} of {part['discs']}",
            str(len(part["ambiguous"])),
            ", ".join(_wrong(row) for row in part["wrong"]) or "none",
        ]
        for name, part in levels.items()
    ]
    head = ["series", "every disc right, patients", "discs right / shifted / missed", "said ambiguous", "not right"]
    return table(head, rows)


def _wrong(row: Metrics) -> str:
    what = "shifted" if row["shifted"] else f"{row['missed']} missed"
    return f"{row['patient']} ({what}{', said ambiguous' if row['said_ambiguous'] else ''})"


def fractures_section(fractures: Metrics) -> str:
    """Calls on vertebrae that are not fractured."""
    rows = [
        [
            name,
            str(part["patients"]),
            share(part["called_of_not_fractured"]),
            share(part["patients_with_a_false_call"]),
            "; ".join(f"{reason}: {len(patients)}" for reason, patients in part["refused"].items()) or "none",
        ]
        for name, part in fractures.items()
    ]
    head = [
        "series",
        "patients measured",
        "called, of bodies not fractured",
        "patients with such a call",
        "not measured",
    ]
    calls = [
        f"- {name}: "
        + ", ".join(
            f"{c['patient']} {c['level']}{' (low to the eye)' if c['low_to_the_eye'] else ''}"
            for c in part["false_calls"]
        )
        for name, part in fractures.items()
        if part["false_calls"]
    ]
    known = sorted({f for part in fractures.values() for f in part["fractured"]})
    missed = sorted({f for part in fractures.values() for f in part["fractured_not_called"]})
    text = (
        f"Fractured to the eye and measured: {', '.join(known) or 'none'}; of these not called on some series: "
        f"{', '.join(missed) or 'none'}. Calls elsewhere:"
    )
    return "\n\n".join([table(head, rows), text, "\n".join(calls) or "none."])


def failures_section(failures: Sequence[Metrics]) -> str:
    """The worst cases, shown."""
    return "\n\n".join(
        f"![{row['structure']} of patient {row['patient']}]({row['file']})\n\n"
        f"{row['structure'].capitalize()}, patient {row['patient']} "
        f"({'kept back' if row['kept_back'] else 'T2 SPACE trained on'}), {row['series']}: Dice {row['dice']:.3f}."
        for row in failures
    )


def generated_section(metrics: Metrics) -> str:
    """The synthetic and the analytic tier; empty where they were not measured."""
    if not metrics.get("synthetic"):
        return ""
    analytic = metrics["analytic"]
    return (
        "\n### Synthetic: generated spines (not clinical accuracy)\n\n"
        "Generated people that training did not see, of the same generator. Mean Dice. Not measured: a family of\n"
        "shapes that the generator withheld from training.\n\n"
        + mean_table("generator", metrics["synthetic"])
        + "\n\n### Analytic: the reading on exact labels\n\n"
        f"{analytic['heights']} heights on the exact labels of the same generated spines: bias "
        f"{analytic['height_bias_mm']:+.2f} mm, deviation {analytic['height_deviation_mm']:.2f} mm; height loss of "
        f"{analytic['losses']} bodies: bias {analytic['loss_bias_percent']:+.1f}, deviation "
        f"{analytic['loss_deviation_percent']:.1f} percentage points.\n"
    )


def published_table() -> str:
    """What others published."""
    return table(["task", "figure", "source"], [[f.task, f.figure, f.source] for f in FIGURES])
