"""Slip, angles and the limits of a series in the report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from builders.findings import context_of, reference, spine_findings
from dicom_node.derived import from_bytes, to_bytes
from dicom_node.sr import encode_report
from dicom_node.sr.checklist import children, groups_of, value_of, walk
from inference.errors import ReasonCode
from inference.findings import Grade, Question, SeriesUse

SPACING = (1.5, 0.75)


def findings_for(series):
    return spine_findings(series.plan.study_instance_uid, reference(series.headers[2]), SPACING)


def encoded(series, findings):
    report = encode_report(findings, sources=series.sources, context=context_of(series.plan.study_instance_uid))
    return from_bytes(to_bytes(report))


def comment_of(item):
    return str(children(item, "121106")[0].TextValue)


@pytest.fixture(scope="module")
def spine_report(series):
    """L1 fractured, L2 slipped backwards on L3; read it only."""
    return encoded(series, findings_for(series))


def test_a_slip_backwards_stays_negative(spine_report):
    arrow, line = (g for g in groups_of(spine_report) if comment_of(g).startswith("L2-L3"))
    assert comment_of(arrow) == "L2-L3: spondylolisthesis, slip -15.4 %"
    (number,) = children(line, "SLIP")
    assert float(number.MeasuredValueSequence[0].NumericValue) == -5.3


def test_a_slip_is_named_with_its_meyerding_grade(series):
    findings = findings_for(series)
    (slip,) = findings.of(Question.SPONDYLOLISTHESIS)
    graded = replace(slip, grades=(Grade(scale="meyerding", value="2"),))
    others = tuple(f for f in findings.findings if f.id != slip.id)
    report = encoded(series, replace(findings, findings=(*others, graded)))
    arrow = next(g for g in groups_of(report) if comment_of(g).startswith("L2-L3"))
    assert comment_of(arrow) == "L2-L3: spondylolisthesis, Meyerding 2, slip -15.4 %"
    assert [value_of(e, "ConceptCodeSequence") for e in children(arrow, "MEYERDING")] == ["MEYER2"]


def test_a_drawn_angle_is_computed_from_its_lines_and_non_square_pixels(spine_report):
    (group,) = (g for g in groups_of(spine_report) if "kyphosis" in comment_of(g))
    (angle,) = children(group, "KYPHO_COBB")
    (shape,) = children(angle, value_type="SCOORD")
    points = np.reshape([float(v) for v in shape.GraphicData], (4, 2)) * (SPACING[1], SPACING[0])
    turns = [np.degrees(np.arctan2(*(points[last] - points[last - 1])[::-1])) for last in (1, 3)]
    assert float(angle.MeasuredValueSequence[0].NumericValue) == round(turns[1] - turns[0], 1) == 24.0


def test_what_limits_a_series_that_was_read_is_said_once(series):
    few, numbering = (ReasonCode.FEW_SLICES, "The series has 3 slice(s)."), (ReasonCode.NUMBERING, "Not again.")
    uid = series.plan.series_instance_uid
    use = SeriesUse(uid=uid, modality="MR", plane="sagittal", contrast="T2", role="mr_sagittal_t2", used_by=("m",))
    limited = replace(findings_for(series), series=(replace(use, warnings=(few, numbering)),))
    texts = [str(item.TextValue) for item in walk(encoded(series, limited)) if "TextValue" in item]
    assert texts.count(few[1]) == 1
    assert numbering[1] not in texts
