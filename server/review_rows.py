"""The record of reviews (tables reviews, review_decisions, review_runs): who decided what about which revision.

Reviews are only added. A later one supersedes the earlier and names it; the work on its report is in review_runs.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from dbos import DBOSClient
from sqlalchemy import Connection, Row, desc, select, update

from inference.findings import Reviewer
from server.runs import RunState
from server.tables import review_runs, reviews
from server.work_queue import enqueue_review


def reviews_of(connection: Connection, study_instance_uid: str) -> list[Row[Any]]:
    """Every review of a study with the work on its report, the first first."""
    query = select_reviews().where(reviews.c.study_instance_uid == study_instance_uid).order_by(reviews.c.number)
    return list(connection.execute(query))


def review_of(connection: Connection, study_instance_uid: str, number: int) -> Row[Any]:
    """One review that exists."""
    which = (reviews.c.study_instance_uid == study_instance_uid, reviews.c.number == number)
    return connection.execute(select_reviews().where(*which)).one()


def newest_review(
    connection: Connection, study_instance_uid: str, *, revision: int | None = None, before: int | None = None
) -> Row[Any] | None:
    """The review that holds: of a study, of one revision of it, or of the revisions before one."""
    query = select_reviews().where(reviews.c.study_instance_uid == study_instance_uid)
    if revision is not None:
        query = query.where(reviews.c.revision == revision)
    if before is not None:
        query = query.where(reviews.c.revision < before)
    return connection.execute(query.order_by(desc(reviews.c.number)).limit(1)).one_or_none()


def earlier_review(connection: Connection, study_instance_uid: str, revision: int) -> str | None:
    """A sentence about the newest review of an earlier revision, for the report of a revision that nobody reviewed."""
    row = newest_review(connection, study_instance_uid, before=revision)
    if row is None:
        return None
    day = datetime.fromtimestamp(row.reviewed_at, UTC).date().isoformat()
    who = Reviewer(
        name=row.reviewer_name, identifier=row.reviewer_identifier, organisation=row.reviewer_organisation
    ).display_name
    return (
        f"Revision {row.revision} of this study was reviewed by {who} on {day} (review {row.number}). "
        f"That review does not hold for revision {revision}, which nobody has reviewed."
    )


def finish_review_run(
    connection: Connection, study_instance_uid: str, number: int, state: RunState, reason: str | None
) -> None:
    """Say what came of the work on a report."""
    which = (review_runs.c.study_instance_uid == study_instance_uid, review_runs.c.number == number)
    values = {"state": state.value, "reason": reason, "finished_at": time.time()}
    connection.execute(update(review_runs).where(*which).values(**values))


def requeue_failed_reviews(connection: Connection, client: DBOSClient, study_instance_uid: str) -> tuple[int, ...]:
    """Queue again the reports of reviews that failed; returns the reviews' numbers."""
    failed = (review_runs.c.study_instance_uid == study_instance_uid, review_runs.c.state == RunState.FAILED)
    rows = connection.execute(select(review_runs).where(*failed).order_by(review_runs.c.number)).all()
    for row in rows:
        which = (review_runs.c.study_instance_uid == study_instance_uid, review_runs.c.number == row.number)
        values = {"state": RunState.QUEUED.value, "generation": row.generation + 1, "queued_at": time.time()}
        connection.execute(update(review_runs).where(*which).values(reason=None, **values))
        enqueue_review(client, connection, study_instance_uid, row.number, generation=row.generation + 1)
    return tuple(row.number for row in rows)


def select_reviews() -> Any:
    """Reviews with the work on their reports."""
    joined = reviews.join(
        review_runs,
        (review_runs.c.study_instance_uid == reviews.c.study_instance_uid) & (review_runs.c.number == reviews.c.number),
    )
    work = (review_runs.c.generation, review_runs.c.state, review_runs.c.reason, review_runs.c.finished_at)
    return select(reviews, *work).select_from(joined)
