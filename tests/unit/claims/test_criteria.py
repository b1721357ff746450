"""Criteria tables: those that come with the node, one that a person adds, and what the validator says of a bad one."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from importlib import resources
from pathlib import Path

import pytest

from builders.claims import CATALOGUE, claim_of
from claims.claim import ClaimRefusal
from claims.criteria import CriteriaRefusal, load_catalogue, read_table
from claims.engine import evaluate

SHIPPED = {
    "commercial-pva-example",
    "hardware-revision-example",
    "medicare-basivertebral",
    "medicare-epidural",
    "medicare-facet-ablation",
    "medicare-pva",
}
OWN = resources.files("claims.criteria").joinpath("commercial_pva_example.toml").read_text("utf-8")


def test_the_tables_that_come_with_the_node():
    assert {table.id for table in CATALOGUE.tables} == SHIPPED
    for table in CATALOGUE.tables:
        assert "not the" in table.source or "No policy was read" in table.source


def test_a_person_adds_a_payer_without_code(tmp_path: Path):
    text = OWN.replace('"commercial-pva-example"', '"acme-pva"').replace("payers = []", 'payers = ["ACME"]')
    (tmp_path / "acme.toml").write_text(text.replace("at_most = 2\n", "at_most = 1\n"))
    catalogue = load_catalogue([tmp_path])
    claim = claim_of("22514 L1 M80.08XA; 22515 L2 M80.08XA", payer_id="ACME")

    evidence = evaluate(claim, catalogue.table_for(claim))

    assert evidence.policy == "acme-pva"
    (count,) = [answer for answer in evidence.criteria if answer.criterion == "body_count"]
    assert count.sentence == "Bodies named on the claim: 2; the policy: at most 1."


def test_a_newer_version_counts_from_its_day(tmp_path: Path):
    old = OWN.replace('"commercial-pva-example"', '"acme"')
    new = old.replace('version = "1"', 'version = "2"').replace("2025-01-01", "2026-06-01")
    (tmp_path / "acme-1.toml").write_text(old)
    (tmp_path / "acme-2.toml").write_text(new)
    catalogue = load_catalogue([tmp_path])
    claim = claim_of("22514 L1 M80.08XA", policy="acme")

    assert catalogue.table_for(claim).version == "1"
    assert catalogue.table_for(replace(claim, service_date=date(2026, 6, 1))).version == "2"
    with pytest.raises(ClaimRefusal, match="is for services of 2025-01-01 to today, 2026-06-01 to today"):
        catalogue.table_for(replace(claim, service_date=date(2024, 1, 1)))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('version = "1"', "", "version: Field required"),
        ('rule = "levels"', 'rule = "bogus"', "criteria[1] (level): Input tag 'bogus'"),
        ('first = "T5"', 'first = "T15"', "criteria[1] (level).first: a vertebra like T12 or L1 is wanted, got 'T15'"),
        ('first = "T5"', 'first = "S1"', "criteria[1] (level): first must not lie below last, got S1 and L5"),
        ("max_days = 183", "max_days = -1", "criteria[3] (imaging_age).max_days: Input should be greater than 0"),
        ("max_days = 183", "max_day = 183", "criteria[3] (imaging_age).max_day: Extra inputs are not permitted"),
        ('topic = "fracture"', 'topic = "pain"', "criteria[0] (fracture).topic: Input should be 'fracture'"),
        ("2025-01-01", '"soon"', "effective_from: Input should be a valid date"),
        ('"22515"]', '"99999"]', "procedures: 99999 is not in claims/procedures.toml"),
        ('id = "level"', 'id = "fracture"', "each criterion has an id of its own, got fracture twice"),
        ('certainty = "secondary"', 'certainty = "sure"', "criteria[0] (fracture).certainty: Input should be"),
        ('answered_by = ["chart"]', "answered_by = []", "answered_by: Tuple should have at least 1 item"),
        ('sign = "edema"\n', "", "sign, sign_words and sign_modalities go together"),
        ('schema = "spine-criteria/1"', "schema = [", "it is not TOML"),
    ],
)
def test_the_validator_names_what_is_wrong(old, new, says):
    assert old in OWN
    with pytest.raises(CriteriaRefusal) as refused:
        read_table(OWN.replace(old, new).encode(), "mine.toml")
    assert refused.value.sentence.startswith("The criteria table mine.toml has ")
    assert says in refused.value.sentence


def test_the_validator_names_every_fault_at_once():
    bad = (
        OWN.replace('version = "1"', "")
        .replace('first = "T5"', 'first = "T15"')
        .replace("max_days = 183", "max_days = 0")
    )
    with pytest.raises(CriteriaRefusal) as refused:
        read_table(bad.encode(), "mine.toml")
    assert len(refused.value.faults) == 3


def test_a_table_that_is_there_already_and_a_folder_that_is_not(tmp_path: Path):
    (tmp_path / "copy.toml").write_text(OWN)
    with pytest.raises(CriteriaRefusal, match="commercial-pva-example 1 is there already"):
        load_catalogue([tmp_path])
    with pytest.raises(ClaimRefusal, match="There is no folder"):
        load_catalogue([tmp_path / "none"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"policy": "bogus"}, "No criteria table is called 'bogus'; there are commercial-pva-example"),
        ({"payer_id": "ACME"}, "No criteria table is for payer 'ACME', TX, 2026-03-01 and 22514; name one as policy"),
        ({"jurisdiction": "XX"}, "No criteria table is for payer 'MEDICARE', XX"),
        ({"service_date": date(2019, 1, 1)}, "No criteria table is for payer 'MEDICARE', TX, 2019-01-01"),
        ({"policy": "medicare-epidural"}, "The table medicare-epidural is for 62321"),
    ],
)
def test_a_claim_without_one_table_is_refused(changes, says):
    with pytest.raises(ClaimRefusal) as refused:
        CATALOGUE.table_for(claim_of("22514 L1 M80.08XA", **changes))
    assert says in refused.value.sentence


def test_the_jurisdiction_tells_which_document_holds():
    claim = claim_of("22514 L1 M80.08XA")
    assert evaluate(claim, CATALOGUE.table_for(claim)).policy_documents == ("L35130",)

    nowhere = evaluate(replace(claim, jurisdiction=None), CATALOGUE.table_for(claim))
    assert len(nowhere.policy_documents) == 8
    assert "name_jurisdiction" in {prompt.code for prompt in nowhere.prompts}


def test_an_unknown_procedure_is_refused_by_its_code():
    with pytest.raises(ClaimRefusal, match="Procedure 99213 is not one that is known here"):
        CATALOGUE.table_for(claim_of("99213 M80.08XA"))
