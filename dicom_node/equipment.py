"""Who computed what: algorithm identifications, the device observer and the contributing equipment.

A model and our own arithmetic have different identifications, so that a reader can tell a network's output from a
length between two points (TID 4019).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypedDict
from unicodedata import normalize

import highdicom as hd
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    DeviceObserverIdentifyingAttributes,
    ObservationContext,
    ObserverContext,
    PersonObserverIdentifyingAttributes,
)
from pydicom.dataset import Dataset

from dicom_node import code_table as table
from dicom_node.derived import LONG_TEXT, ReportContext, plain
from dicom_node.uids import device_uid
from inference.findings import Reviewer
from inference.provenance import MANUFACTURER, RESEARCH_USE, SOFTWARE_NAME, ModelIdentity

ARITHMETIC_NAME = "spine-node geometry"
"""Lengths between points and what follows from them by formula; no learned part."""


class GeneralEquipment(TypedDict):
    """General Equipment (PS3.3 C.7.5.1) and its Enhanced form (C.7.5.2), as highdicom's constructors take them."""

    manufacturer: str
    manufacturer_model_name: str
    software_versions: str
    device_serial_number: str


def general_equipment(context: ReportContext) -> GeneralEquipment:
    """What made an object: this software, in this installation."""
    return GeneralEquipment(
        manufacturer=MANUFACTURER,
        manufacturer_model_name=SOFTWARE_NAME,
        software_versions=plain(context.software_version),
        device_serial_number=plain(context.device_name),
    )


def model_algorithm(model: ModelIdentity, parameters: Sequence[str] = ()) -> AlgorithmIdentification:
    """Identification of a learned model, with the digest of its weights."""
    return AlgorithmIdentification(
        name=plain(model.name),
        version=plain(model.version),
        parameters=[f"weights sha256 {model.sha256}", *(plain(p) for p in parameters)],
        family=table.DCM["123110"].code,
        manufacturer=MANUFACTURER,
    )


def model_name(model: ModelIdentity) -> AlgorithmIdentification:
    """A model by name and version, which stand at every statement; its digest is in Contributing Equipment."""
    return AlgorithmIdentification(name=plain(model.name), version=plain(model.version))


def arithmetic_algorithm(software_version: str) -> AlgorithmIdentification:
    """Identification of our own measurement arithmetic; it stands at every number, so it is kept short."""
    return AlgorithmIdentification(name=ARITHMETIC_NAME, version=plain(software_version))


def observers(context: ReportContext, reviewer: Reviewer | None = None) -> ObservationContext:
    """The server as the observer (TID 1002, 1004), and before it the person who reviewed (TID 1003)."""
    return ObservationContext(
        observer_person_context=None if reviewer is None else person_observer(reviewer),
        observer_device_context=device_observer(context),
    )


def device_observer(context: ReportContext) -> ObserverContext:
    """The server as the observer (TID 1002, 1004)."""
    attributes = DeviceObserverIdentifyingAttributes(
        uid=context.server_uid,
        name=plain(context.device_name),
        manufacturer_name=MANUFACTURER,
        model_name=SOFTWARE_NAME,
        serial_number=plain(context.device_name),
        role_in_procedure=table.DCM["121094"].code,
    )
    return ObserverContext(
        observer_type=CodedConcept.from_code(table.DCM["121007"].code), observer_identifying_attributes=attributes
    )


def contributing_equipment(
    models: Iterable[ModelIdentity], context: ReportContext, notice: str = RESEARCH_USE
) -> list[hd.ContributingEquipment]:
    """One item per model and one for the server, each with its Device UID (IHE AIR 6.5.3.1).

    The purpose is (109102, DCM, Processing Equipment): AIR's own code for a processing algorithm is a placeholder.
    """
    items = [_equipment(m.name, m.version, device_uid(m), f"{_made_of(m)}. {notice}") for m in models]
    items.append(
        _equipment(SOFTWARE_NAME, context.software_version, context.server_uid, "Server: measurement and encoding")
    )
    return items


def person_observer(reviewer: Reviewer) -> ObserverContext:
    """A reviewer as the observer (TID 1003)."""
    attributes = PersonObserverIdentifyingAttributes(
        name=person_name(reviewer.name),
        login_name=plain(reviewer.identifier),
        organization_name=plain(reviewer.organisation),
    )
    return ObserverContext(
        observer_type=CodedConcept.from_code(table.DCM["121006"].code), observer_identifying_attributes=attributes
    )


def person_name(text: str) -> str:
    """A DICOM person name of ASCII letters: accents are left out; the caret says that one component is meant.

    At most 64 characters, none of them a control character or a backslash (PS3.5 6.2, VR PN).
    """
    letters = normalize("NFKD", text.split("=", maxsplit=1)[0]).encode("ascii", "ignore").decode() or plain(text)
    name = "".join(letter for letter in letters if letter.isprintable() and letter != "\\")[: LONG_TEXT - 1].strip()
    return name if "^" in name else f"{name}^"


def _made_of(model: ModelIdentity) -> str:
    run_by = f", run by {plain(model.engine)}" if model.engine else ""
    return f"AI model, weights sha256 {model.sha256}{run_by}"


def _equipment(name: str, version: str, uid: str, description: str) -> hd.ContributingEquipment:
    item = hd.ContributingEquipment(
        manufacturer=MANUFACTURER,
        purpose_of_reference=table.DCM["109102"].code,
        manufacturer_model_name=plain(name)[:LONG_TEXT],
        software_versions=plain(version)[:LONG_TEXT],
        contribution_description=description,
    )
    item.DeviceUID = uid
    return item


def fix_times(dataset: Dataset) -> None:
    """Take the clock out of the items that highdicom adds for itself: the same input gives the same bytes."""
    for item in dataset.ContributingEquipmentSequence:
        item.pop("ContributionDateTime", None)
