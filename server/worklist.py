"""The worklist: the latest studies, sorted by priority, each with its state, what was found, and where that went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import Connection, Row, func, select

from dicom_node import store
from dicom_node.spool import Spool
from dicom_node.tables import deliveries
from inference.findings.encode import decode
from server.priority import PRIORITIES, Seen, Summary, priority_of, summary_of
from server.runs import RunState
from server.tables import runs

KEPT_SUMMARIES = 2000
"""Documents whose summary is kept in memory: a summary is a few kilobytes, and a document never changes."""
RECENT_RUNS = 20
"""Runs whose time tells how long reading a study usually takes."""


def worklist(connection: Connection, spool: Spool, *, limit: int, offset: int) -> dict[str, Any]:
    """The latest studies by arrival, sorted by priority, as JSON values; ``next_offset`` is None on the last page."""
    found = store.list_studies(connection, limit=offset + limit + 1)[offset:]
    shown = found[:limit]
    uids = [study.study_instance_uid for study in shown]
    of_study, sent = _runs(connection, uids), _deliveries(connection, uids)
    entries = [
        _entry(study, of_study.get(study.study_instance_uid, []), sent.get(study.study_instance_uid, []), spool)
        for study in shown
    ]
    entries.sort(key=lambda entry: (entry["priority"]["rank"], -entry["last_received_at"]))
    return {
        "studies": entries,
        "next_offset": offset + limit if len(found) > limit else None,
        "priorities": [{"code": p.code, "label": p.label, "alarm": p.alarm} for p in PRIORITIES],
        "usual_inference_s": usual_inference_s(connection),
    }


def study_json(study: store.Study) -> dict[str, Any]:
    """What was received of a study, as JSON values; times in seconds since the epoch."""
    return {
        "study_instance_uid": study.study_instance_uid,
        "state": study.state.value,
        "reason": study.reason,
        "revision": study.revision,
        "instances": study.instance_count,
        "expected_instances": study.expected_instances,
        "first_received_at": study.first_received_at,
        "last_received_at": study.last_received_at,
        "source_ae_title": study.source_ae_title,
    }


def usual_inference_s(connection: Connection) -> float | None:
    """Median time of the latest runs, in seconds; None before the first."""
    query = select(runs.c.inference_s).where(runs.c.inference_s.is_not(None))
    seconds = connection.execute(query.order_by(runs.c.finished_at.desc()).limit(RECENT_RUNS)).scalars().all()
    return round(median(seconds), 1) if seconds else None


def _runs(connection: Connection, uids: Sequence[str]) -> dict[str, list[Row[Any]]]:
    """Runs by study, oldest revision first."""
    query = select(runs).where(runs.c.study_instance_uid.in_(uids)).order_by(runs.c.revision)
    found: dict[str, list[Row[Any]]] = {}
    for row in connection.execute(query):
        found.setdefault(row.study_instance_uid, []).append(row)
    return found


def _deliveries(connection: Connection, uids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Counted objects by study, with revision, destination, state and one of the reasons."""
    key = (deliveries.c.study_instance_uid, deliveries.c.revision, deliveries.c.destination, deliveries.c.state)
    query = (
        select(*key, func.count().label("objects"), func.max(deliveries.c.reason).label("reason"))
        .where(deliveries.c.study_instance_uid.in_(uids))
        .group_by(*key)
        .order_by(*key)
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for row in connection.execute(query).mappings():
        values = dict(row)
        found.setdefault(values.pop("study_instance_uid"), []).append(values)
    return found


def _entry(
    study: store.Study, of_study: Sequence[Row[Any]], sent: list[dict[str, Any]], spool: Spool
) -> dict[str, Any]:
    newest = of_study[-1] if of_study else None
    read = next((run for run in reversed(of_study) if run.state == RunState.DONE), None)
    summary = None if read is None else _summary(spool.path(read.findings_path), read.findings_sha256)
    rank, priority = priority_of(Seen(state=study.state, summary=summary))
    return {
        **study_json(study),
        "queued_at": newest.queued_at if newest else None,
        "started_at": newest.started_at if newest else None,
        "finished_at": newest.finished_at if newest else None,
        "priority": {"rank": rank, "code": priority.code, "label": priority.label, "alarm": priority.alarm},
        "findings_revision": read.revision if read else None,
        **_said(summary),
        "deliveries": sent,
    }


def _said(summary: Summary | None) -> dict[str, Any]:
    if summary is None:
        return {"findings": [], "answers": [], "not_assessed": [], "numbering_note": None}
    return {
        "findings": [{"id": f.id, "question": f.question, "level": f.level, "text": f.text} for f in summary.called],
        "answers": [{"question": question, "text": text} for question, text in summary.answers],
        "not_assessed": [asdict(unanswered) for unanswered in summary.not_assessed],
        "numbering_note": summary.numbering_note,
    }


@lru_cache(maxsize=KEPT_SUMMARIES)
def _summary(path: Path, _sha256: str) -> Summary:
    """Of one findings.json; its digest is part of the key, so that other bytes are read anew."""
    return summary_of(decode(path.read_bytes()))
