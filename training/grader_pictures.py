"""Pictures of the discs that the grader gets most wrong: T1 and T2 crop side by side, the disc's outline in green.

The pixel data is SPIDER's (CC BY 4.0); whoever shows a picture names the source beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.disc_crops import CHANNELS, Contrast
from models.disc_grades import OUTPUTS, PFIRRMANN_STEPS, pfirrmann_of
from training.grader_data import Samples
from training.grader_scores import Answers
from training.pictures import GREYS, TRUTH, border, grey_levels, indexed

ZOOM = 2
GAP = 4
"""Pixels between the two crops."""
WORST_GRADES = 2
NUMERALS = ("I", "II", "III", "IV", "V")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One answer that differs most from the radiologist's."""

    answer: str
    disc: int
    """Place in the samples."""
    truth: str
    said: str

    def as_row(self, samples: Samples, file: str) -> dict[str, Any]:
        """What is written about it."""
        return {
            "answer": self.answer,
            "patient": str(samples.patients[self.disc]),
            "level": str(samples.levels[self.disc]),
            "truth": self.truth,
            "said": self.said,
            "file": file,
        }


def mistakes(answers: Answers, samples: Samples) -> Iterator[Mistake]:
    """The Pfirrmann grades furthest off, and of each sign the surest false alarm and the surest miss."""
    steps = len(PFIRRMANN_STEPS)
    graded = np.flatnonzero(np.isfinite(answers.probability[:, 0]))
    truth = samples.targets[graded, :steps].sum(axis=1).astype(int)
    found = pfirrmann_of(answers.probability[graded]).astype(int) - 1
    expected = answers.probability[graded, :steps].sum(axis=1)
    for place in np.argsort(-np.abs(expected - truth), kind="stable")[:WORST_GRADES]:
        yield Mistake(
            answer="pfirrmann", disc=int(graded[place]), truth=NUMERALS[truth[place]], said=NUMERALS[found[place]]
        )
    for column in range(steps, len(OUTPUTS)):
        probability, true = answers.probability[:, column], samples.targets[:, column] == 1
        wrong = answers.sure[:, column] & (answers.yes[:, column] != true)
        for present, surest in ((False, np.argmax), (True, np.argmin)):
            candidates = np.flatnonzero(wrong & (true == present))
            if candidates.size:
                disc = int(candidates[surest(probability[candidates])])
                words = ("absent", "present") if present else ("present", "absent")
                said = f"{words[0]} (p {probability[disc]:.2f})"
                yield Mistake(answer=str(OUTPUTS[column]), disc=disc, truth=words[1], said=said)


def draw_mistakes(answers: Answers, samples: Samples, folder: Path) -> list[dict[str, Any]]:
    """Write a picture of each mistake into the folder, which is emptied first; return what they show."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    rows = []
    for mistake in mistakes(answers, samples):
        patient, level = samples.patients[mistake.disc], samples.levels[mistake.disc]
        name = f"{mistake.answer}_{mistake.truth}_{patient}_{level}.png".lower()
        indexed(_picture(samples, mistake.disc)).save(folder / name, optimize=True)
        rows.append(mistake.as_row(samples, f"{folder.name}/{name}"))
    return rows


def _picture(samples: Samples, disc: int) -> np.ndarray:
    """Both contrasts as palette places; a contrast that is missing is black."""
    parts = samples.images[disc].astype(np.float32).reshape(len(Contrast), len(CHANNELS), *samples.images.shape[2:])
    crops = []
    for signal, _vertebra, outline, _canal in parts:
        large = Image.fromarray(grey_levels(signal)).resize(
            (ZOOM * signal.shape[1], ZOOM * signal.shape[0]), Image.Resampling.BILINEAR
        )
        crop = np.asarray(large) // (256 // GREYS)
        mask = np.kron(outline >= 0.5, np.ones((ZOOM, ZOOM), bool))  # noqa: PLR2004 - half of a resampled outline
        crop[border(mask)] = TRUTH
        crops += [crop, np.zeros((crop.shape[0], GAP), crop.dtype)]
    return np.concatenate(crops[:-1], axis=1)
