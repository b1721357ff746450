"""A workitem as it is shown: what others said of it, and what this node knows of what it performs.

What the node knows is taken from where it is kept (runs, instances, results, the search index) each time, and is not
kept twice: a name of a patient is in a workitem's row only where who created it wrote it there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, Row, Select, select

from dicom_node.code_table import PRIVATE_SCHEME
from dicom_node.results import results_of
from dicom_node.store import instances_of
from dicom_node.tables import web_studies
from dicom_node.ups.elements import Dataset, Element, code, dataset, date_time, element, tag, values_of
from dicom_node.ups.rules import DEFAULT_WORKLIST, DETECTION, UPS_PUSH_SOP_CLASS
from dicom_node.ups.states import UpsState
from server.tables import workitems
from server.workitems.rows import EQUIPMENT_FAILURE, NOT_SUPPORTED, UNSPECIFIED

LABEL = "Read the study for spine findings"
_MEANINGS: Mapping[str, str] = {
    EQUIPMENT_FAILURE: "Equipment failure",
    NOT_SUPPORTED: "Object Types not supported",
    UNSPECIFIED: "Discontinued for unspecified reason",
}
_PROGRESS: Mapping[UpsState, tuple[int, str]] = {
    UpsState.SCHEDULED: (0, "Waiting"),
    UpsState.IN_PROGRESS: (0, "Reading"),
    UpsState.COMPLETED: (100, "Done"),
    UpsState.CANCELED: (0, "Canceled"),
}
"""Percent and words; between beginning and end this node does not say how far it is."""
_OF_PATIENT = tuple(
    tag(keyword) for keyword in ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex")
)
_EMPTY = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AdmissionID")
_ACCESSION = tag("AccessionNumber")
_RESULTS = frozenset({"sr", "seg", "pr"})
"""Roles of what reading makes; what a review makes is nobody's task here."""


class _Instance(Protocol):
    """An instance of a study, received or made."""

    @property
    def series_instance_uid(self) -> str: ...
    @property
    def sop_class_uid(self) -> str: ...
    @property
    def sop_instance_uid(self) -> str: ...


def workitem_rows() -> Select[Any]:
    """Workitems, each with the attributes of its study in the search index; what :class:`Shown` takes."""
    of_study = workitems.c.study_instance_uid == web_studies.c.study_instance_uid
    return select(workitems, web_studies.c.attributes).select_from(workitems.outerjoin(web_studies, of_study))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Shows workitems."""

    ae_title: str
    url: str
    """Base URL of DICOMweb as the client sees it."""

    def whole(self, connection: Connection, row: Row[Any]) -> Dataset:
        """A workitem with the instances that are its input and its output."""
        made = self.brief(row)
        study, revision = row.study_instance_uid, row.revision
        if not row.is_for_us or study is None or revision is None:
            return made
        if not values_of(json.loads(row.document), "InputInformationSequence"):
            read = instances_of(connection, study, revision)
            made |= dict([self._references("InputInformationSequence", study, read)])
        for performed in values_of(made, "UnifiedProcedureStepPerformedProcedureSequence"):
            results = [item for item in results_of(connection, study, revision) if item.role in _RESULTS]
            done = results if row.state == UpsState.COMPLETED else []
            performed |= dict([self._references("OutputInformationSequence", study, done)])
        return made

    def brief(self, row: Row[Any]) -> Dataset:
        """A workitem as it is searched: of its input the study alone, of its output nothing."""
        document: Dataset = json.loads(row.document)
        fixed = [
            element("SpecificCharacterSet", "ISO_IR 192"),
            element("SOPClassUID", UPS_PUSH_SOP_CLASS),
            element("SOPInstanceUID", row.workitem_uid),
            element("ProcedureStepState", row.state),
            element("ScheduledProcedureStepModificationDateTime", date_time(row.changed_at)),
        ]
        if not row.is_for_us:
            return dataset(*(document | dict(fixed)).items())
        fixed.append(element("ProcedureStepProgressInformationSequence", _progress(row, document)))
        if row.started_at is not None:
            fixed.append(element("UnifiedProcedureStepPerformedProcedureSequence", self._performed(row)))
        usual = self._usual(row)
        given = {name: value for name, value in document.items() if value.get("Value") or name not in usual}
        return dataset(*(usual | given | dict(fixed)).items())

    def _usual(self, row: Row[Any]) -> Dataset:
        """What this node says where its creator said nothing."""
        study = [row.study_instance_uid] if row.study_instance_uid else []
        found: Dataset = json.loads(row.attributes) if row.attributes else {}
        of_study = [dataset(element("TypeOfInstances", "DICOM"), element("StudyInstanceUID", uid)) for uid in study]
        asked = [
            dataset(
                element("StudyInstanceUID", uid),
                (_ACCESSION, found.get(_ACCESSION, {"vr": "SH"})),
                element("RequestedProcedureID"),
            )
            for uid in study
        ]
        return dict(
            [
                *(element(keyword) for keyword in _EMPTY),
                *((name, found[name]) for name in _OF_PATIENT if name in found),
                element("ScheduledProcedureStepPriority", "MEDIUM"),
                element("ProcedureStepLabel", LABEL),
                element("WorklistLabel", DEFAULT_WORKLIST),
                element("ScheduledWorkitemCodeSequence", DETECTION),
                element("ScheduledStationNameCodeSequence", self._station),
                element("ScheduledProcedureStepStartDateTime", date_time(row.created_at)),
                element("InputReadinessState", "READY" if row.is_ready else "INCOMPLETE"),
                element("StudyInstanceUID", *study),
                element("InputInformationSequence", *of_study),
                element("ReferencedRequestSequence", *asked),
            ]
        )

    @property
    def _station(self) -> Dataset:
        return code(self.ae_title, PRIVATE_SCHEME, self.ae_title)

    def _performed(self, row: Row[Any]) -> Dataset:
        ended = [] if row.finished_at is None else [date_time(row.finished_at)]
        return dataset(
            element("PerformedStationNameCodeSequence", self._station),
            element("PerformedProcedureStepStartDateTime", date_time(row.started_at)),
            element("PerformedProcedureStepEndDateTime", *ended),
            element("PerformedWorkitemCodeSequence", DETECTION),
            element("OutputInformationSequence"),
        )

    def _references(self, keyword: str, study: str, found: Iterable[_Instance]) -> tuple[str, Element]:
        """Items of the Referenced Instances and Access Macro (PS3.3 Table 10-3b), one for each series."""
        series: dict[str, list[Dataset]] = {}
        for held in found:
            reference = dataset(
                element("ReferencedSOPClassUID", held.sop_class_uid),
                element("ReferencedSOPInstanceUID", held.sop_instance_uid),
            )
            series.setdefault(held.series_instance_uid, []).append(reference)
        items = [
            dataset(
                element("TypeOfInstances", "DICOM"),
                element("StudyInstanceUID", study),
                element("SeriesInstanceUID", uid),
                element("ReferencedSOPSequence", *references),
                element(
                    "WADORSRetrievalSequence",
                    dataset(element("RetrieveURL", f"{self.url}/studies/{study}/series/{uid}")),
                ),
            )
            for uid, references in series.items()
        ]
        return element(keyword, *items)


def _progress(row: Row[Any], document: Dataset) -> Dataset:
    given = values_of(document, "ProcedureStepProgressInformationSequence")
    state = UpsState(row.state)
    percent, words = _PROGRESS[state]
    made: Dataset = (dict(given[0]) if given else {}) | dict(
        [element("ProcedureStepProgress", percent), element("ProcedureStepProgressDescription", words)]
    )
    if state is UpsState.CANCELED and row.discontinuation is not None:
        why = code(row.discontinuation, "DCM", _MEANINGS[row.discontinuation])
        made |= dict(
            [
                element("ProcedureStepCancellationDateTime", date_time(row.finished_at)),
                element("ReasonForCancellation", *filter(None, [row.reason])),
                element("ProcedureStepDiscontinuationReasonCodeSequence", why),
            ]
        )
    return dataset(*made.items())
