"""Logs: one JSON object a line on stderr, an event name and fields of a short list. No dataset, no name.

A field that is not on the list is dropped and its name is said. What a library logs is reduced to where it came from
and the type of its exception: a message, and the text of an exception, may quote a dataset.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any

from dicom_node.undecoded import hidden

with hidden("rich"):  # structlog would load it to draw tracebacks, but our logs are JSON
    import structlog

FIELDS = frozenset(
    {
        "adopted",
        "ae_title",
        "again",
        "association",
        "attachment",
        "attempt",
        "bytes",
        "called_ae_title",
        "calling_ae_title",
        "claim",
        "committed",
        "count",
        "dead",
        "destination",
        "ending",
        "engine",
        "errno",
        "error",
        "evaluation",
        "executor_id",
        "exit_code",
        "failed",
        "fault",
        "frames",
        "host",
        "is_known",
        "instances",
        "level",
        "logger",
        "model",
        "pid",
        "port",
        "reason",
        "reason_code",
        "review",
        "revision",
        "role",
        "seconds",
        "set_aside",
        "series_instance_uid",
        "sop_class_uid",
        "sop_instance_uid",
        "state",
        "status",
        "study",
        "study_instance_uid",
        "transaction_uid",
        "verdict",
        "workflow_id",
    }
)
"""What may be logged: identifiers without identity, counts, states."""

OUR_PACKAGES = ("dicom_node", "inference", "models")
_OF_EVERY_RECORD = frozenset({"process", "name", "level"})
_LIBRARY_LEVEL = logging.WARNING
_FRAMES = 6


def configure(level: str = "INFO") -> None:
    """Send our events, and what libraries warn about, to stderr as JSON lines."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            keep_listed_fields,
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [LibraryHandler()]
    root.setLevel(_LIBRARY_LEVEL)
    for package in OUR_PACKAGES:
        logging.getLogger(package).setLevel(level)
    library = logging.getLogger("dbos")  # it adds a handler of its own, that prints tracebacks, unless it finds one
    library.handlers = [LibraryHandler()]
    library.propagate = False


def event(name: str, **fields: str | float | list[str] | None) -> None:
    """Log one event at level INFO."""
    structlog.get_logger().info(name, **fields)


def fault(name: str, error: BaseException | None = None, **fields: str | float | list[str] | None) -> None:
    """Log one event at level ERROR, with the type and the place of an exception, never its text."""
    if error is not None:
        fields["error"] = type(error).__name__
        fields["frames"] = frames_of(error)
    structlog.get_logger().error(name, **fields)


def frames_of(error: BaseException) -> list[str]:
    """The innermost places of a traceback: ``module.py:line function``."""
    stack = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    return [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in stack]


def keep_listed_fields(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop what is not on the list, and say what was dropped."""
    allowed = FIELDS | {"event", "level", "timestamp"}
    dropped = sorted(set(fields) - allowed)
    for name in dropped:
        del fields[name]
    if dropped:
        fields["dropped"] = dropped
    return fields


class LibraryHandler(logging.Handler):
    """What was logged through the standard library, by our own packages or by others.

    Ours log an event name with fields in ``extra``; they get the same form as every event. Of others only the name,
    the level, the place and the exception's type are kept.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        error = record.exc_info[1] if record.exc_info else None
        log = structlog.get_logger()
        if record.name.split(".")[0] in OUR_PACKAGES:
            fields = {name: value for name, value in vars(record).items() if name in FIELDS - _OF_EVERY_RECORD}
            log.log(record.levelno, str(record.msg), **fields)
            return
        place = [f"{record.filename}:{record.lineno} {record.funcName}"]
        log.log(
            record.levelno,
            "library_warning" if record.levelno < logging.ERROR else "library_error",
            logger=record.name,
            error=type(error).__name__ if error else None,
            frames=frames_of(error) if error else place,
        )
