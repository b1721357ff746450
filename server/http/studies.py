"""Studies: what was received, what became of it, and what was found."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy import Row

from dicom_node import store
from server.database import reading
from server.http.access import Limit, Offset, Revision, StudyUid, TheClient, TheNode
from server.http.openapi import CONFLICT, NOT_THERE, produces
from server.operations import NotThere, complete, require_finished_run
from server.review_rows import reviews_of
from server.runs import runs_of
from server.shown import shown_findings
from server.worklist import study_json

router = APIRouter(prefix="/api/v1/studies", tags=["studies"])


@router.get("", summary="Studies, the one with the latest arrival first.")
def list_studies(
    node: TheNode, state: store.StudyState | None = None, limit: Limit = 100, offset: Offset = 0
) -> dict[str, Any]:
    """``next_offset`` is null on the last page."""
    with reading(node.engine) as connection:
        found = store.list_studies(connection, state=state, limit=offset + limit + 1)[offset:]
    following = offset + limit if len(found) > limit else None
    return {"studies": [study_json(study) for study in found[:limit]], "next_offset": following}


@router.get("/{study_instance_uid}", summary="One study with its revisions.", responses=NOT_THERE)
def one_study(node: TheNode, study_instance_uid: StudyUid) -> dict[str, Any]:
    """404 when nothing of it was received."""
    with reading(node.engine) as connection:
        study = store.study(connection, study_instance_uid)
        if study is None:
            raise NotThere(f"No instance of study {study_instance_uid} was received.")
        revisions = [_run(run) for run in runs_of(connection, study_instance_uid)]
    return study_json(study) | {"revisions": revisions}


@router.get(
    "/{study_instance_uid}/revisions",
    summary="The revisions of a study, each with its reviews.",
    responses=NOT_THERE,
)
def revisions(node: TheNode, study_instance_uid: StudyUid) -> dict[str, Any]:
    """Oldest first; 404 when nothing of it was received. ``reviews`` are numbers, the one that holds last."""
    with reading(node.engine) as connection:
        if store.study(connection, study_instance_uid) is None:
            raise NotThere(f"No instance of study {study_instance_uid} was received.")
        found = [_run(run) for run in runs_of(connection, study_instance_uid)]
        reviewed = [(review.revision, review.number) for review in reviews_of(connection, study_instance_uid)]
    for entry in found:
        entry["reviews"] = [number for revision, number in reviewed if revision == entry["revision"]]
    return {"study_instance_uid": study_instance_uid, "revisions": found}


@router.get(
    "/{study_instance_uid}/findings",
    summary="findings.json of the newest revision, or of one that is named.",
    response_class=Response,
    responses=NOT_THERE | produces("application/json"),
)
def findings(
    node: TheNode,
    study_instance_uid: StudyUid,
    revision: Revision = None,
    reviewed: bool = False,  # noqa: FBT001, FBT002
) -> Response:
    """The bytes as they were made; the header ``X-Spine-Revision`` says of which revision.

    With ``reviewed``, as the newest review of that revision left them (``X-Spine-Review`` is its number); 404 where
    nobody reviewed that revision, also if an earlier one was reviewed.
    """
    with reading(node.engine) as connection:
        run = require_finished_run(connection, study_instance_uid, revision)
        shown = shown_findings(connection, study_instance_uid, run, reviewed=reviewed)
    headers = {"X-Spine-Revision": str(run.revision)}
    if shown.review is not None:
        headers["X-Spine-Review"] = str(shown.review)
    return Response(node.spool.path(shown.path).read_bytes(), media_type="application/json", headers=headers)


@router.post(
    "/{study_instance_uid}/complete",
    status_code=202,
    summary="Read the study now, without waiting for its quiet period.",
    responses=NOT_THERE | CONFLICT,
)
def complete_study(node: TheNode, client: TheClient, study_instance_uid: StudyUid) -> dict[str, Any]:
    """``revision`` is the one that is read; nothing is read twice."""
    revision = complete(node, client, study_instance_uid)
    return {"study_instance_uid": study_instance_uid, "revision": revision}


def _run(run: Row[Any]) -> dict[str, Any]:
    return {
        "revision": run.revision,
        "state": run.state,
        "reason": run.reason,
        "queued_at": run.queued_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "inference_s": run.inference_s,
        "findings_sha256": run.findings_sha256,
    }
