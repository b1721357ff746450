"""What a payer answers to a submission: TA1, 999, 277CA or OperationOutcome, as one verdict.

Codes: TA104 and TA105 (X12 data elements I17, I18), AK901 and IK501 (715, 717), claim status categories of the 277CA
(external code list 507), severities of OperationOutcome (FHIR R4). A code that no table names leaves the submission
waiting: wrongly calling it accepted loses it, a person sees what waits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from claims.attachment import AttachmentRefusal
from claims.attachments.x12_reader import Interchange, Segment, Transaction, read_interchange

DUPLICATE = "025"
"""TA105: the interchange control number was used before; the payer has it already."""


class Answer(IntEnum):
    """What became of a submission; the worst of several counts, which is the largest."""

    ACCEPTED = 0
    WAITING = 1
    """Received; nothing was said of it yet, or nothing that is understood here."""
    REFUSED = 2


INTERCHANGE: Mapping[str, Answer] = {"A": Answer.WAITING, "E": Answer.WAITING, "R": Answer.REFUSED}
"""TA104: an interchange that was taken is not read yet; that is what a 999 says."""
TRANSACTION: Mapping[str, Answer] = {
    "A": Answer.ACCEPTED,
    "E": Answer.ACCEPTED,
    "M": Answer.REFUSED,
    "P": Answer.REFUSED,
    "R": Answer.REFUSED,
    "W": Answer.REFUSED,
    "X": Answer.REFUSED,
}
"""AK901 and IK501."""
CLAIM: Mapping[str, Answer] = {
    "A0": Answer.WAITING,
    "A1": Answer.ACCEPTED,
    "A2": Answer.ACCEPTED,
    "A3": Answer.REFUSED,
    "A4": Answer.REFUSED,
    "A5": Answer.ACCEPTED,
    "A6": Answer.REFUSED,
    "A7": Answer.REFUSED,
    "A8": Answer.REFUSED,
}
"""STC01-1 of a 277CA: forwarded, receipt, accepted, unprocessable, not found, split, missing, invalid, relational."""
_REFUSING = frozenset({"error", "fatal"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """One answer."""

    kind: str
    """``TA1``, ``999``, ``277CA``, ``OperationOutcome`` or ``none``."""
    answer: Answer
    code: str
    """The codes that decided it, for a person; no text of the payer, which may name a patient."""
    references: tuple[str, ...] = ()
    """Control numbers that it is about: of interchange, group, or the attachment (TRN02)."""


NOTHING = Acknowledgement(kind="none", answer=Answer.WAITING, code="")
"""An answer without a word about the submission."""


def read_acknowledgement(data: bytes) -> Acknowledgement:
    """Read what came back, whichever it is.

    Raises:
        AttachmentRefusal: it is X12 and broken.
    """
    text = data.strip()
    if text.startswith(b"ISA"):
        return _of_x12(read_interchange(text))
    if text.startswith(b"{"):
        return _of_fhir(text)
    return NOTHING


def _of_x12(interchange: Interchange) -> Acknowledgement:
    found = [*(_of_ta1(segment) for segment in interchange.acknowledgments)]
    for transaction in interchange.transactions:
        if transaction.identifier == "999":
            found.append(_of_999(transaction))
        elif transaction.identifier == "277":
            found.append(_of_277(interchange, transaction))
    return max(found, key=lambda one: one.answer, default=NOTHING)


def _of_ta1(segment: Segment) -> Acknowledgement:
    answer = Answer.WAITING if segment[5] == DUPLICATE else INTERCHANGE.get(segment[4], Answer.WAITING)
    return Acknowledgement(
        kind="TA1", answer=answer, code=f"TA104 {segment[4]}, TA105 {segment[5]}", references=(segment[1],)
    )


def _of_999(transaction: Transaction) -> Acknowledgement:
    said = [(s.identifier, s[1]) for s in transaction.segments if s.identifier in {"AK9", "IK5"}]
    answers = [TRANSACTION.get(code, Answer.WAITING) for _, code in said]
    return Acknowledgement(
        kind="999",
        answer=max(answers, default=Answer.WAITING),
        code=", ".join(f"{name}01 {code}" for name, code in said),
        references=tuple(s[2] for s in transaction.segments if s.identifier in {"AK1", "AK2"}),
    )


def _of_277(interchange: Interchange, transaction: Transaction) -> Acknowledgement:
    codes = [interchange.parts(s[1])[0] for s in transaction.segments if s.identifier == "STC"]
    return Acknowledgement(
        kind="277CA",
        answer=max((CLAIM.get(code, Answer.WAITING) for code in codes), default=Answer.WAITING),
        code=", ".join(f"STC01-1 {code}" for code in codes),
        references=tuple(s[2] for s in transaction.segments if s.identifier == "TRN"),
    )


def _of_fhir(text: bytes) -> Acknowledgement:
    try:
        document = json.loads(text)
    except ValueError:
        return NOTHING
    issues = list(_issues(document))
    if not issues:
        return NOTHING
    refused = [issue for issue in issues if issue[0] in _REFUSING and issue[1] != "duplicate"]
    return Acknowledgement(
        kind="OperationOutcome",
        answer=Answer.REFUSED if refused else Answer.ACCEPTED,
        code=", ".join(f"{severity} {code}" for severity, code in issues),
    )


def _issues(document: object) -> Iterator[tuple[str, str]]:
    """Severity and code of every issue of an OperationOutcome, alone or as a part of Parameters."""
    if not isinstance(document, dict):
        return
    if document.get("resourceType") == "OperationOutcome":
        for issue in document.get("issue") or ():
            if isinstance(issue, dict):
                yield _code(issue.get("severity")), _code(issue.get("code"))
    for parameter in document.get("parameter") or ():
        if isinstance(parameter, dict):
            yield from _issues(parameter.get("resource"))


def _code(value: object) -> str:
    """A code of FHIR; anything else is not repeated."""
    return value if isinstance(value, str) and value.isascii() and value.replace("-", "").isalpha() else "unknown"


def require_known(acknowledgement: Acknowledgement) -> None:
    """Refuse what says nothing.

    Raises:
        AttachmentRefusal: it is no acknowledgement.
    """
    if acknowledgement is NOTHING:
        raise AttachmentRefusal("This is no acknowledgement: neither TA1, 999, 277CA nor OperationOutcome.")
