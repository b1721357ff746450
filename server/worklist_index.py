"""What the worklist says of each study, kept in a table: made from findings when they are new, and only then.

A row follows from the findings as the newest review of the newest readable revision left them, else as the AI gave
them. Whoever looks at the list first makes the rows that are missing; a digest tells which are.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib import import_module
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, func, select

from dicom_node.object_store import ObjectStoreFailure
from dicom_node.spool import Spool
from dicom_node.store import StudyState
from inference.errors import SpineError
from inference.findings import StudyFindings
from inference.findings.encode import decode
from server.database import reading
from server.events import fault
from server.outputs import outputs_of
from server.priority import Seen, Summary, priority_of, summary_of
from server.runs import RunState
from server.tables import reviews, runs, worklist_entries

FORMAT = "1"
"""Of a row: another one makes every row anew, as does another version of what is said (priorities, words)."""
BATCH = 50
"""Rows that are written in one transaction."""
_STATES = {
    "rank_done": StudyState.DONE,
    "rank_not_read": StudyState.FAILED,
    "rank_open": StudyState.RECEIVING,
}
_E = worklist_entries.c


class WorklistIndex:
    """Keeps the table complete. Safe to use from several threads and processes: rows of one source are equal."""

    def __init__(self, engine: Engine, spool: Spool, *, version: str) -> None:
        """Over one node; ``version`` of the software, whose words are in the rows."""
        self._engine, self._spool, self._version = engine, spool, f"{FORMAT}:{version}"
        self._seen: tuple[Any, ...] | None = None

    def refresh(self, *, budget_s: float) -> bool:
        """Make missing rows for about so long, at least BATCH of them; returns whether none is missing any more.

        Where findings cannot be fetched now, they are missing still.
        """
        try:
            return self._refresh(budget_s)
        except ObjectStoreFailure as failure:
            fault("findings_not_fetched", failure)
            return False

    def _refresh(self, budget_s: float) -> bool:
        deadline = time.monotonic() + budget_s
        with reading(self._engine) as connection:
            marker = _marker(connection)
            if marker == self._seen:
                return True
            stale = connection.execute(_stale(self._version)).all()
        for first in range(0, len(stale), BATCH):
            rows = [self._row(row) for row in stale[first : first + BATCH]]
            with self._engine.begin() as connection:
                _write(connection, rows)
            if time.monotonic() > deadline and first + BATCH < len(stale):
                return False
        self._seen = marker
        return True

    def _row(self, row: Row[Any]) -> dict[str, Any]:
        """One row; findings that cannot be read any more have no summary: such a study was not read."""
        document = self._findings(row.path)
        summary = None if document is None else summary_of(document)
        ranks = {name: priority_of(Seen(state=state, summary=summary))[0] for name, state in _STATES.items()}
        return {
            "study_instance_uid": row.study_instance_uid,
            "source": _source(row.digest, self._version),
            "findings_revision": row.revision,
            "review": row.review,
            "called": _words(called.question for called in summary.called) if summary else "",
            "not_assessed": _words(entry.reason for entry in summary.not_assessed) if summary else "",
            "said": _compact(said_of(summary)),
            "outputs": _compact({} if document is None else outputs_of(document)),
            **ranks,
        }

    def _findings(self, path: str) -> StudyFindings | None:
        file = self._spool.path(path)
        try:
            return decode(file.read_bytes())
        except (OSError, SpineError) as error:
            fault("findings_unreadable", error)
            return None


def said_of(summary: Summary | None) -> dict[str, Any]:
    """What is shown of a study, as JSON values."""
    if summary is None:
        return {"findings": [], "answers": [], "not_assessed": [], "numbering_note": None, "changes": []}
    return {
        "findings": [{"id": f.id, "question": f.question, "level": f.level, "text": f.text} for f in summary.called],
        "answers": [{"question": question, "text": text} for question, text in summary.answers],
        "not_assessed": [asdict(unanswered) for unanswered in summary.not_assessed],
        "numbering_note": summary.numbering_note,
        "changes": [asdict(change) for change in summary.changes],
    }


def rank_without_findings(state: StudyState) -> int:
    """The place in the order of a study that has no row (yet)."""
    return priority_of(Seen(state=StudyState.RECEIVING if state is StudyState.DONE else state, summary=None))[0]


def has_word(column: ColumnElement[str], word: str) -> ColumnElement[bool]:
    """Whether ``called`` or ``not_assessed`` has a word."""
    return column.contains(f",{word},", autoescape=True)


def _words(words: Iterator[str]) -> str:
    found = sorted(set(words))
    return f",{','.join(found)}," if found else ""


def _source(digest: str, version: str) -> str:
    return f"{digest}:{version}"


def _marker(connection: Connection) -> tuple[Any, ...]:
    """Changes whenever a run ends or a review is recorded: cheap to ask, unlike which rows are missing."""
    done = select(func.count(), func.max(runs.c.finished_at)).where(runs.c.state == RunState.DONE)
    reviewed = connection.execute(select(func.count()).select_from(reviews)).scalar_one()
    made = connection.execute(select(func.count()).select_from(worklist_entries)).scalar_one()
    return (*connection.execute(done).one(), reviewed, made)


def _stale(version: str) -> Select[Any]:
    """Studies without a row of their newest findings, the newest first, each with where those are."""
    is_done = runs.c.state == RunState.DONE
    newest = select(runs.c.study_instance_uid, func.max(runs.c.revision).label("revision")).where(is_done)
    last = newest.group_by(runs.c.study_instance_uid).subquery()
    numbers = select(reviews.c.study_instance_uid, reviews.c.revision, func.max(reviews.c.number).label("number"))
    holds = numbers.group_by(reviews.c.study_instance_uid, reviews.c.revision).subquery()
    of_run = (runs.c.study_instance_uid == last.c.study_instance_uid) & (runs.c.revision == last.c.revision)
    of_revision = (holds.c.study_instance_uid == last.c.study_instance_uid) & (holds.c.revision == last.c.revision)
    of_review = (reviews.c.study_instance_uid == holds.c.study_instance_uid) & (reviews.c.number == holds.c.number)
    digest = func.coalesce(reviews.c.findings_sha256, runs.c.findings_sha256, "")
    joined = (
        last.join(runs, of_run)
        .outerjoin(holds, of_revision)
        .outerjoin(reviews, of_review)
        .outerjoin(worklist_entries, _E.study_instance_uid == last.c.study_instance_uid)
    )
    columns = (
        last.c.study_instance_uid,
        last.c.revision,
        holds.c.number.label("review"),
        func.coalesce(reviews.c.findings_path, runs.c.findings_path).label("path"),
        digest.label("digest"),
    )
    wanted = digest + f":{version}"
    missing = _E.source.is_(None) | (_E.source != wanted) | (_E.findings_revision != last.c.revision)
    return select(*columns).select_from(joined).where(missing).order_by(runs.c.finished_at.desc())


def _write(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    insert = import_module(f"sqlalchemy.dialects.{connection.dialect.name}").insert(worklist_entries)
    changes = {name: insert.excluded[name] for name in rows[0] if name != "study_instance_uid"}
    connection.execute(insert.on_conflict_do_update(index_elements=[_E.study_instance_uid], set_=changes), rows)


def _compact(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))
