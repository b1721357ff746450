"""STOW-RS: sending results to a DICOMweb archive (PS3.18 10.5)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info

from dicom_node.delivery import OPEN_GATE, Gate, Ruling, SendOutcome, Verdict, rule_http, rule_store
from inference.errors import PeerFailure, StorageFailure

REFERENCED, FAILED = "00081199", "00081198"
"""Referenced SOP Sequence and Failed SOP Sequence: PS3.18 10.5.3."""
REFERENCED_UID, FAILURE_REASON, WARNING_REASON = "00081155", "00081197", "00081196"
_ANSWERS_ONE_BY_ONE = frozenset({HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.CONFLICT, HTTPStatus.CREATED})
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class StowDestination:
    """An archive that takes instances by STOW-RS."""

    name: str
    url: str
    """Up to and including ``/studies``; results are posted to ``{url}``."""
    timeout_s: float = 30.0
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further request headers, like Authorization; never logged."""


def send(files: Sequence[Path], destination: StowDestination, gate: Gate = OPEN_GATE) -> tuple[SendOutcome, ...]:
    """Store instances in one request; one outcome per file, in the order given, whatever goes wrong at the peer.

    A request that is too large as a whole is sent again one instance at a time. The gate is asked for each file before
    its request, and told each answer.

    Raises:
        StorageFailure: a file cannot be read, or is not a PS3.10 file.
    """
    uids = [_sop_instance_uid(path) for path in files]
    if not files:
        return ()
    # No proxy and no credentials from the environment: patient data goes where the settings say, and nowhere else.
    with httpx.Client(timeout=destination.timeout_s, headers=dict(destination.headers), trust_env=False) as client:
        answers = _post(client, destination.url, dict(zip(uids, files, strict=True)), gate)
    for uid, path in zip(uids, files, strict=True):
        gate.after(path, answers[uid])
    return tuple(answers[uid] for uid in uids)


def check(destination: StowDestination) -> None:
    """Ask the archive whether it is there, with an empty study search (QIDO-RS).

    Raises:
        PeerFailure: no connection, or an answer that is not a success.
    """
    try:
        with httpx.Client(timeout=destination.timeout_s, headers=dict(destination.headers), trust_env=False) as client:
            status = client.get(destination.url, params={"limit": "1"}, headers=_JSON).status_code
    except httpx.HTTPError as error:
        raise PeerFailure(f"{destination.name}: {_transport_words(error)}.") from error
    if rule_http(status).verdict is not Verdict.ACCEPTED:
        raise PeerFailure(f"{destination.name}: HTTP status {status}.")


_JSON = {"Accept": "application/dicom+json"}


def _sop_instance_uid(path: Path) -> str:
    try:
        return str(read_file_meta_info(path).MediaStorageSOPInstanceUID)
    except (OSError, InvalidDicomError, AttributeError) as error:
        raise StorageFailure(f"{path.name} cannot be sent: it is not a readable PS3.10 file.") from error


def _post(client: httpx.Client, url: str, parcels: Mapping[str, Path], gate: Gate) -> dict[str, SendOutcome]:
    uids, files = list(parcels), list(parcels.values())
    boundary = f"spine-{uuid.uuid4().hex}"
    kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
    headers = {**_JSON, "Content-Type": kind, "Content-Length": str(_length(files, boundary))}
    for path in files:
        gate.before(path)
    try:
        response = client.post(url, content=_body(files, boundary), headers=headers)
    except httpx.HTTPError as error:
        problem = Ruling(verdict=Verdict.FAILED, meaning=_transport_words(error))
        return {uid: _outcome(uid, problem, None) for uid in uids}
    if response.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and len(files) > 1:
        answers: dict[str, SendOutcome] = {}
        for uid, path in parcels.items():
            answers |= _post(client, url, {uid: path}, gate)
        return answers
    return _answers(response, uids)


def _part_head(boundary: str) -> bytes:
    return f"\r\n--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()


def _tail(boundary: str) -> bytes:
    return f"\r\n--{boundary}--\r\n".encode()


def _length(files: Sequence[Path], boundary: str) -> int:
    return sum(len(_part_head(boundary)) + path.stat().st_size for path in files) + len(_tail(boundary))


def _body(files: Sequence[Path], boundary: str) -> Iterator[bytes]:
    for path in files:
        yield _part_head(boundary)
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
    yield _tail(boundary)


def _answers(response: httpx.Response, uids: Sequence[str]) -> dict[str, SendOutcome]:
    """Outcome of every instance: what the answer says of it, else what the status says of the request."""
    status = response.status_code
    stated = _stated(response) if status in _ANSWERS_ONE_BY_ONE else {}
    silent = _ruling_of_silence(status)
    return {uid: stated.get(uid) or _outcome(uid, silent, status) for uid in uids}


def _ruling_of_silence(status: int) -> Ruling:
    """What it means that the answer does not name an instance: stored after 200, unknown after 202 and 409."""
    if status in (HTTPStatus.ACCEPTED, HTTPStatus.CONFLICT):
        return Ruling(verdict=Verdict.FAILED, meaning="the answer does not say what became of the instance")
    return rule_http(status)


def _stated(response: httpx.Response) -> dict[str, SendOutcome]:
    """Outcomes of the instances that the answer names (PS3.18 10.5.3, DICOM JSON)."""
    try:
        document = response.json()
    except ValueError:
        return {}
    answer = document[0] if isinstance(document, list) and document else document
    if not isinstance(answer, dict):
        return {}
    outcomes = {}
    for item in _items(answer, REFERENCED):
        uid = str(_first(item, REFERENCED_UID))
        warning = _number(item, WARNING_REASON)
        ruling = Ruling(verdict=Verdict.ACCEPTED, meaning="Success" if warning is None else "Stored with a warning")
        outcomes[uid] = _outcome(uid, ruling, response.status_code if warning is None else warning)
    for item in _items(answer, FAILED):
        uid, reason = str(_first(item, REFERENCED_UID)), _number(item, FAILURE_REASON)
        ruling = rule_store(reason) if reason else Ruling(verdict=Verdict.FAILED, meaning="failed without a reason")
        outcomes[uid] = _outcome(uid, ruling, reason)
    return outcomes


def _items(answer: Mapping[str, Any], tag: str) -> list[Mapping[str, Any]]:
    element = answer.get(tag)
    values = element.get("Value", []) if isinstance(element, dict) else []
    return [item for item in values if isinstance(item, dict)] if isinstance(values, list) else []


def _first(item: Mapping[str, Any], tag: str) -> object:
    element = item.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values[0] if isinstance(values, list) and values else None


def _number(item: Mapping[str, Any], tag: str) -> int | None:
    value = _first(item, tag)
    return int(value) if isinstance(value, int | float | str) and str(value).isdigit() else None


def _outcome(uid: str, ruling: Ruling, status: int | None) -> SendOutcome:
    suffix = "" if status is None else f" ({status})"
    return SendOutcome(
        sop_instance_uid=uid, verdict=ruling.verdict, status=status, sentence=f"{ruling.meaning}{suffix}"
    )


def _transport_words(error: httpx.HTTPError) -> str:
    """What went wrong between the two machines, without the URL, which may hold credentials."""
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return "no connection" if isinstance(error, httpx.ConnectError) else f"connection broke ({type(error).__name__})"
