"""Measure what the limits of motion rest on: `python -m training.measure_motion --data DIR`.

Takes the middle slice of every SPIDER T2 SPACE patient and every n-th mid-sagittal T1 and T2 slice, as they are,
interpolated as scanners do (zero-filling) and after simulated movements (`training.motion`). Prints how many show
ripple, so that nothing is measured on them, how many are refused, and what goes wrong on the others: outlines against
those of the same slice unmoved (Dice), fractures that were not there, levels under another name. Simulated movement
only: no real moved series was at hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from inference.errors import ReasonCode, SeriesRefusal
from inference.geometry import Volume
from inference.measure import read_sagittal
from inference.measure.motion import RIPPLE, ripple
from inference.measure.reading import HeightLoss, SpineReading
from inference.spine_findings import FracturePolicy
from training.cases import Reader, load_reader, place_volume
from training.midsagittal import read_graded
from training.motion import draw_movement, move, zero_filled
from training.scores import score_dice
from training.spider import default_data_folder, list_slices, read_patients

SPACE_MM = (3.6, 0.46875, 0.46875)
BANDS = ((0.0, 0.7), (0.7, 0.9), (0.9, 1.01))
"""Smaller of the Dice of vertebrae and discs: spoiled, worse, as before."""
WINDOWS = (1.0, 0.1)
"""Of k-space before zero-filling, at its edge: none, and a Hamming-like one."""
NAMED_SHARE = 0.3
"""Of a body of the unmoved slice, that one of the moved slice must cover to be the same body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one moved slice."""

    dice: float
    warned: bool
    code: ReasonCode | None
    """Why it was refused."""
    false_fracture: bool
    """A fracture would be called that the unmoved slice does not have, were nothing refused."""
    wrong_level: bool
    """A body would get another name than on the unmoved slice, with no word about it."""


def slices_of(data: Path, every: int) -> Iterator[tuple[str, Volume]]:
    """One slice of a patient each."""
    for patient in read_patients(data, tuple(list_slices(data))):
        yield "T2 SPACE", place_volume(patient.voxels[len(patient.voxels) // 2][None], SPACE_MM)
    for graded in read_graded(data)[::every]:
        for contrast, volume in graded.series.items():
            yield f"mid-sagittal {contrast}", volume


def outcome_of(detector: Reader, still: Volume, rng: np.random.Generator) -> Outcome:
    """Move a slice and read it."""
    before, found = _unguarded(detector, still), detector.outline(still)
    pixels = move(still.voxels[0], still.spacing_mm[1:], draw_movement(rng))
    moved = replace(still, voxels=pixels[None])
    dice = score_dice(detector.outline(moved), found)
    after = _unguarded(detector, moved)
    return Outcome(
        dice=min(dice["vertebra"], dice["disc"]),
        warned=ripple(pixels, still.spacing_mm[1:]) >= RIPPLE,
        code=_refusal(detector, moved),
        false_fracture=bool(_fractured(after) - _fractured(before)),
        wrong_level=not (after is None or after.numbering.ambiguous) and _is_renamed(before, after),
    )


def _unguarded(detector: Reader, volume: Volume) -> SpineReading | None:
    """The reading that no test of the image has looked at."""
    try:
        return read_sagittal(volume, detector.segment(volume, lambda _doing, _share: None))
    except SeriesRefusal:
        return None


def _refusal(detector: Reader, volume: Volume) -> ReasonCode | None:
    try:
        detector.read_spine(volume, lambda _doing, _share: None)
    except SeriesRefusal as refusal:
        return refusal.code
    return None


def _fractured(reading: SpineReading | None) -> set[str]:
    vertebrae = () if reading is None else reading.vertebrae
    return {v.level.name for v in vertebrae if isinstance(v.loss, HeightLoss) and FracturePolicy().is_present(v.loss)}


def _is_renamed(before: SpineReading | None, after: SpineReading) -> bool:
    pairs = [] if before is None else [(a, b) for a in before.vertebrae for b in after.vertebrae]
    return any(a.level is not b.level and (a.body & b.body).sum() > NAMED_SHARE * a.body.sum() for a, b in pairs)


def main(
    *,
    data: Annotated[Path | None, typer.Option(help="Folder of the real images.")] = None,
    every: Annotated[int, typer.Option(help="Take every n-th mid-sagittal patient only.")] = 6,
    movements: Annotated[int, typer.Option(help="Movements of each slice.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the movements.")] = 1,
) -> None:
    """Print the counts on unmoved slices of each kind, then on moved ones by what the movement did to the outlines."""
    detector, rng = load_reader(), np.random.default_rng(seed)
    unmoved: dict[str, list[tuple[float, ReasonCode | None]]] = {}
    interpolated: list[float] = []
    outcomes: list[Outcome] = []
    for kind, volume in slices_of(data or default_data_folder(), every):
        strength, code = ripple(volume.voxels[0], volume.spacing_mm[1:]), _refusal(detector, volume)
        unmoved.setdefault(kind, []).append((strength, code))
        interpolated += [ripple(zero_filled(volume.voxels[0], w), volume.spacing_mm[1:]) for w in WINDOWS]
        if code is None:
            outcomes += [outcome_of(detector, volume, rng) for _ in range(movements)]
    for kind, slices in unmoved.items():
        warned = sum(strength >= RIPPLE for strength, _ in slices)
        refused = sum(code is ReasonCode.MOTION for _, code in slices)
        largest = max(strength for strength, _ in slices)
        typer.echo(f"{kind}: {len(slices)} slices, {warned} with ripple, {refused} refused, ripple up to {largest:.3f}")
    seen = sum(strength >= RIPPLE for strength in interpolated)
    typer.echo(f"zero-filled: {len(interpolated)} slices, {seen} with ripple, ripple up to {max(interpolated):.3f}")
    for low, high in BANDS:
        typer.echo(
            f"moved, Dice {low:.1f} to {min(high, 1):.1f}: {_summary([o for o in outcomes if low <= o.dice < high])}"
        )


def _summary(outcomes: Sequence[Outcome]) -> str:
    read = [o for o in outcomes if o.code is None]
    measured = [o for o in read if not o.warned]
    return (
        f"{len(outcomes)} slices, {sum(o.warned for o in outcomes)} with ripple, "
        f"{sum(o.code is ReasonCode.MOTION for o in outcomes)} refused for motion, "
        f"{sum(o.code not in (None, ReasonCode.MOTION) for o in outcomes)} otherwise; "
        f"{len(measured)} measured; with a false fracture {sum(o.false_fracture for o in outcomes)}, measured "
        f"{sum(o.false_fracture for o in measured)}; with an unmentioned wrong level "
        f"{sum(o.wrong_level for o in outcomes)}, not refused {sum(o.wrong_level for o in read)}"
    )


if __name__ == "__main__":
    typer.run(main)
