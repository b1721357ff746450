"""Acuity and marrow in the report: coded, valid, and marked on the fat-suppressed series that they were read from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders.dicom import STIR, SeriesPlan, small_voxels
from builders.findings import context_of, reference, spine_findings
from dicom_node.derived import to_bytes
from dicom_node.sr import encode_report
from dicom_node.sr.checklist import children, groups_of, value_of, violations
from inference.findings import Evidence, Geometry, GeometryType, Grade, Measurement

NUMBERS = (
    Measurement(name="marrow_signal_ratio", value=4.2, unit="1", uncertainty=0.5, method="mean over expected"),
    Measurement(name="marrow_signal_z_score", value=11.3, unit="1", uncertainty=None, method="log of the ratio"),
    Measurement(name="marrow_oedema_share", value=96.5, unit="%", uncertainty=0.8, method="bright part of the body"),
)


@pytest.fixture
def stir(write):
    """The fat-suppressed series of the same study."""
    return write(SeriesPlan(voxels=small_voxels(4, seed=2), series="stir", number=2, attributes=dict(STIR)))


@pytest.fixture(params=["acute-appearing", "chronic-appearing"])
def report(request, series, stir):
    """A fracture of L1 with its acuity; the marrow is marked on the third STIR slice."""
    spacing = tuple(float(v) for v in series.headers[0].PixelSpacing)
    findings = spine_findings(series.plan.study_instance_uid, reference(series.headers[2]), spacing)
    fracture, *others = findings.findings
    point = Geometry(type=GeometryType.POINT, points=((9.5, 12.5),))
    mark = Evidence(source=reference(stir.headers[2]), geometry=point, measurement="marrow_oedema_share")
    marrow = replace(
        fracture,
        grades=(*fracture.grades, Grade(scale="acuity", value=request.param)),
        measurements=fracture.measurements + NUMBERS,
        evidence=(*fracture.evidence, mark),
    )
    return encode_report(
        replace(findings, findings=(marrow, *others)),
        sources={**series.sources, **stir.sources},
        context=context_of(series.plan.study_instance_uid),
    )


@pytest.mark.peer("dicom3tools")
@pytest.mark.peer("dcmtk")
def test_validators_find_nothing(tmp_path, report, dciodvfy, dsrdump):
    path = tmp_path / "sr.dcm"
    path.write_bytes(to_bytes(report))
    assert dciodvfy(path) == []
    assert "Imaging-apparent acuity of vertebral fracture" in dsrdump(path)


def test_checklist_finds_nothing(series, stir, report):
    assert violations(report, {str(h.SOPInstanceUID): h for h in (*series.headers, *stir.headers)}) == ()


def test_the_share_is_an_arrow_on_the_stir_slice_and_the_other_numbers_are_the_findings(stir, report):
    arrow = groups_of(report)[0]
    (mark,) = (
        group
        for group in groups_of(report)
        if [value_of(n, "ConceptNameCodeSequence") for n in children(group, value_type="NUM")] == ["BME_SHARE"]
    )
    assert [value_of(n, "ConceptNameCodeSequence") for n in children(arrow, value_type="NUM")] == [
        "VBHLOSS",
        "VBH_Z",
        "STIR_RATIO",
        "STIR_Z",
    ]
    (share,) = children(mark, value_type="NUM")
    (shape,) = children(share, value_type="SCOORD")
    (image,) = children(shape, value_type="IMAGE")
    assert float(share.MeasuredValueSequence[0].NumericValue) == 96.5
    assert [float(v) for v in shape.GraphicData] == [9.5, 12.5]
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == stir.headers[2].SOPInstanceUID
    assert str(children(mark, "121106")[0].TextValue) == "L1 marrow oedema share, 96.5 +/- 0.8 %"
    uids = [str(children(group, "112040")[0].UID) for group in groups_of(report)]
    assert len(set(uids)) == len(uids)


def test_acuity_is_coded_in_the_group_and_in_the_statement(report):
    (box,) = children(report, "C0034375")
    statement = next(item for item in children(box, value_type="CODE") if children(item, "VFACUITY_IMG"))
    label = str(children(groups_of(report)[0], "121106")[0].TextValue)
    value = value_of(children(statement, "VFACUITY_IMG")[0], "ConceptCodeSequence")
    assert value == value_of(children(groups_of(report)[0], "VFACUITY_IMG")[0], "ConceptCodeSequence")
    assert {"VFA_ACUTE": "acute-appearing", "VFA_CHRONIC": "chronic-appearing"}[value] in label
