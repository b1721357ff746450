"""Reviews: what a person decides about the findings of a revision."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from sqlalchemy import Row

from dicom_node import store
from inference.findings import Reviewer
from inference.review import ReviewFault, ReviewRefusal
from server import reviews
from server.auth.roles import Method, Principal
from server.database import reading
from server.http.access import StudyUid, TheClient, TheNode, ThePrincipal
from server.http.openapi import CONFLICT, NOT_THERE
from server.http.review_bodies import ReviewBody, named
from server.operations import NotThere
from server.review_rows import reviews_of

router = APIRouter(prefix="/api/v1/studies", tags=["reviews"])
Key = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="Chosen by the client, one for each review: posting it again records nothing twice.",
    ),
]


@router.post(
    "/{study_instance_uid}/reviews",
    status_code=201,
    summary="Record a review; its verified report is made and delivered.",
    responses=NOT_THERE | CONFLICT | {200: {"description": "It had been recorded."}},
)
def post_review(
    *,
    node: TheNode,
    client: TheClient,
    principal: ThePrincipal,
    response: Response,
    study_instance_uid: StudyUid,
    body: ReviewBody,
    key: Key,
) -> dict[str, Any]:
    """201 when it was recorded, 200 when it had been. A review that cannot be applied is 422, one that is late 409."""
    asked = reviews.Request(
        study_instance_uid=study_instance_uid,
        revision=body.revision,
        review=body.value(),
        reviewer=reviewer(principal, body, node.settings.organisation),
        key=key,
        document=body.document(),
        supersedes=body.supersedes,
    )
    row, is_new = reviews.record_review(node, client, asked)
    response.status_code = 201 if is_new else 200
    return _review(row)


@router.get("/{study_instance_uid}/reviews", summary="The reviews of a study; the last one holds.", responses=NOT_THERE)
def list_reviews(node: TheNode, study_instance_uid: StudyUid) -> dict[str, Any]:
    """Oldest first, each with its decisions and with what became of its report."""
    with reading(node.engine) as connection:
        if store.study(connection, study_instance_uid) is None:
            raise NotThere(f"No instance of study {study_instance_uid} was received.")
        found = [_review(row) for row in reviews_of(connection, study_instance_uid)]
    return {"study_instance_uid": study_instance_uid, "reviews": found}


def reviewer(principal: Principal, body: ReviewBody, organisation: str) -> Reviewer:
    """Who reviews: the user who is logged in; on a node where nobody logs in, the person that the body names.

    Raises:
        ReviewRefusal: it is nobody, or a machine, or the organisation is not known.
    """
    if principal.is_person:
        user = Reviewer(name=principal.display_name, identifier=principal.subject, organisation=organisation)
        return _checked(user)
    if principal.method is not Method.LOOPBACK:
        raise _refused("A review is a person's, who is logged in.")
    if body.reviewer is None:
        raise _refused("Where nobody logs in, a review names its reviewer: name, identifier and organisation.")
    return _checked(named(body.reviewer))


def _checked(person: Reviewer) -> Reviewer:
    """Refuse what a report cannot say: it is written in ASCII, accents apart."""
    if not person.organisation.strip():
        raise _refused("A report is verified for an organisation; set organisation, which is empty.")
    if not any(letter.isascii() and letter.isalpha() for letter in person.name.split("=")[0]):
        raise _refused("The name of a reviewer has Latin letters: reports are written in ASCII.")
    return person


def _refused(sentence: str) -> ReviewRefusal:
    return ReviewRefusal(sentence, fault=ReviewFault.REVIEWER)


def _review(row: Row[Any]) -> dict[str, Any]:
    return {
        "number": row.number,
        "revision": row.revision,
        "supersedes": row.supersedes,
        "reviewed_at": datetime.fromtimestamp(row.reviewed_at, UTC).isoformat(timespec="seconds"),
        "reviewer": {
            "name": row.reviewer_name,
            "identifier": row.reviewer_identifier,
            "organisation": row.reviewer_organisation,
        },
        "findings_sha256": row.findings_sha256,
        "report": {"state": row.state, "reason": row.reason, "finished_at": row.finished_at},
        "decisions": json.loads(row.document),
    }
