"""What a disc grader is shown, what it may answer from that, and how the answers reach the document."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference.anatomy import Disc, Numbering, Vertebra
from inference.errors import BundleRefusal, ReasonCode, SeriesRefusal
from inference.findings import Absent, Calibration, NotAssessed, Present, Question
from inference.geometry import FrameReference, Volume
from inference.measure import read_sagittal
from inference.measure.reading import (
    BodySize,
    DiscReading,
    Slip,
    SlipReading,
    SpineReading,
    Unmeasured,
    VertebraReading,
)
from inference.policies import Policies
from inference.provenance import ModelIdentity
from inference.series.role import SeriesRole
from models.bundle import Bundle
from models.disc_crops import CHANNELS, SIDE, STEP_MM, Contrast, view_discs
from models.disc_grades import OUTPUTS, Scale, Sign, Vote, pfirrmann_of
from models.disc_slips import USUAL_SACRAL_GAP_PERCENT, slip_size, slips_of
from models.mr_disc_grader import MrDiscGrader
from models.mr_sagittal import MrSagittalDetector
from training.phantom import PhantomParameters, generate_labels

SHAPE = (3, 160, 140)
GONE = Unmeasured(reason=ReasonCode.UNCERTAIN, sentence="not measured here")
T1, T2 = SeriesRole.MR_SAGITTAL_T1, SeriesRole.MR_SAGITTAL_T2


def volume(voxels=None, uid="2.25.9"):
    sources = tuple(FrameReference(sop_class_uid="1.2", sop_instance_uid=f"2.25.{n + 1}") for n in range(SHAPE[0]))
    affine = np.array([[4.0, 0, 0, 0], [0, 0, 0.5, 0], [0, -0.5, 0, 0], [0, 0, 0, 1]])
    filled = np.random.default_rng(0).normal(size=SHAPE) if voxels is None else voxels
    return Volume(voxels=filled.astype(np.float32), affine=affine, sources=sources, series_instance_uid=uid)


def reading(*levels, size=None, down=(0.0, 2.0, 0.0), back=(0.0, 0.0, 2.0), centre=(1.0, 80.0, 70.0)):
    mask = np.zeros(SHAPE, bool)
    mask[1, 76:84, 40:100] = True
    discs = tuple(
        DiscReading(
            level=level, mask=mask, centre_index=centre, down_index=down, back_index=back,
            height=GONE, anterior_height=GONE, posterior_height=GONE,
        )
        for level in levels
    )  # fmt: skip
    vertebra = VertebraReading(
        level=Vertebra.L4, mask=~mask, body=~mask, centre_index=centre, touches_edge=False, heights=GONE, loss=GONE
    )
    return SpineReading(
        numbering=Numbering(method="counted_from_sacrum", ambiguous=False, note=""), vertebrae=(vertebra,), discs=discs,
        canal=np.zeros(SHAPE, bool), canal_levels=(), midsagittal_slice=1, size=size,
    )  # fmt: skip


L4_L5 = Disc.under(Vertebra.L4)
L5_S1 = Disc.under(Vertebra.L5)


def ramp(row, column):
    """Signal that tells the row and the column it was taken at."""
    k, r, c = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
    return (row * r + column * c + 1000 * (k != 1)).astype(np.float32)


def test_a_crop_runs_along_the_disc_to_the_feet_and_to_the_back_in_steps_of_the_bodies_size():
    size = BodySize(height=1.2, depth=0.8)
    tilted = reading(L4_L5, size=size, down=(0.0, 1.6, 1.2), back=(0.0, -1.2, 1.6))
    view = view_discs(tilted, volume(ramp(1.0, 0.0)))
    signal = view[0, 0]
    scale = signal[SIDE // 2 + 1, SIDE // 2] - signal[SIDE // 2, SIDE // 2]
    across = signal[SIDE // 2, SIDE // 2 + 1] - signal[SIDE // 2, SIDE // 2]
    # One step down is 0.7 x 1.2 mm of 1.6 rows, one step back 0.7 x 0.8 mm of -1.2 rows.
    assert across / scale == pytest.approx((STEP_MM * 0.8 * -1.2) / (STEP_MM * 1.2 * 1.6), rel=1e-3)
    assert view.shape == (1, len(CHANNELS), SIDE, SIDE)


def test_the_signal_is_that_of_the_discs_own_slice_with_mean_0_and_deviation_1():
    view = view_discs(reading(L4_L5, L5_S1, centre=(0.7, 80.0, 70.0)), volume(ramp(1.0, 1.0)))
    assert view[:, 0].mean() == pytest.approx(0, abs=1e-3)
    assert view[:, 0].std() == pytest.approx(1, abs=1e-3)  # slices 0 and 2 are 1000 higher: none is mixed in


def test_outlines_lie_where_the_disc_is():
    view = view_discs(reading(L4_L5), volume())
    disc = view[0, CHANNELS.index("disc")] > 0.5
    rows = np.flatnonzero(disc[:, SIDE // 2])
    assert len(rows) * STEP_MM == pytest.approx(8 * 0.5, abs=STEP_MM)
    assert not disc[0].any()
    assert not disc[-1].any()


class Engine:
    """Gives the same logits for every disc, by two members that differ by a little."""

    def __init__(self, **logits):
        self.logits = np.array([logits.get(name.replace(">=", ""), -4.0) for name in OUTPUTS], np.float32)
        self.images = []

    def run(self, image):
        self.images.append(image)
        return np.stack([self.logits - 0.1, self.logits + 0.1])[None]


class Segmenter(MrSagittalDetector):
    """Knows its readings by volume; a volume that it does not know shows no spine."""

    def __init__(self, known):
        self.known, self._policies = known, Policies()

    def read_spine(self, volume, _progress):
        for v, found in self.known:
            if v is volume:
                return found
        raise SeriesRefusal("no spine", code=ReasonCode.BODY_PART)


def bundle(**changes):
    plain = {"slip": 0.0, "no_slip": 0.0}
    scale = plain | {"slope": 1.0, "offset": 0.0, "threshold": 0.4, "unsure_above": 0.3, "unsure_below": 0.45}
    scales = dict.fromkeys(OUTPUTS, scale) | {Sign.LISTHESIS: scale | {"slip": 0.25, "no_slip": -1.0}}
    spine = {"scales": scales} | changes
    return Bundle(
        folder=None, identity=ModelIdentity(name="mr_disc_grading", version="1", sha256="0" * 64, training_data="x"),
        detector="mr_disc_grading", spacing_mm=(0.7, 0.7), context_slices=1, multiple_of=SIDE,
        labels=dict(enumerate(OUTPUTS)), metadata={"spine": spine},
    )  # fmt: skip


def grade(known, by_role, **logits):
    engine = Engine(**logits)
    grader = MrDiscGrader(bundle(), engine, Segmenter(known))
    chosen = next(iter(by_role.values()))
    result = grader.read(chosen, "1.2.3", lambda _doing, _share: None, by_role)
    engine.unread = result.unread
    return {(f.question, f.site.level, f.site.endplate): f for f in result.findings}, engine


def spine(lowest):
    """A generated spine in the patient's frame, its lowest vertebra called as told, its count in no doubt."""
    phantom = generate_labels(PhantomParameters(rows=320, columns=256, spacing_mm=0.9375, slices=3, seed=2))
    sources = tuple(FrameReference(sop_class_uid="1.2", sop_instance_uid=f"1.2.{n}") for n in range(3))
    shown = Volume(
        voxels=phantom.labels.astype(np.float32), affine=phantom.affine, sources=sources,
        series_instance_uid=f"1.{lowest.value}", frame_of_reference_uid="1.9",
    )  # fmt: skip
    found = read_sagittal(shown, np.stack([phantom.labels == label for label in range(4)]).astype(np.float32), lowest)
    return shown, replace(found, numbering=Numbering(method="counted_from_sacrum", ambiguous=False, note="x"))


def test_discs_that_two_series_count_differently_are_graded_in_pairs_and_the_numbering_is_ambiguous():
    """Used to grade the T1 of one disc with the T2 of the next."""
    known = [spine(Vertebra.L5), spine(Vertebra.L4)]
    engine = Engine()
    grader = MrDiscGrader(bundle(), engine, Segmenter(known))
    (t2, first), (t1, _) = known
    result = grader.read(t2, "1.2.3", lambda _doing, _share: None, {T2: t2, T1: t1})
    assert len(engine.images) == len(first.discs)
    for image in engine.images:
        on_t1, on_t2 = image[0].reshape(len(Contrast), len(CHANNELS), SIDE, SIDE)
        assert np.abs(on_t1[1:] - on_t2[1:]).mean() < 0.03  # as large as the level says, so nearly the same crop
    assert result.numbering.ambiguous
    assert "On the T1 series the vertebra that is called" in result.numbering.note
    assert [code for code, _ in result.warnings] == [ReasonCode.NUMBERING]


def test_both_contrasts_give_every_answer_with_its_probability():
    t1, t2 = volume(uid="2.25.1"), volume(uid="2.25.2")
    known = [(t1, reading(L4_L5)), (t2, reading(L4_L5, L5_S1))]
    found, engine = grade(known, {T2: t2, T1: t1}, pfirrmann2=3.0, pfirrmann3=1.0, pfirrmann4=-1.0, modic=0.0)
    disc = found[Question.DISC_DEGENERATION, "L4-L5", None]
    assert disc.assessment == Present()
    assert [(g.scale, g.value) for g in disc.grades] == [("pfirrmann", "3")]
    assert disc.probability == pytest.approx(1 / (1 + np.exp(-1.0)), abs=1e-3)
    modic = found[Question.MODIC, "L4-L5", None]
    assert (modic.assessment, modic.probability, modic.calibration) == (Present(), 0.5, Calibration.REAL)
    assert not modic.grades  # no body beside the disc is outlined here
    assert modic.note.startswith("Modic type not told (E_GEOMETRY): the T1 series cannot be used: the two series show")
    assert modic.operating_point == "probability >= 0.4"
    assert found[Question.DISC_BULGING, "L4-L5", None].assessment == Absent()
    assert found[Question.ENDPLATE_CHANGE, "L4", "inferior"].assessment == Absent()
    assert found[Question.ENDPLATE_CHANGE, "L5", "superior"].assessment == Absent()
    # L5-S1 is not on the T1 series: its T1 channels are empty, and the Modic question stays open.
    assert np.abs(engine.images[1][0, : len(CHANNELS)]).max() == 0
    assert np.abs(engine.images[1][0, len(CHANNELS) :]).max() > 0
    open_question = found[Question.MODIC, "L5-S1", None].assessment
    assert isinstance(open_question, NotAssessed)
    assert open_question.reason is ReasonCode.MISSING_SERIES
    assert "T1" in open_question.sentence
    assert len({f.id for f in found.values()}) == len(found)


def slipped(percent, gap=None):
    """A reading of L4-L5 and L5-S1 with this slip of L4, its millimetres unknown, and none of L5, but a gap."""
    slip = Slip(offset=GONE, percent=percent, percent_uncertainty=1.0)
    sacrum = Unmeasured(reason=ReasonCode.NO_MODEL, sentence="the sacrum is not outlined")
    slips = (SlipReading(level=L4_L5, slip=slip), SlipReading(level=L5_S1, slip=sacrum, canal_gap_percent=gap))
    return replace(reading(L4_L5, L5_S1), slips=slips)


def test_a_measured_slip_changes_the_answer_and_a_disc_without_one_says_so():
    t1, t2 = volume(uid="2.25.1"), volume(uid="2.25.2")
    known = [(t1, slipped(-8.0)), (t2, slipped(-12.0))]
    found, _ = grade(known, {T2: t2, T1: t1}, spondylolisthesis=-2.0)
    upper = found[Question.SPONDYLOLISTHESIS, "L4-L5", None]  # -2 + 0.25 x 10 %
    assert (upper.assessment, upper.note) == (Present(), None)
    assert upper.probability == pytest.approx(1 / (1 + np.exp(-0.5)), abs=1e-3)
    lower = found[Question.SPONDYLOLISTHESIS, "L5-S1", None]  # -2 - 1
    assert lower.assessment == Absent()
    assert lower.probability == pytest.approx(1 / (1 + np.exp(3.0)), abs=1e-3)
    assert "The slip was not measured here (the sacrum is not outlined)" in lower.note
    assert found[Question.DISC_NARROWING, "L4-L5", None].probability == pytest.approx(1 / (1 + np.exp(4.0)), abs=1e-3)


@pytest.mark.parametrize("sign", [-1, 1], ids=["backwards", "forwards"])
def test_a_canal_off_its_usual_place_behind_the_sacrum_is_weighed_like_a_slip_and_said(sign):
    t1, t2 = volume(uid="2.25.1"), volume(uid="2.25.2")
    known = [(t1, slipped(0.0, USUAL_SACRAL_GAP_PERCENT + sign * 12.0)), (t2, slipped(0.0))]
    found, _ = grade(known, {T2: t2, T1: t1}, spondylolisthesis=-2.0)
    lower = found[Question.SPONDYLOLISTHESIS, "L5-S1", None]  # -2 + 0.25 x 12 %
    assert lower.assessment == Present()
    assert lower.probability == pytest.approx(1 / (1 + np.exp(-1.0)), abs=1e-3)
    assert "not measured here, because the sacrum is not outlined" in lower.note
    assert not lower.measurements


def test_the_canal_says_nothing_where_the_body_below_is_outlined():
    none = Unmeasured(reason=ReasonCode.TRUNCATION, sentence="cut off")
    slips = (SlipReading(level=L4_L5, slip=none, canal_gap_percent=40.0),)
    assert slips_of(replace(reading(L4_L5), slips=slips)) == {"L4-L5": none}


@pytest.mark.parametrize(("loose", "is_open"), [(34.0, True), (-26.0, True), (19.0, False)])
def test_a_large_step_beside_a_fractured_body_is_not_called_absent(loose, is_open):
    t2 = volume()
    none = Unmeasured(reason=ReasonCode.UNCERTAIN, sentence="no straight line")
    slips = (SlipReading(level=L4_L5, slip=none, loose_percent=loose),)
    found, _ = grade([(t2, replace(reading(L4_L5), slips=slips))], {T2: t2}, spondylolisthesis=-2.0)
    answer = found[Question.SPONDYLOLISTHESIS, "L4-L5", None].assessment
    assert isinstance(answer, NotAssessed) is is_open
    assert not is_open or f"about {abs(loose):.0f} % of the endplate apart" in answer.sentence


def test_one_series_with_a_slip_is_enough():
    t1, t2 = volume(uid="2.25.1"), volume(uid="2.25.2")
    found, _ = grade([(t1, reading(L4_L5)), (t2, slipped(10.0))], {T2: t2, T1: t1}, spondylolisthesis=-2.0)
    assert found[Question.SPONDYLOLISTHESIS, "L4-L5", None].note is None
    assert found[Question.SPONDYLOLISTHESIS, "L4-L5", None].assessment == Present()


def test_the_size_of_a_slip_is_that_of_the_mean_over_the_series_that_show_it_and_no_mistake_outweighs_the_rest():
    percent = np.array([[8.0, 12.0], [-8.0, 12.0], [np.nan, -6.0], [np.nan, np.nan], [-93.0, 12.0]])
    assert slip_size(percent) == pytest.approx([10.0, 2.0, 6.0, np.nan, 6.5], nan_ok=True)


def test_t1_alone_gives_what_t1_shows():
    t1 = volume()
    found, _ = grade([(t1, reading(L4_L5))], {T1: t1}, disc_narrowing=2.0, spondylolisthesis=2.0)
    assert found[Question.DISC_NARROWING, "L4-L5", None].assessment == Present()
    assert found[Question.SPONDYLOLISTHESIS, "L4-L5", None].assessment == Present()
    for question in (Question.DISC_DEGENERATION, Question.DISC_BULGING, Question.DISC_HERNIATION, Question.MODIC):
        answer = found[question, None, None]  # said once, not for every disc
        assert isinstance(answer.assessment, NotAssessed)
        assert answer.probability is None
        assert not answer.grades


def test_a_t1_series_without_a_spine_is_as_if_it_were_not_there_but_the_chosen_one_is_refused():
    t1, t2 = volume(uid="2.25.1"), volume(uid="2.25.2")
    found, engine = grade([(t2, reading(L4_L5))], {T2: t2, T1: t1})
    assert engine.unread == {T1: (ReasonCode.BODY_PART, "no spine")}
    assert isinstance(found[Question.MODIC, None, None].assessment, NotAssessed)
    assert found[Question.DISC_BULGING, "L4-L5", None].assessment == Absent()
    with pytest.raises(SeriesRefusal, match="no spine"):
        grade([(t1, reading(L4_L5))], {T2: t2, T1: t1})


def test_a_sign_that_can_be_neither_ruled_in_nor_out_is_not_answered_but_keeps_its_probability():
    t1, t2 = volume(uid="2.25.1"), volume(uid="2.25.2")
    known = [(t1, reading(L4_L5)), (t2, reading(L4_L5))]
    found, _ = grade(known, {T2: t2, T1: t1}, modic=-0.5, disc_narrowing=-1.0)  # 0.38 and 0.27
    modic = found[Question.MODIC, "L4-L5", None]  # at its disc, although no disc has an answer
    assert modic.assessment.reason is ReasonCode.UNCERTAIN
    assert "0.38; from 0.30 to 0.45" in modic.assessment.sentence
    assert (modic.probability, modic.calibration) == (0.378, Calibration.REAL)
    assert found[Question.DISC_NARROWING, "L4-L5", None].assessment == Absent()


@pytest.mark.parametrize(("probability", "vote"), [(0.3, Vote.NO), (0.5, Vote.YES)])
def test_signs_that_are_told_apart_well_leave_nothing_open(probability, vote):
    scale = Scale(slope=1, offset=0, slip=0, no_slip=0, threshold=0.4, unsure_above=0.45, unsure_below=0.35)
    assert scale.vote(probability) is vote


def test_the_grade_is_the_median_of_the_steps():
    steps = np.array([[0.9, 0.6, 0.4, 0.1], [0.2, 0.1, 0.0, 0.0], [1.0, 1.0, 0.9, 0.7]])
    assert pfirrmann_of(steps).tolist() == [3, 1, 5]


@pytest.mark.parametrize("changes", [{"scales": {}}, {"scales": {name: {"slope": 1} for name in OUTPUTS}}])
def test_a_bundle_without_a_scale_for_every_output_is_refused(changes):
    with pytest.raises(BundleRefusal, match="scales"):
        MrDiscGrader(bundle(**changes), Engine(), Segmenter([]))


def test_a_bundle_with_other_outputs_is_refused():
    with pytest.raises(BundleRefusal, match="labels"):
        MrDiscGrader(replace(bundle(), labels={"0": Sign.MODIC}), Engine(), Segmenter([]))


def test_contrasts_stand_in_the_order_of_the_network():
    assert list(Contrast) == [Contrast.T1, Contrast.T2]
