"""X12 837P (005010X222A1), read with pyx12, which checks it against the implementation guide's map.

Loops and elements: 2010AA billing provider, 2010BA subscriber, 2010BB payer, 2010CA patient, 2300 claim, 2310C service
facility, 2400 service line. A refusal names segment and element, never a value: an 837 is full of names.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from pyx12.error_handler import errh_list
from pyx12.errors import EngineError, X12Error
from pyx12.params import ParamsBase
from pyx12.x12context import X12ContextReader, X12DataNode

from claims.claim import Claim, ClaimRefusal, ClaimUse, Patient, ServiceLine
from claims.intake.bodies import bodies_in
from claims.intake.icd import with_dot

GUIDE = "005010X222A1"
_TOLERATED = frozenset({"6"})
"""Element errors (X12 999 IK403) that lose nothing: 6, a character outside the extended set, as an accent in a name."""
_DIAGNOSES = range(1, 13)
_POINTERS = range(1, 5)


@dataclass(slots=True)
class _Context:
    """What the segments before a claim said; each level of the hierarchy begins anew."""

    provider: dict[str, str] = field(default_factory=dict)
    payer: dict[str, str] = field(default_factory=dict)
    subscriber: dict[str, str] = field(default_factory=dict)
    patient: dict[str, str] = field(default_factory=dict)


def read_837p(data: bytes) -> tuple[Claim, ...]:
    """The claims of an interchange; ClaimRefusal where it is malformed or of another guide."""
    faults = errh_list()
    try:
        reader = X12ContextReader(ParamsBase(), faults, io.StringIO(data.decode("utf-8")))
        claims, unsound, last = _read(reader)
    except UnicodeDecodeError:
        raise ClaimRefusal("The 837 is not text in UTF-8.") from None
    except (EngineError, X12Error) as error:
        raise ClaimRefusal(f"The 837 cannot be read as {GUIDE}: {_kind(error)}.") from None
    except (LookupError, AttributeError, TypeError):  # pyx12 4.0.0 on segments that are out of order
        raise ClaimRefusal(f"The 837 cannot be read as {GUIDE}: its segments are out of order.") from None
    if named := list(_named(faults, last)):
        raise ClaimRefusal(f"The 837 is malformed: {'; '.join(named[:5])}.")
    if unsound:
        raise unsound[0]
    return claims


def _read(reader: X12ContextReader) -> tuple[tuple[Claim, ...], list[ClaimRefusal], str]:
    """The claims, those that cannot be read, and the last segment; the guide's faults are known only at the end."""
    context, claims, unsound, last = _Context(), list[Claim](), list[ClaimRefusal](), ""
    for node in reader.iter_segments("2300"):
        last = node.id or ""
        if last == "GS" and (guide := _value(node, "GS08")) != GUIDE:
            raise ClaimRefusal(f"A professional claim is {GUIDE}, got {guide[:20]!r}.")
        _follow(context, node)
        if last == "2300":
            try:
                claims.append(_claim(node, context))
            except ClaimRefusal as refusal:
                unsound.append(refusal)
    return tuple(claims), unsound, last


def _kind(error: Exception) -> str:
    """What pyx12 says, up to where it quotes the file."""
    return str(error).split(" for ISA", maxsplit=1)[0].split(": ", maxsplit=1)[0].rstrip(".")


def _named(faults: errh_list, last: str) -> Iterator[str]:
    """The faults by segment and element."""
    for code, words in (*faults.err_isa, *faults.err_gs, *faults.err_st):
        yield f"envelope, {words} (code {code})"
    for code, words, _ in faults.err_seg:
        yield f"{words.split('.  ')[0]} (code {code})"
    for code, _, _, element in faults.err_ele:
        if code not in _TOLERATED:
            yield f"element {element} is not valid (code {code})"
    if last != "IEA":
        yield "the interchange has no end (IEA)"


def _follow(context: _Context, node: X12DataNode) -> None:
    """Keep what a segment outside the claims says of the parties."""
    path = node.cur_path
    if node.id == "HL":
        _begin_level(context, node)
    for loop, party in (
        ("2010AA", context.provider),
        ("2010BA", context.subscriber),
        ("2010BB", context.payer),
        ("2010CA", context.patient),
    ):
        if f"/{loop}/" in path:
            _keep(party, node)


def _begin_level(context: _Context, node: X12DataNode) -> None:
    kind = _value(node, "HL03")
    if kind == "20":
        context.provider, context.subscriber, context.payer, context.patient = {}, {}, {}, {}
    elif kind == "22":
        context.subscriber, context.payer, context.patient = {}, {}, {}
    else:
        context.patient = {}


def _keep(party: dict[str, str], node: X12DataNode) -> None:
    wanted = {
        "NM1": (("family", "NM103"), ("given", "NM104"), ("kind", "NM108"), ("number", "NM109")),
        "N4": (("state", "N402"),),
        "DMG": (("birth", "DMG02"), ("sex", "DMG03")),
    }
    for name, element in wanted.get(node.id or "", ()):
        party[name] = _value(node, element)


def _value(node: Any, path: str) -> str:
    return str(node.get_value(path) or "").strip()


def _claim(node: X12DataNode, context: _Context) -> Claim:
    number = _value(node, "CLM01")
    person = context.patient or context.subscriber
    diagnoses = [with_dot(code) for n in _DIAGNOSES if (code := _diagnosis(node, n))]
    lines = tuple(_line(line, diagnoses) for line in node.select("2400"))
    if len(lines) == 1 and not lines[0].bodies:
        lines = (_with_bodies(lines[0], " ".join(_notes(node))),)
    days = [day for line in node.select("2400") if (day := _date(line, "DTP[472]"))]
    if not days:
        raise ClaimRefusal("Claim without a date of service (DTP*472) on its lines.")
    return Claim(
        id=number,
        use=ClaimUse.CLAIM,
        patient=Patient(
            medical_record_number=_value(node, "REF[EA]02") or None,
            member_id=context.subscriber.get("number") or None,
            family_name=person.get("family", ""),
            given_name=person.get("given", ""),
            birth_date=_day(person.get("birth", "")),
            sex={"F": "F", "M": "M"}.get(person.get("sex", "")),
        ),
        payer_id=context.payer.get("number", ""),
        payer_name=context.payer.get("family", ""),
        jurisdiction=_value(node, "2310C/N402") or context.provider.get("state") or None,
        provider_npi=context.provider.get("number", "") if context.provider.get("kind") == "XX" else "",
        service_date=min(days),
        onset_date=_date(node, "DTP[431]") or _date(node, "DTP[439]"),
        lines=lines,
    )


def _diagnosis(node: X12DataNode, number: int) -> str:
    return _value(node, f"HI[ABK]{number:02d}-2" if number == 1 else f"HI{number:02d}-2")


def _line(node: X12DataNode, diagnoses: list[str]) -> ServiceLine:
    pointers = [pointer for n in _POINTERS if (pointer := _value(node, f"SV107-{n}"))]
    units = _value(node, "SV104")
    if not units.isdigit():
        raise ClaimRefusal("Units of a service line (SV104) are a whole number, got something else.")
    line = ServiceLine(
        number=int(_value(node, "LX01")),
        procedure=_value(node, "SV101-2"),
        units=int(units),
        diagnoses=tuple(diagnoses[int(p) - 1] for p in pointers if p.isdigit() and 0 < int(p) <= len(diagnoses)),
        modifiers=tuple(code for n in range(3, 7) if (code := _value(node, f"SV101-{n}"))),
    )
    return _with_bodies(line, " ".join([_value(node, "SV101-7"), *_notes(node)]))


def _notes(node: X12DataNode) -> Iterator[str]:
    for note in node.select("NTE"):
        yield _value(note, "NTE02")


def _with_bodies(line: ServiceLine, text: str) -> ServiceLine:
    return ServiceLine(
        number=line.number,
        procedure=line.procedure,
        units=line.units,
        diagnoses=line.diagnoses,
        modifiers=line.modifiers,
        bodies=bodies_in(text),
    )


def _date(node: X12DataNode, path: str) -> date | None:
    return _day(_value(node, f"{path}03"))


def _day(text: str) -> date | None:
    """CCYYMMDD, or the first day of a range."""
    try:
        return datetime.strptime(text[:8], "%Y%m%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        return None
