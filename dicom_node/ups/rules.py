"""What PS3.4 Table CC.2.5-3 demands of a workitem: to be created, to be updated, and to reach its final state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dicom_node.dicomweb.refusals import bad_request, checked_uid
from dicom_node.ups.elements import Dataset, Element, code, dataset, element, tag, text_of, values_of
from dicom_node.ups.states import Status, UpsState, WorkitemRefusal

UPS_PUSH_SOP_CLASS = "1.2.840.10008.5.1.4.34.6.1"
"""Of every workitem, whichever service touches it (PS3.4 CC.3.1)."""
GLOBAL_SUBSCRIPTION, FILTERED_SUBSCRIPTION = "1.2.840.10008.5.1.4.34.5", "1.2.840.10008.5.1.4.34.5.1"
"""Well-known UIDs that stand for the whole worklist (PS3.4 CC.3.1)."""
DETECTION = code("110004", "DCM", "Computer Aided Detection")
PERFORMED_CODES = frozenset({("110004", "DCM"), ("110003", "DCM")})
"""Scheduled Workitem Codes that this node performs: Computer Aided Detection and Diagnosis (PS3.16 CID 9231)."""

_NEVER_GIVEN = ("TransactionUID", "AffectedSOPInstanceUID", "SOPClassUID")
_PRIORITIES = frozenset({"HIGH", "MEDIUM", "LOW"})
_READINESS = frozenset({"READY", "INCOMPLETE", "UNAVAILABLE"})
TYPE_1 = (
    "ScheduledProcedureStepPriority",
    "ProcedureStepLabel",
    "ScheduledProcedureStepStartDateTime",
    "InputReadinessState",
)
_TYPE_2 = (
    "ScheduledWorkitemCodeSequence",
    "InputInformationSequence",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "AdmissionID",
    "ReferencedRequestSequence",
)
_NOT_UPDATED = (*_NEVER_GIVEN, "SOPInstanceUID", "ProcedureStepState")
_OF_COMPLETED = (
    "PerformedStationNameCodeSequence",
    "PerformedProcedureStepStartDateTime",
    "PerformedWorkitemCodeSequence",
    "PerformedProcedureStepEndDateTime",
)
"""With a value in the UPS Performed Procedure Sequence, beside an Output Information Sequence, which may be empty."""
DEFAULT_WORKLIST = "Spine imaging AI"


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A workitem that may be created."""

    document: Dataset
    is_modified: bool
    """Whether attributes were added that were not given."""


def created(given: Dataset, uid: str) -> Created:
    """The workitem of a Create request.

    Raises:
        WebRefusal: 400, it is not what the N-CREATE column of the table demands.
    """
    if text_of(given, "ProcedureStepState") != UpsState.SCHEDULED:
        raise bad_request("A workitem is created with Procedure Step State (0074,1000) SCHEDULED.")
    if text_of(given, "SOPInstanceUID") not in {None, uid}:
        raise bad_request("The SOP Instance UID in the body is not the workitem UID of the request.")
    _refuse_given(given, _NEVER_GIVEN)
    for keyword in TYPE_1:
        if not values_of(given, keyword):
            raise bad_request(f"A workitem is created with a value of {_named(keyword)}.")
    _check_words(given)
    document = {name: value for name, value in given.items() if name not in _removed(_NOT_UPDATED)}
    added = dict(element(keyword) for keyword in _TYPE_2 if tag(keyword) not in given)
    if not values_of(given, "WorklistLabel"):
        added |= dict([element("WorklistLabel", DEFAULT_WORKLIST)])
    return Created(document=document | added, is_modified=bool(added))


def updated(document: Dataset, changes: Dataset) -> Dataset:
    """The workitem after an update; each element that is given replaces the whole element.

    Raises:
        WebRefusal: 400, what is given may not be updated.
    """
    _refuse_given(changes, _NOT_UPDATED)
    for keyword in TYPE_1:
        if tag(keyword) in changes and not values_of(changes, keyword):
            raise bad_request(f"{_named(keyword)} cannot be emptied.")
    _check_words(changes)
    return document | changes


def _check_words(given: Dataset) -> None:
    for keyword, words in (("ScheduledProcedureStepPriority", _PRIORITIES), ("InputReadinessState", _READINESS)):
        if values_of(given, keyword) and text_of(given, keyword) not in words:
            raise bad_request(f"{_named(keyword)} is one of {', '.join(sorted(words))}.")


def _refuse_given(given: Dataset, keywords: Sequence[str]) -> None:
    for keyword in keywords:
        if values_of(given, keyword):
            raise bad_request(f"{_named(keyword)} is not given here.")


def _removed(keywords: Sequence[str]) -> frozenset[str]:
    return frozenset(tag(keyword) for keyword in keywords)


def _named(keyword: str) -> str:
    name = tag(keyword)
    return f"{keyword} ({name[:4]},{name[4:]})"


def check_completed(document: Dataset) -> None:
    """Refuse what is not complete.

    Raises:
        WorkitemRefusal: C304, with the attribute that is missing.
    """
    performed = values_of(document, "UnifiedProcedureStepPerformedProcedureSequence")
    for keyword in _OF_COMPLETED:
        if not performed or not values_of(performed[0], keyword):
            raise _incomplete(keyword)
    if tag("OutputInformationSequence") not in performed[0]:
        raise _incomplete("OutputInformationSequence")


def _incomplete(keyword: str) -> WorkitemRefusal:
    sentence = f"To be COMPLETED, the Performed Procedure Sequence (0074,1216) has {_named(keyword)}."
    return WorkitemRefusal(Status.FINAL_STATE_NOT_MET, sentence)


def canceled(document: Dataset, at: str, asked: Mapping[str, Element]) -> Dataset:
    """The workitem with what its final state CANCELED demands: when, and why.

    Args:
        document: the workitem.
        at: when, as DT.
        asked: what the request says of the reason (PS3.4 Table CC.2.2-1).
    """
    items = values_of(document, "ProcedureStepProgressInformationSequence")
    progress: Dataset = dict(items[0]) if items else {}
    for keyword in ("ReasonForCancellation", "ProcedureStepDiscontinuationReasonCodeSequence"):
        if values_of(dict(asked), keyword):
            progress[tag(keyword)] = asked[tag(keyword)]
    if not values_of(progress, "ProcedureStepCancellationDateTime"):
        progress |= dict([element("ProcedureStepCancellationDateTime", at)])
    if not values_of(progress, "ProcedureStepDiscontinuationReasonCodeSequence"):
        unspecified = code("110513", "DCM", "Discontinued for unspecified reason")
        progress |= dict([element("ProcedureStepDiscontinuationReasonCodeSequence", unspecified)])
    return document | dict([element("ProcedureStepProgressInformationSequence", dataset(*progress.items()))])


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a workitem asks this node to do."""

    is_for_us: bool
    study_instance_uid: str | None
    """The one study to read; None while no input is named."""
    is_ready: bool
    """Whether its input is said to be there."""


def task_of(document: Dataset, ae_title: str) -> Task:
    """Whether a workitem is one for this node, and for which study.

    Raises:
        WebRefusal: 400, it is for this node and does not name one study.
    """
    codes = {(text_of(i, "CodeValue"), text_of(i, "CodingSchemeDesignator")) for i in _items(document, "Workitem")}
    stations = {text_of(item, "CodeValue") for item in _items(document, "StationName")}
    studies = {text_of(item, "StudyInstanceUID") for item in values_of(document, "InputInformationSequence")} - {None}
    task = Task(
        is_for_us=not codes.isdisjoint(PERFORMED_CODES) and (not stations or ae_title in stations),
        study_instance_uid=next(iter(sorted(filter(None, studies))), None),
        is_ready=text_of(document, "InputReadinessState") == "READY",
    )
    if task.is_for_us and (len(studies) > 1 or (task.is_ready and not studies)):
        raise bad_request(
            f"A workitem for this node names one study in its Input Information Sequence, not {len(studies)}."
        )
    if task.study_instance_uid is not None:
        checked_uid(task.study_instance_uid, "Study Instance UID of the input")
    return task


def _items(document: Dataset, what: str) -> list[Dataset]:
    return values_of(document, f"Scheduled{what}CodeSequence")
