"""Two identifiers that agree, and none that differs."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from builders.claims import CATALOGUE, IDENTIFIERS, PATIENT, claim_of, findings_of, report_of, study_of
from claims.claim import ClaimRefusal, Patient
from claims.engine import evaluate
from claims.matching import PatientRefusal, check_patient


@pytest.mark.parametrize(
    "identifiers",
    [
        IDENTIFIERS,
        (("medical_record_number", "mrn-1 "), ("name", "DOE^JANE")),
        (("birth_date", "19500131"), ("name", "Doe, Jane A.")),
        (("birth_date", "1950-01-31"), ("name", "Doé^Jane^^^=\u5c71\u7530^\u592a\u90ce")),
        (*IDENTIFIERS, ("accession", "X1")),
    ],
)
def test_two_that_agree_are_enough(identifiers):
    check_patient(PATIENT, identifiers, "the study")


@pytest.mark.parametrize(
    ("identifiers", "says"),
    [
        ((), "of both there is none"),
        ((("name", "Doe^Jane"),), "of both there is the name"),
        ((("medical_record_number", "MRN-1"), ("birth_date", " ")), "of both there is the medical record number"),
        ((("name", "Doe^Jane"), ("medical_record_number", "MRN-2")), "the medical record number differs"),
        ((("name", "Doe^Jane"), ("birth_date", "1951-01-31")), "the birth date differs"),
        ((*IDENTIFIERS, ("name", "Roe^Jane")), "the name differs"),
        ((*IDENTIFIERS, ("name", "Doe")), "the name differs"),
    ],
)
def test_anything_else_is_refused_by_name_and_without_its_value(identifiers, says):
    with pytest.raises(PatientRefusal, match=says) as refused:
        check_patient(PATIENT, identifiers, "the study")
    assert not any(value in refused.value.sentence for _, value in identifiers if value.strip())


def test_two_patients_with_the_same_name_are_told_apart():
    claim = claim_of("22514 L1 M80.08XA")
    of_the_other = (("medical_record_number", "MRN-2"), ("birth_date", "1950-01-31"), ("name", "Doe^Jane"))
    report = report_of("MR 2026-02-10: FINDINGS: Acute compression fracture of L1 with marrow edema.", 1, of_the_other)

    with pytest.raises(PatientRefusal, match="The MR report of 2026-02-10 is not of the claim's patient"):
        evaluate(claim, CATALOGUE.table_for(claim), reports=[report])
    with pytest.raises(PatientRefusal, match="The MR study of 2026-02-10 is not of the claim's patient"):
        evaluate(claim, CATALOGUE.table_for(claim), studies=[study_of("MR 2026-02-10", 1, of_the_other)])


def test_a_claim_with_a_name_alone_matches_nothing():
    claim = claim_of("22514 L1 M80.08XA", patient=Patient(family_name="Doe", given_name="Jane"))
    with pytest.raises(PatientRefusal, match="2 identifiers have to agree"):
        evaluate(claim, CATALOGUE.table_for(claim), studies=[study_of("MR 2026-02-10")])


def test_a_report_without_identifiers_has_those_of_its_study_only_where_it_names_it():
    claim, study = claim_of("22514 L1 M80.08XA"), study_of("MR 2026-02-10")
    read = report_of("MR 2026-02-10: FINDINGS: Fracture of L1.", 1, ())
    linked = replace(read, report=replace(read.report, study_instance_uid=study.uid))

    assert evaluate(claim, CATALOGUE.table_for(claim), studies=[study], reports=[linked]).bodies
    with pytest.raises(PatientRefusal, match="of both there is none"):
        evaluate(claim, CATALOGUE.table_for(claim), studies=[study], reports=[read])


def test_what_is_given_twice_is_refused_and_a_repeated_report_is_taken_once():
    claim, study = claim_of("22514 L1 M80.08XA"), study_of("MR 2026-02-10")
    table = CATALOGUE.table_for(claim)
    report = report_of("MR 2026-02-10: FINDINGS: Acute compression fracture of L1 with marrow edema.")
    another = report_of("MR 2026-02-10: FINDINGS: Normal.")

    once = evaluate(claim, table, studies=[study], reports=[report])
    assert evaluate(claim, table, studies=[study], reports=[report, report]) == once
    with pytest.raises(ClaimRefusal, match="Each report text of one number is given once"):
        evaluate(claim, table, studies=[study], reports=[report, another])
    with pytest.raises(ClaimRefusal, match="Each study is given once"):
        evaluate(claim, table, studies=[study, study])
    with pytest.raises(ClaimRefusal, match="Findings are given of a study that is not"):
        evaluate(claim, table, findings=[findings_of(["L1 present"], study)])


def test_the_birth_date_of_the_claim_is_compared_as_a_date():
    patient = replace(PATIENT, birth_date=date(1950, 1, 31), medical_record_number=None)
    check_patient(patient, (("birth_date", "1950-01-31"), ("name", "Jane Doe")), "the study")


def test_a_name_in_two_parts_is_compared_too() -> None:
    other = (
        ("medical_record_number", "MRN-1"),
        ("birth_date", "1950-01-31"),
        ("family_name", "Roe"),
        ("given_name", "Jane"),
    )
    with pytest.raises(PatientRefusal, match="the name differs"):
        check_patient(PATIENT, other, "the report")
