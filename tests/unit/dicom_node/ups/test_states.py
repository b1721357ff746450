"""The whole table of state transitions, as PS3.4 Table CC.1.1-2 prints it, with its status codes."""

from __future__ import annotations

import pytest

from dicom_node.ups.states import STATES, TRANSITIONS, Event, Lock, UpsState, WorkitemRefusal, step

PRINTED = """
event                           | none      | SCHEDULED   | IN PROGRESS | COMPLETED | CANCELED
create                          | SCHEDULED | 0111        | 0111        | 0111      | 0111
change state to IN PROGRESS +   | C307      | IN PROGRESS | C302        | C300      | C300
change state to IN PROGRESS -   | C307      | C301        | C301        | C301      | C301
change state to SCHEDULED       | C307      | C303        | C303        | C303      | C303
change state to COMPLETED +     | C307      | C310        | COMPLETED   | B306      | C300
change state to COMPLETED -     | C307      | C301        | C301        | C301      | C301
request cancellation            | C307      | CANCELED    | C312        | C311      | B304
change state to CANCELED +      | C307      | C310        | CANCELED    | C300      | B304
change state to CANCELED -      | C307      | C301        | C301        | C301      | C301
"""
"""``+`` with the correct Transaction UID, ``-`` without it. C312 stands for "report that a cancel was requested": there
is nobody to whom this node reports."""
HELD = "2.25.1"
FINAL = "The submitted request is inconsistent with the current state of the Workitem."


def rows() -> list[tuple[str, str, int, str]]:
    lines = [[cell.strip() for cell in line.split("|")] for line in PRINTED.strip().splitlines()[1:]]
    return [
        (cells[0].rstrip(" +-"), cells[0][-1], column, cell) for cells in lines for column, cell in enumerate(cells[1:])
    ]


def outcome(event: Event, state: UpsState | None, lock: Lock) -> str:
    try:
        after, warning = step(event, state, lock)
    except WorkitemRefusal as refusal:
        return f"{refusal.reason.value:04X}"
    return after.value if warning is None else f"{warning.value:04X}"


@pytest.mark.parametrize(("name", "lock", "column", "expected"), rows())
def test_every_cell_of_the_table(name: str, lock: str, column: int, expected: str) -> None:
    event, state = Event(name), STATES[column]
    held = None if state in {None, UpsState.SCHEDULED} else HELD
    right = Lock(held=held, given=HELD)
    wrong = [Lock(held=held, given=None)]
    if held is not None:
        wrong.append(Lock(held=held, given="2.25.2"))

    assert {outcome(event, state, given) for given in (wrong if lock == "-" else [right])} == {expected}


def test_every_event_has_its_row() -> None:
    assert {event for event, _ in TRANSITIONS} == set(Event)
    assert all(len(row) == len(STATES) for row in TRANSITIONS.values())


@pytest.mark.parametrize(
    ("state", "given", "status", "text"),
    [
        (UpsState.SCHEDULED, HELD, 409, "The target URI did not reference a claimed Workitem."),
        (UpsState.IN_PROGRESS, None, 400, "The Transaction UID is missing."),
        (UpsState.IN_PROGRESS, "2.25.2", 400, "The Transaction UID is incorrect."),
        (
            UpsState.COMPLETED,
            HELD,
            400,
            FINAL,
        ),
        (UpsState.CANCELED, None, 400, FINAL),
    ],
)
def test_an_update_has_the_statuses_and_warnings_of_ps318_11_6(
    state: UpsState, given: str | None, status: int, text: str
) -> None:
    held = None if state is UpsState.SCHEDULED else HELD
    with pytest.raises(WorkitemRefusal) as caught:
        step(Event.UPDATE, state, Lock(held=held, given=given))

    assert (caught.value.status, caught.value.warning) == (status, text)


def test_a_transaction_uid_that_was_never_set_opens_nothing() -> None:
    assert outcome(Event.COMPLETE, UpsState.IN_PROGRESS, Lock(held=None, given=None)) == "C301"
