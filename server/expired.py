"""What is said where the images of a study are needed that have expired."""

from __future__ import annotations

from inference.errors import Refusal


def images_are_gone(study_instance_uid: str) -> Refusal:
    """The one sentence for it."""
    return Refusal(f"The images of study {study_instance_uid} were deleted by the rules of retention; send them again.")
