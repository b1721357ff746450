"""Pictures of the crops on which the axial sac's area is furthest off: truth in green, ours in red.

Real signal is SPIDER's (CC BY 4.0); whoever shows a picture names the source beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.axial_scores import Case, Predict
from training.pictures import FOUND, GREYS, TRUTH, border, grey_levels, indexed

ZOOM = 2
WORST = 3


def worst_rows(rows: Sequence[dict[str, Any]]) -> list[int]:
    """The places of the largest errors of area, one for each patient or scene."""
    order = sorted(
        (place for place, row in enumerate(rows) if "area" in row), key=lambda place: -abs(rows[place]["area_error"])
    )
    firsts = {rows[place]["patient"]: place for place in reversed(order)}
    return [place for place in order if firsts[rows[place]["patient"]] == place][:WORST]


def draw_worst_sacs(
    predict: Predict, tiers: Sequence[tuple[Sequence[Case], Sequence[dict[str, Any]]]], folder: Path
) -> list[dict[str, Any]]:
    """Write a picture of the worst crops of each tier into the folder, which is emptied first; return what they show.

    Args:
        predict: the sac's probability on crops.
        tiers: cases with their rows of scores, in the same order.
        folder: of the pictures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    shown = []
    for cases, rows in tiers:
        for place in worst_rows(rows):
            case, row = cases[place], rows[place]
            found = predict(case.signal[None])[0]
            name = f"{row['patient']}_{place}.png".replace(" ", "_")
            _picture(case, found).save(folder / name, optimize=True)
            shown.append(
                {
                    "patient": row["patient"],
                    "area": round(float(row["area"]), 1),
                    "error": round(float(row["area_error"]), 1),
                    "dice": round(float(row["dice"]), 3),
                    "file": f"{folder.name}/{name}",
                }
            )
    return shown


def _picture(case: Case, found: NDArray[np.float32]) -> Image.Image:
    """The crop with both outlines inside what is known; what is not known is dimmed."""
    size = (ZOOM * case.signal.shape[1], ZOOM * case.signal.shape[0])
    large = np.asarray(Image.fromarray(grey_levels(case.signal)).resize(size, Image.Resampling.BILINEAR))
    known = np.broadcast_to(case.known > 0, case.signal.shape)
    places = large // (256 // GREYS) // np.where(_enlarge(known), 1, 2).astype(np.uint8)
    for mask, colour in ((case.sac, TRUTH), (found, FOUND)):
        places[border(_enlarge((mask >= 0.5) & known))] = colour  # noqa: PLR2004 - more sac than not
    return indexed(places)


def _enlarge(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(np.kron(mask, np.ones((ZOOM, ZOOM), np.bool_)))
