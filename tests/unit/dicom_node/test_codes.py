"""The code table: lengths, uniqueness, and agreement with PS3.16 as pydicom carries it."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import pytest
from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr._concepts_dict import concepts

from dicom_node import code_table as table
from dicom_node import codes
from inference.anatomy import REGULAR_VERTEBRAE, Disc, EndplateSide, Laterality, Region, Site, Vertebra
from inference.errors import ReasonCode
from inference.findings import Absent, Assessment, Grade, NotAssessed, Present, Question
from inference.measure.reading import FractureShape
from inference.segmentation import Structure

STANDARD = [c for c in table.ALL_CONCEPTS if c.source == table.PS3_16]
OWN = [c for c in table.ALL_CONCEPTS if c.source == table.OWN]


@pytest.mark.parametrize("concept", table.ALL_CONCEPTS, ids=lambda c: f"{c.scheme}-{c.value}")
def test_every_concept_fits_its_attributes(concept):
    assert 1 <= len(concept.value) <= 16, "VR SH"
    assert 1 <= len(concept.meaning) <= 64, "VR LO"
    assert concept.value.isascii()
    assert concept.meaning.isascii()
    assert concept.source


def test_no_code_and_no_meaning_is_used_twice():
    assert [k for k, n in Counter((c.scheme, c.value) for c in table.ALL_CONCEPTS).items() if n > 1] == []
    assert [k for k, n in Counter(c.meaning.lower() for c in table.ALL_CONCEPTS).items() if n > 1] == []


@pytest.mark.parametrize("concept", STANDARD, ids=lambda c: f"{c.scheme}-{c.value}")
def test_standard_codes_are_the_dictionarys(concept):
    entries = [entry[concept.value] for entry in concepts[concept.scheme].values() if concept.value in entry]
    assert concept.meaning in [meaning for meaning, _ in entries]


def test_snomed_codes_come_from_the_standard_or_a_named_value_set():
    others = {c.value: c.source for c in table.ALL_CONCEPTS if c.scheme == "SCT" and c.source != table.PS3_16}
    assert others == {
        "42942008": table.OIDM,
        "76107001": table.VSAC,
        "371000119109": table.VSAC,
        "77547008": table.VSAC,
        "260753009": table.FSN,
    }
    assert concepts["SCT"]["Source"]["260753009"][0] == "Source (attribute)"


def test_codes_that_are_known_to_be_mislabelled_are_not_used():
    """24558-9 is US abdomen, 24968-8 fails its check digit, 207957008 and 207938004 are closed fractures."""
    used = {c.value for c in table.ALL_CONCEPTS}
    assert not used & {"24558-9", "24968-8", "207957008", "207938004", "274152003"}


@pytest.mark.parametrize("concept", [c for c in table.ALL_CONCEPTS if c.scheme == "LN"], ids=lambda c: c.value)
def test_loinc_check_digit(concept):
    digits, check = concept.value.split("-")
    doubled = [int(d) * (2 if i % 2 == 0 else 1) for i, d in enumerate(reversed(digits))]
    assert (10 - sum(d // 10 + d % 10 for d in doubled) % 10) % 10 == int(check)


def test_private_codes_are_private():
    assert {c.scheme for c in OWN} == {"99SPINEAI"}
    assert all(c.value.upper() == c.value for c in OWN)


def test_levels_are_exactly_cid_7603_and_7604():
    vertebrae = [codes.level_code(v.name).value for v in REGULAR_VERTEBRAE if v is not Vertebra.S1]
    discs = [codes.level_code(Disc.under(v).name).value for v in REGULAR_VERTEBRAE[1:-1]]
    assert sorted(vertebrae) == sorted(_values(7603))
    assert sorted(discs) == sorted(_values(7604))


def _values(cid: int) -> list[str]:
    return [next(iter(concepts["SCT"][keyword])) for keyword in cid_concepts[cid]["SCT"]]


@pytest.mark.parametrize(
    ("level", "value", "meaning"),
    [
        ("L1", "66794005", "L1 vertebra"),
        ("L5-S1", "715056000", "L5/S1 disc"),
        ("T12-L1", "76206002", "T12/L1 disc"),
        ("S1", "54735007", "Sacrum"),
        ("L6", "L6", "L6 vertebra (transitional)"),
        ("L6-S1", "DISC_L6_S1", "L6/S1 disc (transitional)"),
        (None, "421060004", "Spine"),
    ],
)
def test_level_codes(level, value, meaning):
    assert (codes.level_code(level).value, codes.level_code(level).meaning) == (value, meaning)


def test_a_disc_that_cannot_be_has_no_code():
    with pytest.raises(ValueError, match="no code for a disc between T1 and T9"):
        codes.level_code("T1-T9")


def test_site_has_side_and_endplate():
    site = Site(level="L4", side=Laterality.LEFT, endplate=EndplateSide.INFERIOR)
    location, side, endplate = codes.site_codes(site)
    assert (location.value, side and side.value, endplate and endplate.value) == ("11994002", "7771000", "261089000")


def test_a_foramen_is_its_disc_its_side_and_a_region_of_our_own():
    site = Site(level="L4-L5", side=Laterality.RIGHT, region=Region.FORAMEN)
    location, side, region = codes.site_codes(site)
    assert (location.value, side and side.value) == ("84020006", "24028007")
    assert region
    assert (region.value, region.scheme_designator) == ("FORAMEN", "99SPINEAI")
    assert codes.question_code(Question.STENOSIS, site).value == "371000119109"
    assert codes.question_code(Question.STENOSIS, Site(level="L4-L5")).value == "76107001"
    assert codes.main_measurement(Question.STENOSIS, site) == "foraminal_height"


def test_canal_has_one_code_for_all_levels():
    assert codes.structure_code(Structure.SPINAL_CANAL, None).value == "61853006"
    assert codes.structure_code(Structure.DISC, "L4-L5").value == "84020006"
    assert codes.structure_code(Structure.VERTEBRAL_BODY, "L4") == codes.structure_code(Structure.VERTEBRA, "L4")


@pytest.mark.parametrize(
    ("enumeration", "mapping"),
    [
        (Question, codes.QUESTIONS),
        (Laterality, codes.SIDES),
        (EndplateSide, codes.ENDPLATES),
        (Region, codes.REGIONS),
        (ReasonCode, codes.QUALIFIERS),
        (ReasonCode, table.OWN_REASONS),
    ],
)
def test_every_member_has_a_code(enumeration, mapping):
    assert set(mapping) == set(enumeration)


def test_every_answer_has_a_code():
    why = NotAssessed(reason=ReasonCode.METAL, sentence="Metal.")
    answers = {type(a): codes.answer_code(a).meaning for a in (Present(), Absent(), why)}
    assert answers == {Present: "Present", Absent: "Absent", NotAssessed: "Undetermined"}
    assert set(answers) == set(get_args(Assessment))


def test_qualifiers_belong_to_cid_42():
    allowed = {next(iter(concepts["DCM"][keyword])) for keyword in cid_concepts[42]["DCM"]}
    assert {code.value for code in codes.QUALIFIERS.values()} <= allowed


def test_grades_of_the_measurement_layer_have_codes():
    for shape in FractureShape:
        assert codes.grade_codes(Grade(scale="genant_shape", value=shape.value))[0].value == "VFTYPE"
    assert codes.grade_codes(Grade(scale="genant", value="3"))[1].value == "GENANT3"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: codes.measurement_code("girth"), "measurement 'girth' has no code"),
        (lambda: codes.grade_codes(Grade(scale="genant", value="9")), "grade genant '9' has no code"),
        (lambda: codes.unit_code("inch"), "unit must be one of 1, %, mm, mm2, deg, got 'inch'"),
    ],
)
def test_what_has_no_code_is_named(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_the_private_scheme_is_identified():
    item = codes.coding_scheme()
    assert item.CodingSchemeDesignator == "99SPINEAI"
    assert item.CodingSchemeVersion == codes.CODE_TABLE_VERSION
