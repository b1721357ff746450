"""What a person decides about findings, and the findings that result: values only; no DICOM, no database."""

from inference.review.apply import apply_review
from inference.review.images import ImageFrame, Images
from inference.review.refusal import ReviewFault, ReviewRefusal
from inference.review.review import Action, Addition, Correction, Decision, Review, Shape

__all__ = [
    "Action",
    "Addition",
    "Correction",
    "Decision",
    "ImageFrame",
    "Images",
    "Review",
    "ReviewFault",
    "ReviewRefusal",
    "Shape",
    "apply_review",
]
