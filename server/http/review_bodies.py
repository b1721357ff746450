"""A review as it is posted: the body, its limits, and the values of it."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from inference.anatomy import EndplateSide, Laterality, Region, Site
from inference.findings import Geometry, GeometryType, Grade, Question, Reviewer, ReviewReason
from inference.review import Action, Addition, Correction, Decision, Review, ReviewFault, ReviewRefusal, Shape
from server.http.access import LARGEST_INTEGER, UID

Uid = Annotated[str, Field(pattern=UID, max_length=64)]
Note = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$")]
"""No control characters but tab and line ends: an escape would switch the character set of a report."""
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f\\\\]+$")]
"""A backslash would make two values of one (PS3.5 6.2)."""
MOST_FINDINGS = 1000
MOST_POINTS = 1000


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ReviewerBody(_Body):
    """Who reviews, on a node where nobody logs in."""

    name: Name
    identifier: Name
    organisation: Name


class GradeBody(_Body):
    """A grade on its scale."""

    scale: Name
    value: Name


class GeometryBody(_Body):
    """A shape on one frame; points are (column, row) from the upper left corner of the first pixel."""

    type: GeometryType
    points: list[tuple[float, float]] = Field(min_length=1, max_length=MOST_POINTS)


class ShapeBody(_Body):
    """A shape that the reviewer drew."""

    sop_instance_uid: Uid
    frame: int | None = Field(None, ge=1)
    geometry: GeometryBody
    measurement: str | None = Field(None, max_length=64)

    def value(self) -> Shape:
        """As the domain knows it."""
        return Shape(
            sop_instance_uid=self.sop_instance_uid,
            frame=self.frame,
            geometry=Geometry(type=self.geometry.type, points=tuple(self.geometry.points)),
            measurement=self.measurement,
        )


class CorrectionBody(_Body):
    """What is right instead; what is left out stays."""

    level: str | None = Field(None, max_length=16)
    assessment: Literal["present", "absent"] | None = None
    grades: list[GradeBody] | None = Field(None, max_length=10)
    evidence: list[ShapeBody] | None = Field(None, max_length=100)

    def value(self) -> Correction:
        """As the domain knows it."""
        return Correction(
            level=self.level,
            assessment=self.assessment,
            grades=None if self.grades is None else tuple(_grade(grade) for grade in self.grades),
            shapes=None if self.evidence is None else tuple(shape.value() for shape in self.evidence),
        )


class DecisionBody(_Body):
    """What is decided about one finding, by its ``id`` in findings.json."""

    id: Uid
    action: Action
    reason: ReviewReason | None = None
    note: Note | None = None
    correction: CorrectionBody | None = None

    def value(self) -> Decision:
        """As the domain knows it."""
        return Decision(
            finding_id=self.id,
            action=self.action,
            reason=self.reason,
            note=self.note,
            correction=None if self.correction is None else self.correction.value(),
        )


class SiteBody(_Body):
    """Where an added finding is."""

    level: str | None = Field(None, max_length=16)
    side: Laterality | None = None
    endplate: EndplateSide | None = None
    region: Region | None = None


class AdditionBody(_Body):
    """A finding that the AI missed."""

    question: Question
    site: SiteBody
    assessment: Literal["present", "absent"] = "present"
    grades: list[GradeBody] = Field(default=[], max_length=10)
    evidence: list[ShapeBody] = Field(default=[], max_length=100)
    note: Note | None = None

    def value(self) -> Addition:
        """As the domain knows it; ReviewRefusal for a site that cannot be."""
        site = self.site
        try:
            where = Site(level=site.level, side=site.side, endplate=site.endplate, region=site.region)
        except ValueError as error:
            raise ReviewRefusal(f"An added finding has a site that can be: {error}.", fault=ReviewFault.LEVEL) from None
        return Addition(
            question=self.question,
            site=where,
            assessment=self.assessment,
            grades=tuple(_grade(grade) for grade in self.grades),
            shapes=tuple(shape.value() for shape in self.evidence),
            note=self.note,
        )


class ReviewBody(_Body):
    """A review of the findings of one revision."""

    revision: int = Field(ge=1, le=LARGEST_INTEGER, description="The revision whose findings were looked at.")
    findings: list[DecisionBody] = Field(default=[], max_length=MOST_FINDINGS)
    added: list[AdditionBody] = Field(default=[], max_length=MOST_FINDINGS)
    accept_rest: bool = Field(default=False, description="Accept every finding that is not named.")
    supersedes: int | None = Field(None, ge=1, le=LARGEST_INTEGER, description="The review that the reviewer has seen.")
    reviewer: ReviewerBody | None = Field(None, description="Only where nobody logs in; else the user reviews.")

    def value(self) -> Review:
        """As the domain knows it."""
        return Review(
            decisions=tuple(decision.value() for decision in self.findings),
            additions=tuple(addition.value() for addition in self.added),
            accept_rest=self.accept_rest,
        )

    def document(self) -> str:
        """The decisions as canonical JSON."""
        values = self.model_dump(mode="json", exclude={"reviewer", "revision"})
        return json.dumps(values, sort_keys=True, ensure_ascii=False)


def named(body: ReviewerBody) -> Reviewer:
    """The person of a body."""
    return Reviewer(name=body.name, identifier=body.identifier, organisation=body.organisation)


def _grade(body: GradeBody) -> Grade:
    return Grade(scale=body.scale, value=body.value)
