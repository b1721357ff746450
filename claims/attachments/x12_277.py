"""The X12 277 request for additional information (006020X313, and 005010X213): what a payer asks for, claim by claim.

What is read is what the base 277 says of each segment; a qualifier that is not known here is left alone. Draft,
structurally tested: the implementation guide is sold and was not at hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from claims.attachment import AttachmentRefusal
from claims.attachments.x12_reader import Interchange, Segment, read_interchange

GUIDES = ("006020X313", "005010X213")
_STATUS_PLACES = (1, 10, 11)
"""The composites of an STC: up to three codes."""
_LOINC = "LOI"
_REFERENCES = {"EJ": "claim_id", "1K": "payer_claim_id"}  # REF01
_DAYS = {"106": "due_date", "472": "service_date"}  # DTP01: required by, service
_DEPENDENT = "23"  # HL03: of the subscriber above


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedItem:
    """One kind of document that is asked for."""

    category: str
    """Claim status category, like ``R4``."""
    loinc: str
    line: str | None = None
    """Line item control number; None: of the claim as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InformationRequest:
    """What a payer asks about one claim; `trace` is what the answer repeats."""

    trace: str
    """TRN02: ``solicited`` of the attachment that answers it."""
    payer_id: str
    payer_name: str
    provider_npi: str
    member_id: str
    family_name: str
    given_name: str
    claim_id: str | None = None
    """REF*EJ: our own claim number."""
    payer_claim_id: str | None = None
    """REF*1K: the payer's."""
    service_date: date | None = None
    due_date: date | None = None
    """Until when the answer has to be there; None where it is not said."""
    items: tuple[AskedItem, ...] = ()


@dataclass(slots=True)
class _Names:
    """The parties of the levels above a claim."""

    payer: Segment | None = None
    provider: Segment | None = None
    patient: Segment | None = None


def read_requests(data: bytes) -> tuple[InformationRequest, ...]:
    """Every request of an interchange, in its order.

    Raises:
        AttachmentRefusal: it is no X12, no 277 of these guides, or a request lacks the trace or a party.
    """
    interchange = read_interchange(data)
    sets = [t for t in interchange.transactions if t.identifier == "277" and t.guide in GUIDES]
    if not sets:
        raise AttachmentRefusal(f"The interchange has no 277 request for additional information ({', '.join(GUIDES)}).")
    return tuple(request for one in sets for request in _requests(interchange, one.segments))


def _requests(interchange: Interchange, segments: Sequence[Segment]) -> Iterator[InformationRequest]:
    names = _Names()
    line: str | None = None
    request: InformationRequest | None = None
    for segment in segments:
        match segment.identifier:
            case "HL" | "TRN":
                if request is not None:
                    yield request
                request, line = None, None
                if segment.identifier == "TRN":
                    request = _begin(names, segment[2])
                elif segment[3] != _DEPENDENT:
                    names.patient = None
            case "NM1":
                _remember(names, segment)
            case "SVC":
                line = ""
            case _ if request is not None:
                request, line = _read(interchange, request, line, segment)
            case _:
                continue
    if request is not None:
        yield request


def _remember(names: _Names, segment: Segment) -> None:
    match segment[1]:
        case "PR":
            names.payer = segment
        case "1P":
            names.provider = segment
        case "QC" | "IL":
            names.patient = segment
        case _:
            return


def _begin(names: _Names, trace: str) -> InformationRequest:
    payer, provider, patient = names.payer, names.provider, names.patient
    if not trace or payer is None or provider is None or patient is None:
        raise AttachmentRefusal("A request of the 277 lacks its trace number (TRN02), payer, provider or patient.")
    return InformationRequest(
        trace=trace,
        payer_id=payer[9],
        payer_name=payer[3],
        provider_npi=provider[9] if provider[8] == "XX" else "",
        member_id=patient[9],
        family_name=patient[3],
        given_name=patient[4],
    )


def _read(
    interchange: Interchange, request: InformationRequest, line: str | None, segment: Segment
) -> tuple[InformationRequest, str | None]:
    kind, qualifier = segment.identifier, segment[1]
    if kind == "STC":
        return replace(request, items=(*request.items, *_items(interchange, segment, line))), line
    if (kind, qualifier) == ("REF", "FJ") and line is not None:
        return _with_line(request, segment[2]), segment[2]
    known: dict[str, Any] = {}
    if kind == "REF" and qualifier in _REFERENCES:
        known = {_REFERENCES[qualifier]: segment[2]}
    elif kind == "DTP" and qualifier in _DAYS and line is None:
        known = {_DAYS[qualifier]: _day(segment)}
    return replace(request, **known), line


def _items(interchange: Interchange, segment: Segment, line: str | None) -> Iterator[AskedItem]:
    for place in _STATUS_PLACES:
        category, code, *rest = (*interchange.parts(segment[place]), "", "")
        if code and _LOINC in rest:
            yield AskedItem(category=category, loinc=code, line=line)


def _with_line(request: InformationRequest, number: str) -> InformationRequest:
    """Give the items of a service line its number, which stands after them."""
    items = tuple(replace(item, line=number) if item.line == "" else item for item in request.items)
    return replace(request, items=items)


def _day(segment: Segment) -> date:
    """The date, or the first of a range (RD8)."""
    text = segment[3].partition("-")[0]
    try:
        return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - a day has no time zone
    except ValueError:
        raise AttachmentRefusal(f"DTP*{segment[1]} has no date of the form YYYYMMDD.") from None
