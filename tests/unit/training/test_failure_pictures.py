"""Which answers the cards of the disc grader and the axial sac show as failures, and that the pictures show them."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra train")
pytest.importorskip("sklearn", reason="training needs the extra train")

from PIL import Image  # noqa: E402

from models.axial_crops import SIDE as AXIAL_SIDE  # noqa: E402
from models.disc_crops import CHANNELS, SIDE, Contrast  # noqa: E402
from models.disc_grades import OUTPUTS, Sign  # noqa: E402
from training.axial_pictures import draw_worst_sacs, worst_rows  # noqa: E402
from training.axial_scores import Case  # noqa: E402
from training.grader_data import Samples  # noqa: E402
from training.grader_pictures import draw_mistakes, mistakes  # noqa: E402
from training.grader_scores import Answers  # noqa: E402

MODIC = OUTPUTS.index(Sign.MODIC)


def graded(truth, probability, *, sure=True):
    """Discs of one patient each, with one channel of signal and a square outline."""
    count = len(truth)
    images = np.zeros((count, len(Contrast) * len(CHANNELS), SIDE, SIDE), np.float16)
    images[:, 0] = np.linspace(0, 1, SIDE)
    images[:, 2, 30:50, 20:70] = 1
    samples = Samples(
        images=images,
        shown=np.ones((count, 2), bool),
        targets=np.asarray(truth, np.float32),
        slips=np.full((count, 2), np.nan, np.float32),
        levels=np.array(["L4-L5"] * count),
        patients=np.array([str(n) for n in range(count)]),
        folds=np.zeros(count, int),
        subgroups=np.array(["Philips, 3 T, F"] * count),
    )
    probability = np.asarray(probability, float)
    answers = Answers(probability=probability, yes=probability >= 0.5, sure=np.full(probability.shape, sure))
    return answers, samples


@pytest.fixture
def discs():
    """Five discs, right in everything but: 1 has a Modic change missed at 0.2, 2 at 0.1; 3 and 4 a false one."""
    truth = np.zeros((5, len(OUTPUTS)))
    probability = np.full(truth.shape, 0.1)
    truth[[1, 2], MODIC] = 1
    probability[[1, 2, 3, 4], MODIC] = (0.2, 0.1, 0.7, 0.9)
    return truth, probability


def test_the_surest_false_alarm_and_the_surest_miss_of_a_sign_are_shown(discs):
    shown = {(m.answer, m.truth): m for m in mistakes(*graded(*discs)) if m.answer == "modic"}
    assert {key: m.disc for key, m in shown.items()} == {("modic", "absent"): 4, ("modic", "present"): 2}
    assert shown["modic", "absent"].said == "present (p 0.90)"
    assert shown["modic", "present"].said == "absent (p 0.10)"


def test_what_the_product_leaves_open_is_no_mistake(discs):
    assert {m.answer for m in mistakes(*graded(*discs, sure=False))} == {"pfirrmann"}


def test_the_grades_furthest_off_are_shown_first(discs):
    truth, probability = discs
    truth[3, :4] = 1
    truth[0, 0] = 1
    found = [(m.disc, m.truth, m.said) for m in mistakes(*graded(truth, probability)) if m.answer == "pfirrmann"]
    assert found == [(3, "V", "I"), (0, "II", "I")]


def test_each_mistake_has_its_picture_with_the_outline_and_old_ones_are_gone(tmp_path, discs):
    (tmp_path / "failures").mkdir()
    (tmp_path / "failures" / "old.png").write_bytes(b"")
    rows = draw_mistakes(*graded(*discs), tmp_path / "failures")
    assert {path.name for path in (tmp_path / "failures").iterdir()} == {row["file"].split("/")[1] for row in rows}
    for row in rows:
        pixels = np.asarray(Image.open(tmp_path / row["file"]).convert("RGB")).astype(int)
        green = np.argwhere((pixels[..., 1] - pixels[..., 0]) > 100)
        assert green.min(axis=0).tolist() == [60, 40]
        assert green.max(axis=0).tolist() == [99, 139]


def test_the_worst_sacs_are_of_different_patients_and_drawn_where_they_are(tmp_path):
    rows = [
        {"patient": "7", "area": 100.0, "area_error": 5.0, "dice": 0.9},
        {"patient": "7", "area": 100.0, "area_error": -9.0, "dice": 0.8},
        {"patient": "8", "found": False},
        {"patient": "9", "area": 100.0, "area_error": 7.0, "dice": 0.9},
    ]
    assert worst_rows(rows) == [1, 3]
    sac = np.zeros((AXIAL_SIDE, AXIAL_SIDE), np.float32)
    sac[40:60, 50:70] = 1
    known = np.zeros((1, AXIAL_SIDE), np.float32)
    known[:, 45:80] = 1
    cases = [Case(patient=row["patient"], signal=sac + 0.1, sac=sac, known=known) for row in rows]
    shown = draw_worst_sacs(lambda crops: np.roll(crops - 0.1, 6, axis=2), [(cases, rows)], tmp_path / "failures")
    assert [row["patient"] for row in shown] == ["7", "9"]
    for row in shown:
        pixels = np.asarray(Image.open(tmp_path / row["file"]).convert("RGB")).astype(int)
        red = np.argwhere((pixels[..., 0] - pixels[..., 1]) > 100)
        green = np.argwhere((pixels[..., 1] - pixels[..., 0]) > 100)
        assert red[:, 1].max() == 2 * 76 - 1  # six pixels to the right of the truth
        assert green[:, 1].min() == 2 * 50
