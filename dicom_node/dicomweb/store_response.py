"""What a STOW-RS request is answered with: the Store Instances Response Module (PS3.18 10.5.3, I.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from dicom_node.dicomweb.encoding import JsonDataset
from dicom_node.dicomweb.intake import Outcome
from dicom_node.dicomweb.levels import RETRIEVE_URL

REFERENCED, FAILED = "00081199", "00081198"
SOP_CLASS, SOP_INSTANCE = "00081150", "00081155"
WARNING_REASON, FAILURE_REASON = "00081196", "00081197"


def status_of(outcomes: Sequence[Outcome]) -> HTTPStatus:
    """200 when everything was stored, 409 when nothing was, 202 for failures and warnings among them."""
    if all(outcome.status == 0 for outcome in outcomes):
        return HTTPStatus.OK
    return HTTPStatus.ACCEPTED if any(outcome.is_held for outcome in outcomes) else HTTPStatus.CONFLICT


def response(outcomes: Sequence[Outcome], addresses: Mapping[str, tuple[str, str]], base_url: str) -> JsonDataset:
    """The module.

    Args:
        outcomes: of every part.
        addresses: (study, series) of the instances that are held, by SOP Instance UID.
        base_url: up to and without ``/studies``.
    """
    studies = sorted({study for study, _ in addresses.values()})
    document: JsonDataset = {}
    if len(studies) == 1:
        document[RETRIEVE_URL] = {"vr": "UR", "Value": [f"{base_url}/studies/{studies[0]}"]}
    failed = [_item(outcome, FAILURE_REASON) for outcome in outcomes if not outcome.is_held]
    held = [_held(outcome, addresses, base_url) for outcome in outcomes if outcome.is_held]
    if failed:
        document[FAILED] = {"vr": "SQ", "Value": failed}
    if held:
        document[REFERENCED] = {"vr": "SQ", "Value": held}
    return document


def _held(outcome: Outcome, addresses: Mapping[str, tuple[str, str]], base_url: str) -> JsonDataset:
    item = _item(outcome, WARNING_REASON)
    address = addresses.get(outcome.sop_instance_uid or "")
    if address is not None:
        url = f"{base_url}/studies/{address[0]}/series/{address[1]}/instances/{outcome.sop_instance_uid}"
        item[RETRIEVE_URL] = {"vr": "UR", "Value": [url]}
    return item


def _item(outcome: Outcome, reason: str) -> JsonDataset:
    item: dict[str, dict[str, Any]] = {}
    for tag, value in ((SOP_CLASS, outcome.sop_class_uid), (SOP_INSTANCE, outcome.sop_instance_uid)):
        if value is not None:
            item[tag] = {"vr": "UI", "Value": [value]}
    if outcome.status:
        item[reason] = {"vr": "US", "Value": [outcome.status]}
    return item
