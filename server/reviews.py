"""Recording a review: it is committed first; its report is made and delivered by durable work that the commit queues.

A review is applied to the findings as the AI gave them, never to an earlier review: a later one supersedes the earlier
and names it. What it makes of the findings is written beside the results before the row is committed, so that a
committed review always has its findings.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from dbos import DBOSClient
from sqlalchemy import Connection, Row, insert

from dicom_node.expiry import lock_study
from dicom_node.store import StudyState
from inference.findings import (
    Absent,
    DocumentReview,
    Finding,
    NotAssessed,
    Present,
    Reviewer,
    ReviewStatus,
    StudyFindings,
)
from inference.findings.encode import decode, encode
from inference.review import Review, ReviewFault, ReviewRefusal, apply_review
from server.compose import Node
from server.events import event
from server.expired import images_are_gone
from server.operations import NotThere
from server.review_images import SpoolImages
from server.review_rows import newest_review, review_of, select_reviews
from server.runs import RunState, runs_of
from server.tables import review_decisions, review_runs, reviews
from server.work_queue import enqueue_review


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked to be recorded."""

    study_instance_uid: str
    revision: int
    review: Review
    reviewer: Reviewer
    key: str
    """Chosen by the client: the same key again is the same review, not a second one."""
    document: str
    """The decisions as canonical JSON."""
    supersedes: int | None = None
    """Number of the review that the reviewer has seen; None where they do not say."""

    @property
    def sha256(self) -> str:
        """Of everything that was asked, the person included."""
        person = (self.reviewer.name, self.reviewer.identifier, self.reviewer.organisation)
        return hashlib.sha256("\n".join((str(self.revision), *person, self.document)).encode()).hexdigest()


def record_review(node: Node, client: DBOSClient, request: Request) -> tuple[Row[Any], bool]:
    """Commit a review and queue its report; returns its row, and whether it is new.

    Raises:
        NotThere: the study has no findings.
        ReviewRefusal: it does not fit the newest findings, or its key belongs to another review.
        Refusal: the study's images have expired.
    """
    with node.engine.begin() as connection:
        state = lock_study(connection, request.study_instance_uid)
        known = _of_key(connection, request)
        if known is not None:
            return known, False
        if state == StudyState.EXPIRED:
            raise images_are_gone(request.study_instance_uid)
        run = _newest_done(connection, request)
        previous = newest_review(connection, request.study_instance_uid)
        about = _about(request, previous)
        findings = decode(node.spool.path(run.findings_path).read_bytes())
        reviewed = apply_review(
            findings, request.review, about, SpoolImages(node.spool, connection, request.study_instance_uid)
        )
        _insert(connection, node, request, reviewed, str(PurePosixPath(run.findings_path).parent))
        enqueue_review(client, connection, request.study_instance_uid, about.number)
        event(
            "review_recorded",
            study_instance_uid=request.study_instance_uid,
            revision=request.revision,
            review=about.number,
        )
        return review_of(connection, request.study_instance_uid, about.number), True


def reviewed_findings(node: Node, row: Row[Any]) -> StudyFindings:
    """The findings after a review."""
    return decode(node.spool.path(row.findings_path).read_bytes())


def _of_key(connection: Connection, request: Request) -> Row[Any] | None:
    which = (reviews.c.study_instance_uid == request.study_instance_uid, reviews.c.idempotency_key == request.key)
    row = connection.execute(select_reviews().where(*which)).one_or_none()
    if row is not None and row.request_sha256 != request.sha256:
        raise ReviewRefusal(
            f"The idempotency key of this review was used for review {row.number}, which says something else.",
            fault=ReviewFault.KEY,
        )
    return row


def _newest_done(connection: Connection, request: Request) -> Row[Any]:
    done = [run for run in runs_of(connection, request.study_instance_uid) if run.state == RunState.DONE]
    if not done:
        raise NotThere(f"Study {request.study_instance_uid} has no findings to review.")
    newest = done[-1]
    if request.revision != newest.revision:
        raise ReviewRefusal(
            f"The newest findings are of revision {newest.revision}, the review is of revision {request.revision}.",
            fault=ReviewFault.SUPERSEDED,
        )
    return newest


def _about(request: Request, previous: Row[Any] | None) -> DocumentReview:
    number = None if previous is None else int(previous.number)
    if request.supersedes is not None and request.supersedes != number:
        what = "there is none" if number is None else f"review {number} is newer"
        raise ReviewRefusal(
            f"The review is to supersede review {request.supersedes}, but {what}.", fault=ReviewFault.SUPERSEDED
        )
    return DocumentReview(
        number=(number or 0) + 1,
        revision=request.revision,
        reviewer=request.reviewer,
        reviewed_at=datetime.now(UTC).replace(microsecond=0),
        supersedes=number,
    )


def _insert(connection: Connection, node: Node, request: Request, reviewed: StudyFindings, folder: str) -> None:
    about = reviewed.review
    assert about is not None  # noqa: S101 - apply_review sets it
    encoded = encode(reviewed)
    digest = hashlib.sha256(encoded).hexdigest()
    path = f"{folder}/reviewed-{digest[:16]}.json"  # by content: of two at once only one is committed
    node.spool.write_result(path, encoded)
    now = time.time()
    connection.execute(
        insert(reviews).values(
            study_instance_uid=request.study_instance_uid,
            number=about.number,
            revision=about.revision,
            supersedes=about.supersedes,
            idempotency_key=request.key,
            request_sha256=request.sha256,
            reviewer_name=about.reviewer.name,
            reviewer_identifier=about.reviewer.identifier,
            reviewer_organisation=about.reviewer.organisation,
            reviewed_at=about.reviewed_at.timestamp(),
            document=request.document,
            findings_path=path,
            findings_sha256=digest,
        )
    )
    key = {"study_instance_uid": request.study_instance_uid, "number": about.number}
    connection.execute(insert(review_runs).values(**key, generation=1, state=RunState.QUEUED.value, queued_at=now))
    for ordinal, finding in enumerate(reviewed.findings):
        values = _decision(finding, reviewed)
        connection.execute(insert(review_decisions).values(**key, ordinal=ordinal, **values))


def _word(finding: Finding) -> str:
    match finding.assessment:
        case Present():
            return "present"
        case Absent():
            return "absent"
        case NotAssessed():
            return "not_assessed"


def _decision(finding: Finding, reviewed: StudyFindings) -> dict[str, Any]:
    """One decision as statistics count it: what the AI said, and what became of it."""
    review = finding.review
    assert review is not None  # noqa: S101 - every finding of a reviewed document has one
    said = review.original or finding
    model = next((m for m in reviewed.models if m.name == finding.model), None)
    is_added = review.status is ReviewStatus.ADDED
    return {
        "finding_id": finding.id,
        "question": finding.question.value,
        "level": said.site.level,
        "model": None if model is None else model.name,
        "model_version": None if model is None else model.version,
        "ai_assessment": None if is_added else _word(said),
        "status": review.status.value,
        "reason": None if review.reason is None else review.reason.value,
    }
