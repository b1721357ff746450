"""Procedure Reported: the imaged procedure, by modality and by what was named or stated."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from dicom_node.sr.procedure import imaged_procedures, region_of
from inference.anatomy import Numbering, Site
from inference.errors import ReasonCode
from inference.findings import Finding, NotAssessed, Question, StudyFindings


def header(modality: str, body_part: str = "") -> Dataset:
    dataset = Dataset()
    dataset.Modality, dataset.BodyPartExamined = modality, body_part
    return dataset


def findings_at(*levels: str | None) -> StudyFindings:
    why = NotAssessed(reason=ReasonCode.NO_MODEL, sentence="None.")
    return StudyFindings(
        study_instance_uid="1.2.3",
        series=(),
        numbering=Numbering(method="none", ambiguous=False, note=""),
        findings=tuple(
            Finding(id=f"2.25.{i}", question=Question.MODIC, site=Site(level=level), assessment=why)
            for i, level in enumerate(levels)
        ),
        models=(),
        software_version="0",
    )


@pytest.mark.parametrize(
    ("levels", "headers", "expected"),
    [
        (["L1", "L2", "T12"], [header("MR")], ["24968-0"]),
        (["T9-T10", "T11", "L1"], [header("MR")], ["24980-5"]),
        (["C3"], [header("MR")], ["24935-9"]),
        (["C3"], [header("CT")], ["25045-6"]),
        ([None], [header("MR", "LSSPINE")], ["24968-0"]),
        ([None], [header("MR", "CHEST")], ["25056-3"]),
        ([None], [header("CT", "CHEST")], ["25045-6"]),
        ([None], [header("DX", "TSPINE")], ["24983-9"]),
        ([None], [header("CR", "LSPINE"), header("DX", "LSPINE")], ["24972-2"]),
        (["L4"], [header("MR"), header("CT"), header("SR")], ["24963-1", "24968-0"]),
        ([None], [header("OT")], ["363679005"]),
    ],
)
def test_procedure(levels, headers, expected):
    items = imaged_procedures(findings_at(*levels), headers)
    assert [item.value.value for item in items] == expected
    assert {item.RelationshipType for item in items} == {"HAS CONCEPT MOD"}


def test_a_tie_between_regions_is_settled_the_same_way_every_time():
    assert region_of(["L1", "T12"], []) == region_of(["T12", "L1"], []) == "lumbar"


def test_nothing_known_is_no_region():
    assert region_of([None], [header("MR", "HEAD")]) is None
