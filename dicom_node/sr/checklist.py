"""What a report must fulfil beyond its IOD: TID 1500 row by row, IHE AIR (standards.md 2.5), and what OHIF needs.

``dciodvfy`` checks the information object, not the template; a report can pass it and still be unreadable. Every check
is a function from the dataset to sentences about what is wrong; ``violations`` runs them all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from math import isclose

from pydicom.dataset import Dataset

from dicom_node.code_table import PRIVATE_SCHEME
from dicom_node.frames import pixel_spacing
from dicom_node.sr.groups import CORNERSTONE
from inference.drawing import angle_deg, area_mm2, is_closed, length_mm

COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"
LENGTH_TOLERANCE_MM = 0.011
"""A number is written to 0.01 mm."""
ANGLE_TOLERANCE_DEG = 0.11
"""A number is written to 0.1 degree."""
AREA_TOLERANCE_MM2 = 0.11
"""An area is written to 0.1 mm2."""
_ROOT_FLAGS = {
    "SOPClassUID": COMPREHENSIVE_3D_SR,
    "Modality": "SR",
    "CompletionFlag": "COMPLETE",
    "ContentQualification": "RESEARCH",
}
_PRELIMINARY_FLAG = {"UNVERIFIED": "PRELIMINARY", "VERIFIED": "FINAL"}
_OBSERVERS = {"UNVERIFIED": ["121007"], "VERIFIED": ["121006", "121007"]}
"""By the Verification Flag; a person stands beside the device that observed."""


def violations(
    report: Dataset, sources: dict[str, Dataset] | None = None, *, verified: bool = False
) -> tuple[str, ...]:
    """Everything that is wrong, as sentences; empty when the report is right.

    Args:
        report: The SR.
        verified: Whether it is to be the report of a review.
        sources: Source headers by SOP Instance UID; where given, lengths are computed again and identity is compared.
    """
    wanted = "VERIFIED" if verified else "UNVERIFIED"
    found = [sentence for check in _CHECKS for sentence in check(report)]
    if str(report.get("VerificationFlag", "")) != wanted:
        found.append(f"VerificationFlag must be {wanted}, got {report.get('VerificationFlag')!r}")
    if sources is not None:
        found += [*_lengths(report, sources), *_evidence(report, sources)]
    return tuple(found)


def value_of(sequence_holder: Dataset, keyword: str) -> str:
    """Code value of the first item of a code sequence; empty where there is none."""
    sequence = sequence_holder.get(keyword)
    return str(sequence[0].get("CodeValue", "")) if sequence else ""


def name_of(item: Dataset) -> str:
    """Code value of a content item's concept name."""
    return value_of(item, "ConceptNameCodeSequence")


def children(item: Dataset, name: str | None = None, value_type: str | None = None) -> list[Dataset]:
    """Direct children of a content item, of a concept name and value type where given."""
    items = item.get("ContentSequence") or []
    return [
        c for c in items if (name is None or name_of(c) == name) and (value_type is None or c.ValueType == value_type)
    ]


def walk(item: Dataset) -> Iterator[Dataset]:
    """The item and everything below it."""
    yield item
    for child in children(item):
        yield from walk(child)


def groups_of(report: Dataset) -> list[Dataset]:
    """The measurement groups under Imaging Measurements."""
    return [group for box in children(report, "126010") for group in children(box, "125007")]


def _flags(report: Dataset) -> Iterator[str]:
    for keyword, wanted in _ROOT_FLAGS.items():
        if str(report.get(keyword, "")) != wanted:
            yield f"{keyword} must be {wanted}, got {report.get(keyword)!r}"
    preliminary = _PRELIMINARY_FLAG.get(str(report.get("VerificationFlag", "")))
    if report.get("PreliminaryFlag") != preliminary:
        yield f"PreliminaryFlag must be {preliminary}, got {report.get('PreliminaryFlag')!r}"
    if name_of(report) != "126000":
        yield "the document title must be (126000, DCM, Imaging Measurement Report)"
    template = report.get("ContentTemplateSequence")
    if not template or template[0].get("TemplateIdentifier") != "1500" or template[0].get("MappingResource") != "DCMR":
        yield "Content Template Sequence must name TID 1500 of DCMR"


def _context(report: Dataset) -> Iterator[str]:
    """Language, device observer and procedure reported: TID 1204, 1001, TID 1500 row 4."""
    if not children(report, "121049"):
        yield "the language is not stated"
    if len(children(report, "121012")) != 1:
        yield "Device Observer UID must be there once"
    observers = [value_of(c, "ConceptCodeSequence") for c in children(report, "121005")]
    if observers != _OBSERVERS.get(str(report.get("VerificationFlag", ""))):
        yield f"the observer must be a device, and a person before it where it is verified, got {observers}"
    procedures = children(report, "121058")
    if not procedures or any(p.RelationshipType != "HAS CONCEPT MOD" for p in procedures):
        yield "Procedure Reported must be there as a concept modifier"


def _verification(report: Dataset) -> Iterator[str]:
    """PS3.3 C.17.2: who verified, when and for whom, and what was verified."""
    if report.get("VerificationFlag") != "VERIFIED":
        return
    for keyword in ("VerifyingObserverName", "VerifyingOrganization", "VerificationDateTime"):
        observers = report.get("VerifyingObserverSequence") or [Dataset()]
        if not all(observer.get(keyword) for observer in observers):
            yield f"a verified report must state {keyword}"
    if not children(report, "121008"):
        yield "a verified report must name its person observer"
    if not report.get("PredecessorDocumentsSequence"):
        yield "a verified report must name the report that was verified as its predecessor"


def _containers(report: Dataset) -> Iterator[str]:
    """TID 1500 rows 6, 10, 12: at least one container, each at most once, none empty."""
    counts = {name: len(children(report, name)) for name in ("126010", "126011", "C0034375")}
    if sum(counts.values()) == 0:
        yield "TID 1500 needs Imaging Measurements, Derived Imaging Measurements or Qualitative Evaluations"
    for name, count in counts.items():
        if count > 1:
            yield f"container {name} must not be there more than once"
        if any(not children(box) for box in children(report, name)):
            yield f"container {name} must not be empty"


def _groups(report: Dataset) -> Iterator[str]:
    """TID 1410 and 1501, and what OHIF needs of every group."""
    for number, group in enumerate(groups_of(report), start=1):
        where = f"measurement group {number}"
        for name, meaning in (("112039", "Tracking Identifier"), ("112040", "Tracking Unique Identifier")):
            if len(children(group, name)) != 1:
                yield f"{where} must have one {meaning}"
        for name, meaning in (("121071", "Finding"), ("363698007", "Finding Site"), ("121106", "Comment")):
            if len(children(group, name)) != 1:
                yield f"{where} must have one {meaning}"
        by_a_person = [value_of(c, "ConceptCodeSequence") for c in children(group, "REVIEW")] == ["ADDED"]
        for name, meaning in (("111001", "Algorithm Name"), ("111003", "Algorithm Version")):
            if not children(group, name) and not by_a_person:
                yield f"{where} has no {meaning}"
        tracking = children(group, "112039")
        if tracking and not str(tracking[0].TextValue).startswith(f"{CORNERSTONE}:"):
            yield f"{where} must be tracked as a Cornerstone tool, got {tracking[0].TextValue!r}"
        yield from _shape(group, where)


def _shape(group: Dataset, where: str) -> Iterator[str]:
    """One 2-D shape per group, on the first number where there is one."""
    shapes = [item for item in walk(group) if item.ValueType in ("SCOORD", "SCOORD3D")]
    if [shape.ValueType for shape in shapes] != ["SCOORD"]:
        yield f"{where} must have exactly one shape, in image coordinates"
    numbers = children(group, value_type="NUM")
    if numbers:
        own = children(numbers[0], value_type="SCOORD")
        if [shape.RelationshipType for shape in own] != ["INFERRED FROM"]:
            yield f"the first number of {where} must be inferred from its own shape"
    for shape in shapes:
        images = children(shape, value_type="IMAGE")
        if [image.RelationshipType for image in images] != ["SELECTED FROM"]:
            yield f"the shape of {where} must be selected from one image"


def _tracking(report: Dataset) -> Iterator[str]:
    uids = Counter(str(c.UID) for group in groups_of(report) for c in children(group, "112040"))
    for uid, count in uids.items():
        if count > 1:
            yield f"tracking UID {uid} is shared by {count} groups; OHIF would merge them"


def _numbers(report: Dataset) -> Iterator[str]:
    for item in walk(report):
        if item.ValueType != "NUM":
            continue
        measured = item.get("MeasuredValueSequence")
        if not measured or not measured[0].get("MeasurementUnitsCodeSequence"):
            yield f"number {name_of(item)} has no value with a unit"


def _statements(report: Dataset) -> Iterator[str]:
    """Every statement has a site and a tracking UID; one that is undetermined has a reason."""
    for box in children(report, "C0034375"):
        for item in children(box, value_type="CODE"):
            answer = value_of(item, "ConceptCodeSequence")
            if answer not in ("52101004", "272519000", "373068000"):
                continue
            if not children(item, "363698007") or not children(item, "112040"):
                yield f"statement {name_of(item)} must have a finding site and a tracking UID"
            if answer == "373068000" and not children(item, "NOT_ASSESSED_WHY"):
                yield f"statement {name_of(item)} is undetermined without a reason"


def _schemes(report: Dataset) -> Iterator[str]:
    declared = {str(i.CodingSchemeDesignator) for i in report.get("CodingSchemeIdentificationSequence") or []}
    if PRIVATE_SCHEME not in declared:
        yield f"coding scheme {PRIVATE_SCHEME} must be identified"
    for item in walk(report):
        if not item.get("ConceptNameCodeSequence"):
            yield f"a {item.ValueType} item has no concept name; dcmjs cannot read it"


def _equipment(report: Dataset) -> Iterator[str]:
    items = [
        i
        for i in report.get("ContributingEquipmentSequence") or []
        if value_of(i, "PurposeOfReferenceCodeSequence") == "109102" and i.get("DeviceUID")
    ]
    if not items:
        yield "Contributing Equipment must name the processing equipment with its Device UID"
    for item in items:
        if not item.get("SoftwareVersions") or not item.get("ManufacturerModelName"):
            yield f"contributing equipment {item.DeviceUID} must state model name and software version"


_CHECKS: tuple[Callable[[Dataset], Iterator[str]], ...] = (
    _flags,
    _context,
    _verification,
    _containers,
    _groups,
    _tracking,
    _numbers,
    _statements,
    _schemes,
    _equipment,
)


DRAWN: Mapping[str, tuple[Callable[[list[tuple[float, float]], tuple[float, float]], float], float]] = {
    "mm": (length_mm, LENGTH_TOLERANCE_MM),
    "deg": (angle_deg, ANGLE_TOLERANCE_DEG),
    "mm2": (area_mm2, AREA_TOLERANCE_MM2),
}
"""By the unit of a number that is drawn: how it follows from its points, and how exactly it is written."""


def _lengths(report: Dataset, sources: dict[str, Dataset]) -> Iterator[str]:
    """A drawn length, angle or area is what its points and Pixel Spacing say."""
    for item in walk(report):
        shapes = children(item, value_type="SCOORD") if item.ValueType == "NUM" else []
        measured = item.get("MeasuredValueSequence")
        if not shapes or not measured or shapes[0].GraphicType != "POLYLINE":
            continue
        reference = children(shapes[0], value_type="IMAGE")[0].ReferencedSOPSequence[0]
        frame = reference.get("ReferencedFrameNumber")
        spacing = pixel_spacing(sources[str(reference.ReferencedSOPInstanceUID)], None if frame is None else int(frame))
        data = [float(v) for v in shapes[0].GraphicData]
        points = list(zip(data[::2], data[1::2], strict=True))
        stated = abs(float(measured[0].NumericValue))  # a slip backwards and a lordosis are negative
        unit = value_of(measured[0], "MeasurementUnitsCodeSequence")
        drawn, tolerance = DRAWN[unit]
        is_fit = unit != "mm2" or is_closed(points)
        if spacing is None or not is_fit or not isclose(drawn(points, spacing), stated, abs_tol=tolerance):
            yield f"{name_of(item)} is stated as {stated} {unit}, but its points and pixel spacing say otherwise"


def _evidence(report: Dataset, sources: dict[str, Dataset]) -> Iterator[str]:
    """Every source and every referenced image is listed as evidence; study and identity are the source's."""
    studies = report.get("CurrentRequestedProcedureEvidenceSequence") or []
    listed = {
        str(instance.ReferencedSOPInstanceUID)
        for study in studies
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
    referenced = {
        str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        for item in walk(report)
        if item.ValueType == "IMAGE"
    }
    for uid in sorted((set(sources) | referenced) - listed):
        yield f"instance {uid} is not listed as evidence"
    first = next(iter(sources.values()))
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "AccessionNumber"):
        if str(first.get(keyword, "")) != str(report.get(keyword, "")):
            yield f"{keyword} differs from the source's"
