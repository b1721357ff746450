"""What the networks inside a grader's bundle say of patients that they have not seen, without the run they came from.

A bundle holds the networks fold by fold, as many for each, so that a network's place tells which patients it has seen.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from training.grader_data import Samples
from training.midsagittal import FOLD_SEED, FOLDS

BATCH = 32


class OtherFoldsError(ValueError):
    """The bundle's networks were not trained on the folds that the samples are split into."""


def training_of(bundle: Path) -> dict[str, Any]:
    """How a bundle's networks were trained, from its metadata.

    Raises:
        OtherFoldsError: on other folds than ours.
    """
    training: dict[str, Any] = json.loads((bundle / "configs" / "metadata.json").read_text())["spine"]["training"]
    if (training["folds"], training["fold_seed"]) != (FOLDS, FOLD_SEED):
        theirs = f"{training['folds']} folds with seed {training['fold_seed']}"
        raise OtherFoldsError(f"{bundle.name}: {theirs}, must be {FOLDS} with {FOLD_SEED}")
    return training


def shipped_logits(bundle: Path, samples: Samples) -> NDArray[np.float64]:
    """Mean logits (disc, output) of a bundle's networks that have not seen a disc's patient.

    Raises:
        OtherFoldsError: the networks were trained on other folds than ours, or are not as many for each.
    """
    of_fold = training_of(bundle)["members_per_fold"]
    session = onnxruntime.InferenceSession(str(bundle / "models" / "model.onnx"), providers=["CPUExecutionProvider"])
    logits = np.zeros(samples.targets.shape)
    for start in range(0, len(samples.images), BATCH):
        part = slice(start, start + BATCH)
        (found,) = session.run(["logits"], {"image": samples.images[part].astype(np.float32)})
        if found.shape[1] != FOLDS * of_fold:
            raise OtherFoldsError(
                f"{bundle.name}: {found.shape[1]} networks, must be {of_fold} for each of {FOLDS} folds"
            )
        by_fold = found.reshape(len(found), FOLDS, of_fold, -1).mean(axis=2)
        logits[part] = by_fold[np.arange(len(found)), samples.folds[part]]
    return logits
