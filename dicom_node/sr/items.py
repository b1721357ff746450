"""Content items of the shapes that our reports use."""

from __future__ import annotations

from collections.abc import Iterable

from highdicom.sr import (
    CodeContentItem,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    FindingSite,
    NumContentItem,
    RelationshipTypeValues,
    TextContentItem,
    UIDRefContentItem,
)
from pydicom.sr.coding import Code

from dicom_node import code_table as table
from dicom_node import codes
from dicom_node.derived import plain
from inference.anatomy import Site
from inference.findings import Grade, Measurement

CONTAINS = RelationshipTypeValues.CONTAINS
HAS_PROPERTIES = RelationshipTypeValues.HAS_PROPERTIES
HAS_OBS_CONTEXT = RelationshipTypeValues.HAS_OBS_CONTEXT
HAS_ACQ_CONTEXT = RelationshipTypeValues.HAS_ACQ_CONTEXT


def container(name: Code, children: Iterable[ContentItem], *, template_id: str | None = None) -> ContainerContentItem:
    """A container; the root of the document when it names its template."""
    relationship = CONTAINS if template_id is None else None
    item = ContainerContentItem(name=name, relationship_type=relationship, template_id=template_id)
    item.ContentSequence = ContentSequence(list(children))
    return item


def nested(item: ContentItem, children: Iterable[ContentItem]) -> ContentItem:
    """The item with children under it, if there are any."""
    content = ContentSequence(list(children))
    if len(content) > 0:
        item.ContentSequence = content
    return item


def comment(text: str, relationship: RelationshipTypeValues = CONTAINS) -> TextContentItem:
    """A sentence for a person; OHIF shows the one in a measurement group as its label (ohif.md 1.4)."""
    return text_item(table.DCM["121106"].code, text, relationship)


def text_item(name: Code, text: str, relationship: RelationshipTypeValues) -> TextContentItem:
    """A text under a concept name."""
    return TextContentItem(name=name, value=plain(text), relationship_type=relationship)


def code_item(name: Code, value: Code, relationship: RelationshipTypeValues) -> CodeContentItem:
    """A coded value under a concept name."""
    return CodeContentItem(name=name, value=value, relationship_type=relationship)


def grade_item(grade: Grade, relationship: RelationshipTypeValues) -> CodeContentItem:
    """A grade on its scale."""
    name, value = codes.grade_codes(grade)
    return code_item(name, value, relationship)


def finding_site(site: Site) -> FindingSite:
    """Where the finding is, with side, and endplate or region."""
    location, side, part = codes.site_codes(site)
    return FindingSite(anatomic_location=location, laterality=side, topographical_modifier=part)


def tracking_item(uid: str) -> UIDRefContentItem:
    """The tracking UID that links a statement to its measurement groups, its segment and findings.json."""
    return UIDRefContentItem(name=table.DCM["112040"].code, value=uid, relationship_type=HAS_OBS_CONTEXT)


def number(name: Code, value: float, unit: str, relationship: RelationshipTypeValues) -> NumContentItem:
    """A number with its unit."""
    return NumContentItem(name=name, value=value, unit=codes.unit_code(unit), relationship_type=relationship)


def uncertainty_items(measurement: Measurement) -> list[NumContentItem]:
    """One standard deviation up and down, in the unit of the measurement (TID 310)."""
    if measurement.uncertainty is None:
        return []
    names = (table.SCT["371886008"].code, table.SCT["371885007"].code)
    return [number(name, measurement.uncertainty, measurement.unit, HAS_PROPERTIES) for name in names]
