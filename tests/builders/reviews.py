"""Reviews for tests: who, and the images that a reviewer draws on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydicom.dataset import Dataset

from inference.findings import DocumentReview, Reviewer, StudyFindings
from inference.geometry import FrameReference
from inference.review import ImageFrame, Review, apply_review

REVIEWER = Reviewer(name="Doe^Jane", identifier="jdoe", organisation="General Hospital")
REVIEWED_AT = datetime(2026, 11, 25, 8, 5, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class HeaderImages:
    """The images of written headers."""

    headers: Sequence[Dataset]

    def frame(self, sop_instance_uid: str, number: int | None) -> ImageFrame | None:
        """The image of that UID."""
        for header in self.headers:
            if header.SOPInstanceUID == sop_instance_uid and number is None:
                source = FrameReference(sop_class_uid=header.SOPClassUID, sop_instance_uid=sop_instance_uid)
                rows, columns = (float(v) for v in header.PixelSpacing)
                size = int(header.Rows), int(header.Columns)
                return ImageFrame(source=source, rows=size[0], columns=size[1], spacing_mm=(rows, columns))
        return None


def about(number: int = 1, *, revision: int = 1) -> DocumentReview:
    """A review by a fixed person at a fixed time."""
    return DocumentReview(
        number=number,
        revision=revision,
        reviewer=REVIEWER,
        reviewed_at=REVIEWED_AT,
        supersedes=number - 1 or None,
    )


def reviewed(
    findings: StudyFindings, review: Review, headers: Sequence[Dataset] = (), number: int = 1
) -> StudyFindings:
    """The findings after a review."""
    return apply_review(findings, review, about(number), HeaderImages(headers))
