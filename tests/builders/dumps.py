"""Derived objects as stable text that a person can read and review in a diff."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

LINE = 100
LEFT_OUT = {"PixelData", "ContentSequence", "PerFrameFunctionalGroupsSequence"}


def dump(dataset: Dataset) -> str:
    """Attributes by name, nested ones indented; the content tree of a report one line per item."""
    lines = list(_attributes(dataset, ""))
    if "ContentSequence" in dataset:
        lines += ["", "Content", *_item(dataset, "  ")]
    return "\n".join(lines) + "\n"


def _attributes(dataset: Dataset, indent: str) -> Iterator[str]:
    for element in dataset:
        if element.keyword in LEFT_OUT:
            continue
        if isinstance(element.value, Sequence):
            yield f"{indent}{element.keyword}:"
            for number, item in enumerate(element.value, start=1):
                if "CodeMeaning" in item:
                    yield f"{indent}  - {_code(item)}"
                else:
                    yield f"{indent}  - item {number}"
                    yield from _attributes(item, indent + "    ")
        else:
            yield f"{indent}{element.keyword}: {element.value}"


def _item(item: Dataset, indent: str) -> Iterator[str]:
    relation = f"{item.RelationshipType.lower()} " if "RelationshipType" in item else ""
    name = item.ConceptNameCodeSequence[0].CodeMeaning
    yield f"{indent}{relation}{item.ValueType} {name}{_value(item)}"
    for child in item.get("ContentSequence") or []:
        yield from _item(child, indent + "  ")


def _value(item: Dataset) -> str:
    shown = _VALUES.get(item.ValueType)
    return "" if shown is None else f" = {shown(item)}"


def _number(item: Dataset) -> str:
    measured = item.MeasuredValueSequence[0]
    return f"{measured.NumericValue} {measured.MeasurementUnitsCodeSequence[0].CodeValue}"


def _code(item: Dataset) -> str:
    return f"({item.CodeValue}, {item.CodingSchemeDesignator}, {item.CodeMeaning})"


_VALUES: dict[str, Callable[[Dataset], str]] = {
    "CODE": lambda item: _code(item.ConceptCodeSequence[0]),
    "TEXT": lambda item: repr(str(item.TextValue)),
    "UIDREF": lambda item: str(item.UID),
    "NUM": _number,
    "SCOORD": lambda item: f"{item.GraphicType} {[round(float(v), 2) for v in item.GraphicData]}",
    "IMAGE": lambda item: str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID),
}


def dump_json(value: Any, indent: str = "") -> str:
    """JSON that a person can read: one key or item per line, but what is short side by side."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or len(line) <= LINE:
        return line
    inner = indent + "  "
    if isinstance(value, dict):
        parts = [f"{inner}{json.dumps(key)}: {dump_json(part, inner)}" for key, part in value.items()]
        return "{\n" + ",\n".join(parts) + f"\n{indent}}}"
    return "[\n" + ",\n".join(f"{inner}{dump_json(part, inner)}" for part in value) + f"\n{indent}]"
