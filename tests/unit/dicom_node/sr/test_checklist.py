"""The checklist finds each planted fault, by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders.findings import context_of, reference, spine_findings
from dicom_node.derived import from_bytes, to_bytes
from dicom_node.sr import encode_report
from dicom_node.sr.checklist import children, groups_of, violations


@pytest.fixture(scope="module")
def sound(series):
    findings = spine_findings(series.plan.study_instance_uid, reference(series.headers[2]), (1.5, 0.75))
    findings = replace(findings, findings=(findings.findings[0], *findings.findings[2:]))
    report = encode_report(findings, sources=series.sources, context=context_of(series.plan.study_instance_uid))
    return to_bytes(report)


def drop(item, name):
    item.ContentSequence = [c for c in item.ContentSequence if c.ConceptNameCodeSequence[0].CodeValue != name]


def move_shape_to_top(report):
    """highdicom's usual form of a planar region, which OHIF draws but does not restore."""
    group = groups_of(report)[1]
    (number,) = children(group, value_type="NUM")
    (shape,) = children(number, value_type="SCOORD")
    number.ContentSequence = [c for c in number.ContentSequence if c.ValueType != "SCOORD"]
    group.ContentSequence.append(shape)


def share_tracking(report):
    first, second = groups_of(report)[:2]
    children(second, "112040")[0].UID = children(first, "112040")[0].UID


def lengthen(report):
    (number,) = children(groups_of(report)[1], value_type="NUM")
    number.MeasuredValueSequence[0].NumericValue = "20"


def widen(report):
    (number,) = children(groups_of(report)[4], value_type="NUM")
    number.MeasuredValueSequence[0].NumericValue = "25"


def unitless(report):
    (number,) = children(groups_of(report)[1], value_type="NUM")
    number.MeasuredValueSequence = []


def first_statement(report):
    return children(children(report, "C0034375")[0], "42942008")


FAULTS = {
    "VerificationFlag must be UNVERIFIED": lambda r: setattr(r, "VerificationFlag", "VERIFIED"),
    "ContentQualification must be RESEARCH": lambda r: delattr(r, "ContentQualification"),
    "PreliminaryFlag must be PRELIMINARY": lambda r: setattr(r, "PreliminaryFlag", "FINAL"),
    "the document title must be": lambda r: setattr(r.ConceptNameCodeSequence[0], "CodeValue", "126001"),
    "must name TID 1500": lambda r: setattr(r.ContentTemplateSequence[0], "TemplateIdentifier", "1501"),
    "the language is not stated": lambda r: drop(r, "121049"),
    "Device Observer UID must be there once": lambda r: drop(r, "121012"),
    "the observer must be a device": lambda r: drop(r, "121005"),
    "Procedure Reported must be there": lambda r: drop(r, "121058"),
    "TID 1500 needs": lambda r: (drop(r, "126010"), drop(r, "C0034375")),
    "container 126010 must not be empty": lambda r: drop(children(r, "126010")[0], "125007"),
    "container C0034375 must not be there more": lambda r: r.ContentSequence.append(children(r, "C0034375")[0]),
    "must have one Tracking Unique Identifier": lambda r: drop(groups_of(r)[0], "112040"),
    "must have one Finding Site": lambda r: drop(groups_of(r)[0], "363698007"),
    "must have one Comment": lambda r: drop(groups_of(r)[0], "121106"),
    "has no Algorithm Name": lambda r: drop(groups_of(r)[0], "111001"),
    "must be tracked as a Cornerstone tool": lambda r: setattr(
        children(groups_of(r)[0], "112039")[0], "TextValue", "L1"
    ),
    "must be inferred from its own shape": move_shape_to_top,
    "must have exactly one shape": lambda r: drop(children(groups_of(r)[1], value_type="NUM")[0], "260753009"),
    "OHIF would merge them": share_tracking,
    "has no value with a unit": unitless,
    "must have a finding site and a tracking UID": lambda r: drop(first_statement(r)[0], "363698007"),
    "is undetermined without a reason": lambda r: drop(first_statement(r)[1], "NOT_ASSESSED_WHY"),
    "coding scheme 99SPINEAI must be identified": lambda r: delattr(r, "CodingSchemeIdentificationSequence"),
    "has no concept name": lambda r: delattr(groups_of(r)[0].ContentSequence[-1], "ConceptNameCodeSequence"),
    "must name the processing equipment": lambda r: delattr(r, "ContributingEquipmentSequence"),
    "must state model name": lambda r: delattr(r.ContributingEquipmentSequence[-2], "SoftwareVersions"),
    "mm, but its points and pixel spacing say otherwise": lengthen,
    "deg, but its points and pixel spacing say otherwise": widen,
    "is not listed as evidence": lambda r: delattr(r, "CurrentRequestedProcedureEvidenceSequence"),
    "PatientName differs from the source's": lambda r: setattr(r, "PatientName", "Somebody^Else"),
}


@pytest.mark.parametrize("sentence", FAULTS, ids=FAULTS)
def test_each_fault_is_found(series, sound, sentence):
    report = from_bytes(sound)
    FAULTS[sentence](report)
    sources = {str(h.SOPInstanceUID): h for h in series.headers}
    found = violations(report, sources)
    assert any(sentence in text for text in found), found


def test_the_sound_report_has_no_fault(series, sound):
    assert violations(from_bytes(sound), {str(h.SOPInstanceUID): h for h in series.headers}) == ()
