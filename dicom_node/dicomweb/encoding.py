"""A data set as DICOM JSON (PS3.18 F.2), with large binary values left behind a URI.

Text is UTF-8 in JSON, so Specific Character Set says ISO_IR 192. An element that cannot be converted (a number that is
none, a damaged sequence) keeps its place and its value representation, without a value: one bad element of a device
must not hide a whole study.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from dicom_node.dicomweb.levels import SPECIFIC_CHARACTER_SET
from dicom_node.reader.values import PARSE_ERRORS

BULK_BYTES = 1024
"""Binary values longer than this are not written inline; our own bound. Orthanc leaves out all of some attributes."""
BINARY_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
NUMBER_VRS = frozenset({"DS", "FD", "FL", "IS"})
UTF_8 = "ISO_IR 192"
NOT_IN_A_DATA_SET = frozenset({0x0000, 0x0002, 0xFFFE})
"""Groups of the command set, the file meta information and of items."""

JsonDataset = dict[str, dict[str, Any]]
UriOf = Callable[[str], str]
"""URI of a bulk value, from its place: ``TAG``, or ``TAG/ITEM/TAG`` in a sequence, items counted from 0."""


@contextmanager
def quietly() -> Iterator[None]:
    """Without pydicom's warnings, which quote values, and values may identify a patient."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def as_json(dataset: Dataset, uri_of: UriOf | None = None, place: str = "") -> JsonDataset:
    """The data set, by tag. Without `uri_of` large binary values keep only their value representation."""
    return {
        f"{tag:08X}": _element(dataset, tag, uri_of, f"{place}{tag:08X}")
        for tag in sorted(dataset.keys())
        if tag.group not in NOT_IN_A_DATA_SET and tag.element != 0
    }


def element_as_json(dataset: Dataset, tag: int) -> dict[str, Any]:
    """One element that is there."""
    return _element(dataset, BaseTag(tag), None, f"{tag:08X}")


def _element(dataset: Dataset, tag: BaseTag, uri_of: UriOf | None, place: str) -> dict[str, Any]:
    raw: Any = dataset.get_item(tag)
    if isinstance(raw, RawDataElement) and raw.value is None and raw.length > BULK_BYTES:  # not read yet
        vr = raw.VR or (dictionary_VR(tag) if dictionary_has_tag(tag) else "UN")
        if vr in BINARY_VRS:
            return _bulk(vr, uri_of, place)
    try:
        element = dataset[tag]
        if element.VR == "SQ":
            items = [as_json(item, uri_of, f"{place}/{number}/") for number, item in enumerate(element.value or [])]
            return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
        if f"{tag:08X}" == SPECIFIC_CHARACTER_SET:
            return {"vr": "CS", "Value": [UTF_8]}
        if element.VR in BINARY_VRS and len(element.value or b"") > BULK_BYTES:
            return _bulk(element.VR, uri_of, place)
        return _finite(_plain(element))
    except (*PARSE_ERRORS, OSError):
        return {"vr": str(getattr(raw, "VR", None) or "UN")}


def _plain(element: DataElement) -> Mapping[str, Any]:
    converted: Mapping[str, Any] = element.to_json_dict(None, BULK_BYTES)
    return converted


def _bulk(vr: str, uri_of: UriOf | None, place: str) -> dict[str, Any]:
    return {"vr": vr} if uri_of is None else {"vr": vr, "BulkDataURI": uri_of(place)}


def _finite(element: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no infinity and nothing that is not a number: such a value is null."""
    if element["vr"] in NUMBER_VRS and "Value" in element:
        values = [None if isinstance(v, float) and not math.isfinite(v) else v for v in element["Value"]]
        return {"vr": element["vr"], "Value": values}
    return dict(element)
