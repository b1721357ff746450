"""Which findings of a study are shown: as the AI gave them, or as the newest review left them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from server.operations import NotThere
from server.review_rows import newest_review


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The findings of one revision: as the AI gave them, or as the newest review left them."""

    path: str
    sha256: str
    review: int | None
    """The review's number; None as the AI gave them."""
    reviewed_at: float | None
    """When, in seconds since the epoch; None as the AI gave them."""


def shown_findings(connection: Connection, study_instance_uid: str, run: Row[Any], *, reviewed: bool) -> Shown:
    """Which findings of a finished run are asked for.

    Raises:
        NotThere: reviewed ones, and nobody reviewed this revision.
    """
    if not reviewed:
        return Shown(path=run.findings_path, sha256=run.findings_sha256 or "", review=None, reviewed_at=None)
    review = newest_review(connection, study_instance_uid, revision=run.revision)
    if review is None:
        raise NotThere(f"Revision {run.revision} of study {study_instance_uid} was not reviewed.")
    return Shown(
        path=review.findings_path,
        sha256=review.findings_sha256,
        review=review.number,
        reviewed_at=review.reviewed_at,
    )
