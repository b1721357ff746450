"""findings.json through bytes: canonical, valid by its schema, and read back as the same values."""

import json
from dataclasses import replace

import jsonschema
import pytest

from inference.anatomy import Laterality, Numbering, Region, Site
from inference.errors import ReasonCode, UsageRefusal
from inference.findings import (
    Absent,
    Calibration,
    Evidence,
    Finding,
    Geometry,
    GeometryType,
    Grade,
    Measurement,
    NotAssessed,
    Present,
    Question,
    SeriesUse,
    StudyFindings,
)
from inference.findings.encode import decode, encode, schema
from inference.geometry import FrameReference
from inference.provenance import ModelIdentity, tracking_uid

STUDY = "1.2.826.0.1"


def document():
    line = Evidence(
        source=FrameReference(sop_class_uid="1.2.840.10008.5.1.4.1.1.4", sop_instance_uid="1.2.3.4", frame=2),
        geometry=Geometry(type=GeometryType.POLYLINE, points=((10.5, 20.25), (10.5, 60.0))),
        measurement="anterior_height",
    )
    fracture = Finding(
        id=tracking_uid(STUDY, Question.COMPRESSION_FRACTURE, "L1"),
        question=Question.COMPRESSION_FRACTURE,
        site=Site(level="L1"),
        assessment=Present(),
        grades=(Grade(scale="genant", value="2"), Grade(scale="genant_shape", value="wedge")),
        probability=0.93,
        calibration=Calibration.NONE,
        operating_point="height loss >= 25 % and z <= -3",
        measurements=(Measurement(name="anterior_height", value=18.63, unit="mm", uncertainty=0.4, method="ruler"),),
        evidence=(line,),
        model="m",
    )
    absent = Finding(
        id=tracking_uid(STUDY, Question.COMPRESSION_FRACTURE, "L2"),
        question=Question.COMPRESSION_FRACTURE,
        site=Site(level="L2"),
        assessment=Absent(),
        note="Normal.",
    )
    modic = Finding(
        id=tracking_uid(STUDY, Question.MODIC),
        question=Question.MODIC,
        site=Site(),
        assessment=NotAssessed(reason=ReasonCode.NO_MODEL, sentence="No detector."),
    )
    return StudyFindings(
        study_instance_uid=STUDY,
        series=(
            SeriesUse(
                uid="1.2.3", modality="MR", plane="sagittal", contrast="T2", role="mr_sagittal_t2", used_by=("m",)
            ),
            SeriesUse(
                uid="1.2.4",
                modality="MR",
                plane="axial",
                contrast="T2",
                role="mr_axial_t2",
                refused=(ReasonCode.ORIENTATION, "Axial."),
            ),
        ),
        numbering=Numbering(method="counted_from_sacrum", ambiguous=False, note="Größe ok"),
        findings=(fracture, absent, modic),
        models=(ModelIdentity(name="m", version="1", sha256="0" * 64, training_data="synthetic"),),
        software_version="0.1.0",
    )


def test_the_document_survives_bytes():
    assert decode(encode(document())) == document()


def test_the_same_document_gives_the_same_bytes():
    assert encode(document()) == encode(decode(encode(document())))


def test_a_foramen_survives_bytes_and_other_sites_have_no_region():
    first, *others = document().findings
    foramen = replace(first, site=Site(level="L4-L5", side=Laterality.LEFT, region=Region.FORAMEN))
    with_it = replace(document(), findings=(foramen, *others))
    values = json.loads(encode(with_it))
    jsonschema.validate(values, schema())
    assert [f["site"].get("region") for f in values["findings"]] == ["foramen", None, None]
    assert "region" not in values["findings"][1]["site"]
    assert decode(encode(with_it)) == with_it


def test_a_grade_may_have_a_calibration_of_its_own_and_other_grades_have_no_such_key():
    first, *others = document().findings
    typed = replace(first, grades=(Grade(scale="modic", value="1", calibration=Calibration.NONE), *first.grades))
    with_it = replace(document(), findings=(typed, *others))
    values = json.loads(encode(with_it))
    jsonschema.validate(values, schema())
    assert values["findings"][0]["grade"] == {"scale": "modic", "value": "1", "calibration": "none"}
    assert all("calibration" not in grade for grade in values["findings"][0]["further_grades"])
    assert decode(encode(with_it)) == with_it


def test_what_ran_a_model_is_kept_and_may_be_unknown():
    """Documents written before the engine was recorded have no such key."""
    ran = replace(document(), models=(replace(document().models[0], engine="onnxruntime 1.32.0 cpu"),))
    values = json.loads(encode(ran))
    assert values["models"][0]["engine"] == "onnxruntime 1.32.0 cpu"
    assert decode(encode(ran)) == ran
    del values["models"][0]["engine"]
    jsonschema.validate(values, schema())
    assert decode(json.dumps(values).encode()).models[0].engine is None


def test_what_limits_the_reading_of_a_series_is_kept_and_absent_where_nothing_does():
    first, *others = document().series
    warning = (ReasonCode.OUT_OF_DISTRIBUTION, "The image is unusual.")
    limited = replace(document(), series=(replace(first, warnings=(warning,)), *others))
    assert decode(encode(limited)) == limited
    jsonschema.validate(json.loads(encode(limited)), schema())
    assert b"warnings" not in encode(document())


def test_bytes_are_canonical_utf8_with_sorted_keys():
    data = encode(document())
    assert "Größe".encode() in data
    assert data.endswith(b"}\n")
    values = json.loads(data)
    assert list(values) == sorted(values)


def test_the_document_is_valid_by_its_schema():
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(json.loads(encode(document())), schema())


def test_the_schema_rejects_not_assessed_without_a_reason():
    values = json.loads(encode(document()))
    values["findings"][2]["reason"] = None
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values, schema())


def test_the_schema_knows_every_reason_and_question():
    definitions = schema()["$defs"]
    assert set(definitions["reason"]["enum"]) == {r.value for r in ReasonCode}
    assert set(definitions["finding"]["properties"]["question"]["enum"]) == {q.value for q in Question}


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"schema": "other/1"}', b'{"schema": "spine-findings/1"}'])
def test_anything_else_is_refused_in_one_sentence(data):
    with pytest.raises(UsageRefusal, match="must be a spine-findings/1 document"):
        decode(data)
