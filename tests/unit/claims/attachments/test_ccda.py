"""The C-CDA against a grammar of what it may hold, and against the numbered conformance statements of its templates.

HL7's XSD and its Schematron (C-CDA R2.1, June 2019 errata) may not be copied here and come with no package; the
statements below are those of the US Realm Header and the Unstructured Document that apply to what is written, by their
CONF numbers, each as an XPath of our own.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from builders.claim_attachments import MADE_AT, NPI, PARTNER, PDF, attachment, of_patient, report
from claims.attachment import Attachment
from claims.attachments.ccda import write_ccda

GRAMMAR = etree.RelaxNG(file=str(Path(__file__).parent / "data" / "unstructured-document.rng"))
NS = {"c": "urn:hl7-org:v3"}
US, UD = "2.16.840.1.113883.10.20.22.1.1", "2.16.840.1.113883.10.20.22.1.10"
ROLE = "c:recordTarget/c:patientRole"
AUTHOR = "c:author/c:assignedAuthor"
KEEPER = "c:custodian/c:assignedCustodian/c:representedCustodianOrganization"
SIGNER = "c:legalAuthenticator/c:assignedEntity"
CONFORMANCE: Mapping[str, str] = {
    "1198-5252, 10036, 32503": f"count(c:templateId[@root='{US}'][@extension='2015-08-01']) = 1",
    "1198-7710, 10054, 32522": f"count(c:templateId[@root='{UD}'][@extension='2015-08-01']) = 1",
    "1198-16791": "count(c:realmCode[@code='US']) = 1",
    "1198-5361, 5250, 5251": "c:typeId[@root='2.16.840.1.113883.1.3'][@extension='POCD_HD000040']",
    "1198-5363": "count(c:id) = 1",
    "1198-5253": "count(c:code[@code and @codeSystem]) = 1",
    "1198-5254": "count(c:title) = 1",
    "1198-5256": "string-length(c:effectiveTime/@value) >= 8",
    "1198-5259": "count(c:confidentialityCode) = 1",
    "1198-5372": "count(c:languageCode) = 1",
    "1198-5266, 31089": "count(c:recordTarget) > 0",
    "1198-5267, 31090": "count(c:recordTarget/c:patientRole) = 1",
    "1198-5268, 31091": f"count({ROLE}/c:id) > 0",
    "1198-5271": f"count({ROLE}/c:addr) > 0",
    "1198-5280": f"count({ROLE}/c:telecom) > 0",
    "1198-5283": f"count({ROLE}/c:patient) = 1",
    "1198-5284": f"count({ROLE}/c:patient/c:name) > 0",
    "1198-6394": f"count({ROLE}/c:patient/c:administrativeGenderCode) = 1",
    "1198-5298": f"count({ROLE}/c:patient/c:birthTime) = 1",
    "1198-5322, 5323": f"count({ROLE}/c:patient/c:raceCode) = 1 and count({ROLE}/c:patient/c:ethnicGroupCode) = 1",
    "1198-5444, 5445, 5448": "count(c:author[count(c:time) = 1][count(c:assignedAuthor) = 1]) > 0",
    "1198-5449, 5452, 5428": f"{AUTHOR}[c:id and c:addr and c:telecom]",
    "1198-16790, 16789": f"count({AUTHOR}/c:assignedPerson/c:name) = 1",
    "1198-5519, 5520, 5521, 31096, 31097, 31098": f"count({KEEPER}) = 1",
    "1198-5522, 5524, 5525, 5559": f"{KEEPER}[c:id][count(c:name) = 1][count(c:telecom) = 1][count(c:addr) = 1]",
    "1198-5580, 5583, 5584": "not(c:legalAuthenticator) or c:legalAuthenticator[c:time][c:signatureCode/@code = 'S']",
    "1198-5586, 5589, 5595, 5597, 5598": f"not({SIGNER}) or {SIGNER}[c:id][c:addr][c:telecom][c:assignedPerson/c:name]",
    "1198-14836, 14837, 14838": "c:documentationOf[count(c:serviceEvent/c:effectiveTime/c:low) = 1]",
    "1198-31085, 31086, 31087": "count(c:component/c:nonXMLBody/c:text) = 1",
    "1198-7624": "c:component/c:nonXMLBody/c:text[@representation = 'B64'][@mediaType]",
    "1198-7623": "contains(' application/pdf text/plain image/jpeg image/png image/tiff ', "
    "concat(' ', c:component/c:nonXMLBody/c:text/@mediaType, ' '))",
}


def written(made: Attachment, **changes: Any) -> Any:
    options = {"made_at": MADE_AT, "member_system": PARTNER.member_system} | changes
    return etree.fromstring(write_ccda(made, made.documents[-1], **options))


def check(root: Any) -> None:
    assert GRAMMAR.validate(root), GRAMMAR.error_log
    failed = [number for number, test in CONFORMANCE.items() if not root.xpath(f"boolean({test})", namespaces=NS)]
    assert failed == []


@pytest.mark.parametrize(
    "made",
    [
        attachment(),
        attachment(signed_at=None, author_npi="", solicited="ASK-1"),
        of_patient(given_name="", birth_date=None, sex=None),
        of_patient(sex="O"),
        attachment(documents=(report(), report(b"\xff\xd8\xff key", media_type="image/jpeg", title="Key image"))),
    ],
    ids=["full", "unsigned", "little known", "other sex", "second document"],
)
def test_it_has_the_structure_and_keeps_the_statements_of_its_templates(made: Attachment) -> None:
    check(written(made))


@pytest.mark.parametrize("number", CONFORMANCE)
def test_the_statements_would_find_a_fault(number: str) -> None:
    """Each statement fails on a document whose every element was renamed: none is true of everything."""
    root = written(attachment())
    for element in root.iter():
        element.tag = element.tag.replace("urn:hl7-org:v3}", "urn:hl7-org:v3}not-")
    only_where_there = number.startswith(("1198-5580", "1198-5586"))

    assert root.xpath(f"boolean({CONFORMANCE[number]})", namespaces=NS) is only_where_there


@pytest.mark.parametrize("gone", ["title", "custodian", "component", "author", "recordTarget"])
def test_the_grammar_would_find_a_fault(gone: str) -> None:
    root = written(attachment())
    root.remove(root.find(f"c:{gone}", NS))

    assert not GRAMMAR.validate(root)


def test_it_says_what_it_knows_and_that_the_rest_is_unknown() -> None:
    root = written(attachment())
    text = {name: root.findtext(f".//c:{name}", namespaces=NS) for name in ("title", "given", "family")}

    assert text == {
        "title": "MR lumbar spine: signed report & key images",
        "given": "Jane",
        "family": "O'Neil-Doe",
    }
    assert root.find(f"{ROLE}/c:id", NS).attrib == {"root": "2.999.2", "extension": "MEMBER001"}
    assert root.find(f"{ROLE}/c:patient/c:birthTime", NS).get("value") == "19500131"
    assert root.find(f"{ROLE}/c:patient/c:raceCode", NS).attrib == {"nullFlavor": "UNK"}
    assert root.find(f"{AUTHOR}/c:id", NS).attrib == {"root": "2.16.840.1.113883.4.6", "extension": NPI}
    assert root.find("c:legalAuthenticator/c:time", NS).get("value") == "20260302093000+0000"
    assert root.find(".//c:low", NS).get("value") == "20260301"
    assert base64.b64decode(root.findtext(".//c:text", namespaces=NS)) == PDF


def test_a_member_identifier_without_a_known_root_says_so() -> None:
    found = written(attachment(), member_system="https://payer.example/member").find(f"{ROLE}/c:id", NS)

    assert found.attrib == {"nullFlavor": "UNK", "extension": "MEMBER001"}


def test_two_documents_have_two_ids_and_the_same_one_always_the_same() -> None:
    made = attachment(documents=(report(), report(b"%PDF-2")))
    ids = [
        etree.fromstring(write_ccda(made, document, made_at=MADE_AT)).find("c:id", NS).get("root")
        for document in (*made.documents, made.documents[0])
    ]

    assert ids[0] == ids[2] != ids[1]


@settings(max_examples=100, deadline=None)
@given(name=st.text(min_size=1, max_size=40).filter(str.isprintable))
def test_any_printable_name_comes_back(name: str) -> None:
    root = written(of_patient(family_name=name))

    check(root)
    assert root.findtext(f"{ROLE}/c:patient/c:name/c:family", namespaces=NS) == name
