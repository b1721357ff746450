"""Workitems as an orchestrator or another performer sends them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from dicom_node.ups.elements import Dataset, code, dataset, element, text_of, values_of

MEDIA = {"Content-Type": "application/dicom+json", "Accept": "application/dicom+json"}
CAD = code("110004", "DCM", "Computer Aided Detection")
READING = code("110005", "DCM", "Interpretation")
LOCK = "2.25.77"


def workitem(*studies: str, task: Dataset = CAD, ready: str = "READY", **values: Any) -> Dataset:
    """A workitem that asks to have studies read; ``values`` are further elements, or others, by keyword."""
    inputs = [dataset(element("TypeOfInstances", "DICOM"), element("StudyInstanceUID", uid)) for uid in studies]
    usual = {
        "ProcedureStepState": ["SCHEDULED"],
        "ScheduledProcedureStepPriority": ["HIGH"],
        "ProcedureStepLabel": ["Spine AI"],
        "ScheduledProcedureStepStartDateTime": ["20261130101500+0000"],
        "InputReadinessState": [ready],
        "ScheduledWorkitemCodeSequence": [task],
        "InputInformationSequence": inputs,
    }
    given = {name: value if isinstance(value, list) else [value] for name, value in values.items()}
    return dataset(*(element(keyword, *found) for keyword, found in (usual | given).items()))


def performed() -> Dataset:
    """What a performer says before it completes a workitem (PS3.4 Table CC.2.5-3)."""
    step = dataset(
        element("PerformedStationNameCodeSequence", code("STATION", "99TEST", "A station")),
        element("PerformedProcedureStepStartDateTime", "20261130101500"),
        element("PerformedProcedureStepEndDateTime", "20261130101600"),
        element("PerformedWorkitemCodeSequence", READING),
        element("OutputInformationSequence"),
    )
    return dataset(element("UnifiedProcedureStepPerformedProcedureSequence", step))


@dataclass(frozen=True, slots=True, kw_only=True)
class Worklist:
    """The worklist of a node, over HTTP."""

    client: httpx.Client
    headers: dict[str, str]

    def create(self, uid: str, body: Dataset) -> httpx.Response:
        """Create a workitem."""
        return self._send("POST", f"?workitem={uid}", body)

    def update(self, uid: str, changes: Dataset, lock: str | None = None) -> httpx.Response:
        """Update it."""
        return self._send("POST", f"/{uid}" + (f"?transaction-uid={lock}" if lock else ""), changes)

    def change(self, uid: str, state: str, lock: str | None = LOCK) -> httpx.Response:
        """Change its state."""
        lock_element = element("TransactionUID", *([lock] if lock else []))
        return self._send("PUT", f"/{uid}/state", dataset(element("ProcedureStepState", state), lock_element))

    def cancel(self, uid: str, body: Dataset | None = None) -> httpx.Response:
        """Ask that it be canceled."""
        return self._send("POST", f"/{uid}/cancelrequest", body)

    def search(self, **words: str) -> list[Dataset]:
        """Those that match; ``__`` stands for the dot into a sequence."""
        query = {name.replace("__", "."): value for name, value in words.items()}
        answer = self.client.get("/dicom-web/workitems", params=query, headers=self.headers)
        return [] if answer.status_code == httpx.codes.NO_CONTENT else answer.raise_for_status().json()

    def read(self, uid: str) -> Dataset:
        """One of them."""
        (found,) = self.client.get(f"/dicom-web/workitems/{uid}", headers=self.headers).raise_for_status().json()
        return found

    def state(self, uid: str) -> str | None:
        """Its state."""
        return text_of(self.read(uid), "ProcedureStepState")

    def _send(self, method: str, path: str, body: Dataset | None) -> httpx.Response:
        return self.client.request(method, f"/dicom-web/workitems{path}", json=body, headers=MEDIA | self.headers)


def worklist(client: httpx.Client, headers: dict[str, str] | None = None) -> Worklist:
    """The worklist of a node."""
    return Worklist(client=client, headers=headers or {})


def output_uids(document: Dataset) -> set[str]:
    """SOP Instance UIDs of the output of a workitem."""
    return {
        str(text_of(reference, "ReferencedSOPInstanceUID"))
        for step in values_of(document, "UnifiedProcedureStepPerformedProcedureSequence")
        for series in values_of(step, "OutputInformationSequence")
        for reference in values_of(series, "ReferencedSOPSequence")
    }
