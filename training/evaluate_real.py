"""The real tier of the validation report: T2 SPACE, labels carried over to T1 and T2, and slices without labels.

Patients kept back are told from those whose T2 SPACE images were trained on, everywhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from inference.spine_findings import FracturePolicy
from models.disc_crops import Contrast
from training.carried_cases import Registered, carried_case, coarse_case, register_all, suppressed_cases
from training.carried_labels import Rules
from training.cases import Case, Reader, place_volume
from training.fracture_calls import Calls, count_calls, read_calls
from training.level_naming import Naming, compare_names, number_discs, summarise_names
from training.midsagittal import GradedPatient
from training.pictures import Scored
from training.scores import Row, intervals, mean_scores, score, summarise
from training.spider import SPACING_MM, Patient, list_slices, read_patients, split_patients

POLICY = FracturePolicy()
GROUPS = ("kept back", "trained on")
FACTS = ("vendor", "field", "sex")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """One case, scored."""

    case: Case
    found: NDArray[np.uint8]
    row: Row
    naming: Naming
    calls: Calls

    @property
    def group(self) -> str:
        """Kept back or trained on."""
        return GROUPS[0] if self.case.kept_back else GROUPS[1]

    @property
    def scored(self) -> Scored:
        """What a picture needs."""
        return self.case, self.found, self.row


def space_case(patient: Patient, *, kept_back: bool) -> Case:
    """A T2 SPACE volume with its own labels."""
    return Case(
        patient=patient.name,
        series="T2 SPACE",
        kept_back=kept_back,
        volume=place_volume(patient.voxels, SPACING_MM),
        labels=patient.labels,
        levels=number_discs(patient.labels),
        spacing_mm=SPACING_MM,
    )


def assess(reader: Reader, case: Case, *, scored: bool = True) -> Outcome:
    """Outline, read and score one case; without scores where the network was trained on it."""
    answer = reader.answer(case.volume)
    row: Row = {"patient": case.patient, "slices": len(case.labels)}
    if scored:
        row |= score(answer.found, case.labels, case.spacing_mm)
    return Outcome(
        case=case,
        found=answer.found,
        row=row,
        naming=compare_names(case.levels, answer.reading),
        calls=read_calls(case.patient, answer, POLICY),
    )


def read_space(reader: Reader, data: Path) -> tuple[list[Outcome], list[Outcome]]:
    """The patients kept back, scored; and those trained on, whose images and outlines are dropped after reading."""
    split = split_patients(list(list_slices(data)))
    kept_back = [
        assess(reader, space_case(read_patients(data, (name,))[0], kept_back=True))
        for name in track(split.validation, description="T2 SPACE, kept back")
    ]
    trained = [
        _light(assess(reader, space_case(read_patients(data, (name,))[0], kept_back=False), scored=False))
        for name in track(split.training, description="T2 SPACE, trained on")
    ]
    return kept_back, trained


def _light(outcome: Outcome) -> Outcome:
    case = outcome.case
    nothing = np.zeros((1, 1, 1), np.uint8)
    small = Case(
        patient=case.patient,
        series=case.series,
        kept_back=case.kept_back,
        volume=place_volume(nothing, SPACING_MM),
        labels=nothing,
        levels=nothing,
        spacing_mm=SPACING_MM,
    )
    return Outcome(case=small, found=nothing, row=outcome.row, naming=outcome.naming, calls=outcome.calls)


def real_section(kept_back: Sequence[Outcome]) -> dict[str, Any]:
    """Each T2 SPACE patient kept back, with means and intervals."""
    rows = [outcome.row for outcome in kept_back]
    return {"data": "SPIDER T2 SPACE", "patients": rows, "summary": summarise(rows), "intervals": intervals(rows)}


def find_registrations(data: Path, graded: Sequence[GradedPatient], cache: Path) -> list[Registered]:
    """Every T1 and T2 slice of a T2 SPACE patient, registered."""
    names = tuple(list_slices(data))
    split = split_patients(list(names))
    patients = read_patients(data, (*split.validation, *split.training))
    return register_all(patients, {p.name: p for p in graded}, split.validation, cache)


def read_carried(reader: Reader, registered: Sequence[Registered]) -> list[Outcome]:
    """Every slice whose registration is believed."""
    accepted = [one for one in registered if not one.faults]
    return [assess(reader, carried_case(one)) for one in track(accepted, description="carried labels")]


def carried_section(
    reader: Reader, registered: Sequence[Registered], outcomes: Sequence[Outcome], without_slice: Sequence[str]
) -> dict[str, Any]:
    """What was registered and refused, and the scores by contrast and group."""
    accepted = [one for one in registered if not one.faults]
    coarse = [assess(reader, coarse_case(one)) for one in track(accepted, description="1 mm pixels")]
    stir = [assess(reader, case) for case in track(list(suppressed_cases(accepted)), description="simulated STIR")]
    return {
        "data": "SPIDER mid-sagittal T1 and T2, labels of T2 SPACE carried over by registration",
        "rules": asdict(Rules()),
        "registrations": [one.as_row() for one in registered],
        "patients_without_slice": list(without_slice),
        "scores": grouped(outcomes, lambda o: f"{o.case.series}, {o.group}"),
        "changed": {
            "resampled to 1 mm pixels": grouped(coarse, lambda o: f"{o.case.series}, {o.group}"),
            "simulated STIR": grouped(stir, lambda o: o.group),
        },
        "subgroups": {fact: grouped(outcomes, _by_fact(fact)) for fact in FACTS},
        "patients": [{"series": o.case.series, "kept_back": o.case.kept_back, **o.row} for o in outcomes],
    }


def _by_fact(fact: str) -> Callable[[Outcome], str]:
    return lambda outcome: f"{outcome.case.series}, {outcome.case.facts[fact]}"


def grouped(outcomes: Iterable[Outcome], key: Callable[[Outcome], str]) -> dict[str, Any]:
    """Means with intervals of each group; a group has one series of each patient."""
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for outcome in outcomes:
        groups[key(outcome)].append(outcome.row)
    return {
        name: {"patients": len(rows), "mean_dice": mean_scores([row["dice"] for row in rows]), **intervals(rows)}
        for name, rows in sorted(groups.items())
    }


def levels_section(space: Sequence[Outcome], carried: Sequence[Outcome]) -> dict[str, Any]:
    """Level naming by series and group."""
    named: defaultdict[str, list[tuple[str, Naming]]] = defaultdict(list)
    for outcome in (*space, *carried):
        named[f"{outcome.case.series}, {outcome.group}"].append((outcome.case.patient, outcome.naming))
    return {name: summarise_names(pairs) for name, pairs in named.items()}


def fractures_section(reader: Reader, space: Sequence[Outcome], graded: Sequence[GradedPatient]) -> dict[str, Any]:
    """Fracture calls on T2 SPACE by group, and on all mid-sagittal slices by contrast."""
    calls: defaultdict[str, list[Calls]] = defaultdict(list)
    for outcome in space:
        calls[f"T2 SPACE, {outcome.group}"].append(outcome.calls)
    for patient in track(graded, description="slices without labels"):
        for contrast in Contrast:
            if contrast in patient.series:
                answer = reader.answer(patient.series[contrast])
                calls[f"mid-sagittal {contrast}, one slice"].append(read_calls(patient.name, answer, POLICY))
    return {name: count_calls(series, POLICY) for name, series in calls.items()}
