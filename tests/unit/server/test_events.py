from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from server import events


@pytest.fixture(autouse=True)
def configured() -> Iterator[None]:
    root, library = logging.getLogger(), logging.getLogger("dbos")
    before = (root.handlers, root.level, library.handlers, library.propagate)
    events.configure("INFO")
    yield
    root.handlers, root.level, library.handlers, library.propagate = before


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_field_off_the_list_is_dropped_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    events.configure("INFO")
    events.event("instance_stored", sop_instance_uid="1.2", patient_name="DOE^JANE")

    (line,) = lines(capsys)
    assert line["sop_instance_uid"] == "1.2"
    assert line["dropped"] == ["patient_name"]
    assert "DOE" not in json.dumps(line)


def raise_with_identity() -> None:
    raise ValueError("bad value DOE^JANE")


@pytest.mark.parametrize("name", ["dbos", "pynetdicom", "sqlalchemy.engine"])
def test_a_library_cannot_quote_a_dataset(capsys: pytest.CaptureFixture[str], name: str) -> None:
    events.configure("INFO")
    try:
        raise_with_identity()
    except ValueError as error:
        logging.getLogger(name).error("cannot store %s", "DOE^JANE", exc_info=error)  # noqa: TRY400 - the form that libraries use

    (line,) = lines(capsys)
    assert (line["event"], line["logger"], line["error"]) == ("library_error", name, "ValueError")
    assert any("raise_with_identity" in frame for frame in line["frames"])  # type: ignore[union-attr,attr-defined]
    assert "DOE" not in json.dumps(line)


def test_our_own_packages_log_events_with_fields(capsys: pytest.CaptureFixture[str]) -> None:
    events.configure("INFO")
    logging.getLogger("dicom_node.scp").info("receiver_listening", extra={"port": 104, "ae_title": "A", "secret": "x"})

    (line,) = lines(capsys)
    assert (line["event"], line["port"], line["ae_title"]) == ("receiver_listening", 104, "A")
    assert "secret" not in line


def test_a_fault_says_where_and_not_what(capsys: pytest.CaptureFixture[str]) -> None:
    events.configure("INFO")
    try:
        raise_with_identity()
    except ValueError as error:
        events.fault("study_fault", error, study_instance_uid="1.2")

    (line,) = lines(capsys)
    assert (line["event"], line["error"], line["level"]) == ("study_fault", "ValueError", "error")
    assert "DOE" not in json.dumps(line)
