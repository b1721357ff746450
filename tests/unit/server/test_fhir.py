"""FHIR: the Bundle on a real socket, checked by fhir.resources, and what it says of a study."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from fhir.resources.R4B.bundle import Bundle
from pydicom.dataset import Dataset

from builders.dicom import SeriesPlan, small_voxels
from builders.dumps import dump_json
from builders.findings import CREATED, reference, spine_findings
from builders.read_study import headers_of, keep_read_study
from builders.reviews import reviewed
from dicom_node import codes
from inference.anatomy import EndplateSide, Laterality, Site
from inference.errors import ReasonCode
from inference.findings import (
    Absent,
    Calibration,
    Grade,
    NotAssessed,
    Present,
    Question,
    ReviewReason,
    SeriesUse,
)
from inference.provenance import RESEARCH_USE
from inference.review import Action, Addition, Correction, Decision, Review
from server.fhir.bundle import FhirStudy, bundle_json, encode_bundle
from server.fhir.observations import absent_reason
from server.fhir.study import SeriesCount

NONE = Calibration.NONE
PLAN = SeriesPlan(voxels=small_voxels(2))
STUDY = PLAN.study_instance_uid
PATH = f"/api/v1/studies/{STUDY}/fhir"


def findings():
    header = headers_of([PLAN])[PLAN.series_instance_uid][0]
    used = SeriesUse(
        uid=PLAN.series_instance_uid, modality="MR", plane="sagittal", contrast="T2", role="mr_sagittal_t2"
    )
    return replace(spine_findings(STUDY, reference(header), (1.0, 1.0)), series=(used,))


def study(header: Dataset | None = None, **changes) -> FhirStudy:
    values = {
        "findings": findings(),
        "header": header or headers_of([PLAN])[PLAN.series_instance_uid][0],
        "series": [SeriesCount(uid=PLAN.series_instance_uid, modality="MR", instances=2)],
        "report_uid": "1.2.3.4",
        "issued": CREATED,
        "ae_title": "SPINEAI",
    }
    return FhirStudy(**(values | changes))


def resources(values: dict, kind: str) -> list[dict]:
    return [entry["resource"] for entry in values["entry"] if entry["resource"]["resourceType"] == kind]


def observations(values: dict) -> dict[str, dict]:
    """By the DICOM UID of their identifier."""
    return {one["identifier"][0]["value"].removeprefix("urn:oid:"): one for one in resources(values, "Observation")}


def test_on_a_socket(client, node, golden):
    kept = keep_read_study(node, headers_of([PLAN]), findings())

    answer = client.get(PATH)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/fhir+json"
    bundle = Bundle.model_validate_json(answer.content)
    assert bundle.entry[0].resource.get_resource_type() == "DiagnosticReport"
    values = answer.json()
    (report,) = resources(values, "DiagnosticReport")
    assert report["identifier"][0]["value"] == f"urn:oid:{kept.report.SOPInstanceUID}"
    (images,) = resources(values, "ImagingStudy")
    assert [(s["uid"], s["numberOfInstances"]) for s in images["series"]] == [(PLAN.series_instance_uid, 2)]
    assert client.get(PATH).content == answer.content
    unchanged = client.get(PATH, headers={"If-None-Match": answer.headers["ETag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert client.get(f"{PATH}?revision=2").status_code == 404
    golden("fhir.json", dump_json(values) + "\n")


def test_an_instance_that_is_gone_is_a_problem(client, node):
    keep_read_study(node, headers_of([PLAN]), findings())
    for path in node.spool.path("received").iterdir():
        path.unlink()
    answer = client.get(PATH)
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")


def test_three_answers():
    document = findings()
    made = observations(bundle_json(study()))
    for finding in document.findings:
        one = made[finding.id]
        match finding.assessment:
            case Present():
                assert one["valueCodeableConcept"]["coding"][0]["code"] == "52101004"
            case Absent():
                assert one["valueCodeableConcept"]["coding"][0]["code"] == "272519000"
            case NotAssessed(reason=reason, sentence=sentence):
                assert "valueCodeableConcept" not in one
                assert one["dataAbsentReason"]["text"] == sentence
                assert one["dataAbsentReason"]["coding"][1]["code"] == codes.reason_code(reason).value
        assert ("dataAbsentReason" in one) == isinstance(finding.assessment, NotAssessed)


@pytest.mark.parametrize("reason", ReasonCode)
def test_every_reason_has_a_code_of_fhir(reason):
    assert absent_reason(reason) in {"error", "not-performed", "unknown"}


def test_measurements_are_members_with_unit_method_and_uncertainty():
    document = findings()
    values = bundle_json(study())
    by_url = {entry["fullUrl"]: entry["resource"] for entry in values["entry"]}
    made = observations(values)
    for finding in document.findings:
        members = [by_url[member["reference"]] for member in made[finding.id].get("hasMember", [])]
        found = [(m["valueQuantity"]["value"], m["valueQuantity"]["code"], m["method"]["text"]) for m in members]
        assert found == [(m.value, m.unit, m.method) for m in finding.measurements]
        for member, measurement in zip(members, finding.measurements, strict=True):
            spreads = [part["valueQuantity"]["value"] for part in member.get("component", [])]
            assert spreads == [measurement.uncertainty] * (0 if measurement.uncertainty is None else 2)


def test_every_reference_is_in_the_bundle_and_no_id_twice():
    values = bundle_json(study())
    urls = [entry["fullUrl"] for entry in values["entry"]]
    assert len(set(urls)) == len(urls)
    assert set(referenced(values)) <= set(urls)
    (report,) = resources(values, "DiagnosticReport")
    direct = {one["reference"] for one in report["result"]}
    members = {m["reference"] for one in resources(values, "Observation") for m in one.get("hasMember", [])}
    assert direct | members == {e["fullUrl"] for e in values["entry"] if e["resource"]["resourceType"] == "Observation"}
    assert not direct & members


def referenced(value) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        value = list(value.values())
    for part in value if isinstance(value, list) else ():
        yield from referenced(part)


@pytest.mark.parametrize(("is_reviewed", "status"), [(False, "preliminary"), (True, "final")])
def test_it_is_final_only_with_a_review(is_reviewed, status):
    values = bundle_json(study(is_reviewed=is_reviewed))
    assert {one["status"] for one in resources(values, "Observation")} == {status}
    assert {one["status"] for one in resources(values, "DiagnosticReport")} == {status}


def test_research_use_and_doubtful_levels_are_said():
    values = bundle_json(study())
    (report,) = resources(values, "DiagnosticReport")
    assert report["conclusion"].splitlines()[:2] == [
        RESEARCH_USE,
        "Level numbering uncertain: A transitional vertebra cannot be excluded.",
    ]
    labels = {label["code"] for one in [report, *resources(values, "Observation")] for label in one["meta"]["security"]}
    assert labels == {"AIAST", "HRESCH"}
    for finding in findings().findings:
        assert {"text": RESEARCH_USE} in observations(values)[finding.id]["note"]


def test_side_and_endplate_are_components():
    document = findings()
    modic = replace(document.findings[0], site=Site(level="L4", endplate=EndplateSide.INFERIOR, side=Laterality.LEFT))
    changed = replace(document, findings=(modic, *document.findings[1:]))
    one = observations(bundle_json(study(findings=changed)))[modic.id]
    assert one["bodySite"]["text"] == "L4 inferior left"
    parts = {part["code"]["coding"][0]["code"]: part for part in one["component"]}
    assert parts["272741003"]["valueCodeableConcept"]["text"] == "Left"
    assert parts["106233006"]["valueCodeableConcept"]["text"] == "Inferior"


def header_with(**changes) -> Dataset:
    header = headers_of([PLAN])[PLAN.series_instance_uid][0]
    for keyword, value in changes.items():
        setattr(header, keyword, value)
    return header


def test_the_patient_is_whom_the_header_names():
    (patient,) = resources(bundle_json(study()), "Patient")
    header = header_with()
    assert patient["identifier"][0]["value"] == header.PatientID
    assert patient["name"] == [{"text": "Patient Invented", "family": "Invented", "given": ["Patient"]}]
    assert (patient["birthDate"], patient["gender"]) == ("1960-01-01", "other")


def test_a_header_without_identity_gives_none():
    empty = dict.fromkeys(("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber"), "")
    made = study(header_with(**empty, StudyDate="", StudyTime=""))
    (patient,) = resources(bundle_json(made), "Patient")
    assert set(patient) == {"resourceType", "id"}
    assert json.loads(encode_bundle(made))["entry"]


def test_an_ideographic_name_keeps_its_groups():
    name = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    made = study(header_with(SpecificCharacterSet="ISO_IR 192", PatientName=name))
    (patient,) = resources(json.loads(encode_bundle(made)), "Patient")
    assert [name["text"] for name in patient["name"]] == ["Tarou Yamada", "太郎 山田", "たろう やまだ"]
    assert patient["name"][1]["extension"][0]["valueCode"] == "IDE"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"StudyDate": "20200102", "StudyTime": "030405.12"}, "2020-01-02"),
        ({"StudyDate": "20200102", "StudyTime": "0304", "TimezoneOffsetFromUTC": "+0100"}, "2020-01-02T03:04:00+01:00"),
        ({"StudyDate": "20200102", "StudyTime": "", "TimezoneOffsetFromUTC": "-0330"}, "2020-01-02"),
        ({"StudyDate": ""}, None),
    ],
)
def test_a_time_is_written_only_with_its_zone(values, expected):
    (images,) = resources(json.loads(encode_bundle(study(header_with(**values)))), "ImagingStudy")
    assert images.get("started") == expected


def test_a_reviewed_report_is_final_and_says_who_answers_for_what():
    document, header = findings(), headers_of([PLAN])[PLAN.series_instance_uid][0]
    fracture = document.findings[0]
    seen = Addition(question=Question.MODIC, site=Site(level="L4", endplate=EndplateSide.INFERIOR))
    corrected = Correction(grades=(Grade(scale="genant", value="1"),))
    decision = Decision(finding_id=fracture.id, action=Action.CORRECT, reason=ReviewReason.GRADE, correction=corrected)
    after = reviewed(document, Review(decisions=(decision,), additions=(seen,), accept_rest=True), [header])

    draft, final = bundle_json(study()), bundle_json(study(findings=after, is_reviewed=True))

    Bundle.model_validate(final)
    assert {one["status"] for one in observations(draft).values()} == {"preliminary"}
    assert {one["status"] for one in observations(final).values()} == {"final"}
    (report,) = resources(final, "DiagnosticReport")
    assert (report["status"], report["resultsInterpreter"][0]["display"]) == ("final", "Jane Doe")
    grade, *_ = observations(final)[fracture.id]["component"]
    assert "extension" not in grade, "a person's grade has no calibration"
    added = observations(final)[after.findings[-1].id]
    assert [label["code"] for label in added["meta"]["security"]] == ["CLINAST", "HRESCH"]
    assert added["performer"] == [{"type": "Practitioner", "display": "Jane Doe"}]


def test_probability_and_grades_say_what_they_were_calibrated_on():
    document = findings()
    graded = replace(
        document.findings[0],
        calibration=Calibration.REAL,
        grades=(Grade(scale="genant", value="2"), Grade(scale="acuity", value="acute-appearing", calibration=NONE)),
    )
    values = bundle_json(study(findings=replace(document, findings=(graded, *document.findings[1:]))))
    Bundle.model_validate(values)
    said = {
        part["code"]["text"]: part["extension"][0]["valueCodeableConcept"]["text"]
        for part in observations(values)[graded.id]["component"]
        if "extension" in part
    }
    assert said == {
        "Genant semiquantitative grade": "calibrated on patients",
        "Imaging-apparent acuity of vertebral fracture": "not calibrated",
        "Probability": "calibrated on patients",
    }
