"""A real T2 SPACE slice sent with a header that forbids reading it: each has its code, through bytes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders.dicom import write_series
from builders.spider import spider_plan
from dicom_node.reader import index_study
from inference.errors import ReasonCode
from inference.findings import FIVE_QUESTIONS, Question
from inference.series.choice import Reads
from inference.series.eligibility import plan_study
from inference.series.role import SeriesRole

EVERYTHING = Reads(name="all", questions=frozenset(FIVE_QUESTIONS), roles=tuple(SeriesRole))
FRACTURE, MODIC = Question.COMPRESSION_FRACTURE, Question.MODIC
SE_T1 = {"RepetitionTime": "600", "EchoTime": "10", "InversionTime": None}
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

REFUSED = {
    "a child": (FRACTURE, {"PatientAge": "012Y"}, {}, ReasonCode.PAEDIATRIC),
    "a knee": (FRACTURE, {"BodyPartExamined": "KNEE"}, {}, ReasonCode.BODY_PART),
    "after contrast agent": (MODIC, {"ContrastBolusAgent": "Gd", **SE_T1}, {}, ReasonCode.POST_CONTRAST),
    "a localizer": (FRACTURE, {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, {}, ReasonCode.LOCALIZER),
    "a reformat": (FRACTURE, {"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, {}, ReasonCode.DERIVED),
    "burned-in text": (FRACTURE, {"BurnedInAnnotation": "YES"}, {}, ReasonCode.BURNED_IN),
    "coarse pixels": (FRACTURE, {}, {"pixel_spacing_mm": (2.0, 2.0)}, ReasonCode.SPACING),
    "axial slices": (MODIC, {}, {"orientation": AXIAL, "step_mm": (0.0, 0.0, 0.9)}, ReasonCode.ORIENTATION),
}


def planned(shared_data, folder, question, attributes, fields):
    """The plan's entry of a question for three slices of a patient with other attributes."""
    plan = spider_plan(shared_data, "34")
    plan = replace(plan, voxels=plan.voxels[:3], attributes={**plan.attributes, **attributes}, **fields)
    write_series(folder, plan)
    series = [indexed.facts for indexed in index_study([folder]).series]
    (entry,) = [e for e in plan_study(series, [EVERYTHING]).entries if e.question is question]
    return entry


@pytest.mark.parametrize("why", REFUSED)
def test_each_header_that_forbids_reading_has_its_code(shared_data, tmp_path, why):
    question, attributes, fields, code = REFUSED[why]
    entry = planned(shared_data, tmp_path, question, attributes, fields)
    assert not entry.eligible
    assert entry.code is code, entry.sentence


@pytest.mark.parametrize(
    "attributes",
    [{}, {"SeriesDescription": "KNEE SAG T2", "ProtocolName": "HEAD"}, {"BodyPartExamined": "ABDOMEN"}],
)
def test_the_same_slices_are_read_otherwise_whatever_the_free_text_says(shared_data, tmp_path, attributes):
    assert planned(shared_data, tmp_path, FRACTURE, attributes, {}).eligible
