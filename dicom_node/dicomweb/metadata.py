"""WADO-RS metadata and bulk data (PS3.18 10.4.1.1.2, 10.4.1.1.5): headers as DICOM JSON, large values one by one."""

from __future__ import annotations

import json
import logging
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from dicom_node.dicomweb.encoding import JsonDataset, as_json, quietly
from dicom_node.dicomweb.held import Held, NativeLayout
from dicom_node.dicomweb.levels import TRANSFER_SYNTAXES
from dicom_node.dicomweb.part10 import transfer_syntax_of
from dicom_node.dicomweb.pixels import native_layout
from dicom_node.dicomweb.refusals import bad_request, not_held
from dicom_node.reader.values import PARSE_ERRORS
from inference.errors import StorageFailure

DEFER_BYTES = 1 << 16
"""Longer values are read when they are converted, not before: most of them stay behind their URI."""
PIXEL_TAGS = (0x7FE0_0008, 0x7FE0_0009, 0x7FE0_0010)
"""Float, Double Float and Pixel Data (PS3.3 C.7.6.24, C.7.6.25, C.7.6.3)."""
TAG_CHARACTERS = 8
MAX_DEPTH = 20
"""Deepest nesting of a bulk value; our own bound."""

KEPT_BYTES = 1 << 16
"""Largest packed header in the index, our own bound: a single-frame image has 1 to 4 KiB, a large SEG more."""
_BULK = b'"BulkDataURI":"'
"""Stands in a JSON text only as this key: quotation marks inside a value are escaped."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What one reading of a file says about it."""

    document: JsonDataset
    """The whole header; large values by their place in the instance (``TAG``), not by a URI of some host."""
    layout: NativeLayout | None


def describe(held: Held) -> Described | None:
    """Read the header of an instance; None where the file cannot be read as a data set."""
    try:
        syntax = transfer_syntax_of(held)
        described = _read(held, syntax)
    except FileNotFoundError:
        log.warning("instance_without_file", extra={"sop_instance_uid": held.sop_instance_uid})
        return None
    except (*PARSE_ERRORS, OSError, StorageFailure) as error:
        detail = {"sop_instance_uid": held.sop_instance_uid, "error": type(error).__name__}
        log.warning("header_not_readable", extra=detail)
        return None
    own = stated(held) | {TRANSFER_SYNTAXES: _uid(syntax)}
    return Described(document=described.document | own, layout=described.layout)


def metadata(held: Held, kept: bytes | None, base_url: str) -> bytes:
    """The header of an instance as the text of one JSON object; only what its row says where it cannot be read.

    Args:
        held: the instance.
        kept: what :func:`packed` made of its header; None: the file is read.
        base_url: up to and without ``/studies``, for the URIs of bulk values.
    """
    if kept is not None:
        text = zlib.decompress(kept)
    else:
        described = describe(held)
        text = _as_text(stated(held) if described is None else described.document)
    address = (
        f"{base_url}/studies/{held.study_instance_uid}/series/{held.series_instance_uid}"
        f"/instances/{held.sop_instance_uid}/bulkdata/"
    )
    return text.replace(_BULK, _BULK + json.dumps(address)[1:-1].encode())


def packed(document: JsonDataset) -> bytes | None:
    """A header as the index keeps it; None for one so large that its file is read each time."""
    data = zlib.compress(_as_text(document))
    return data if len(data) <= KEPT_BYTES else None


def _as_text(document: JsonDataset) -> bytes:
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(errors="replace")


def stated(held: Held) -> JsonDataset:
    """What the row of an instance says without its file."""
    uids = {
        "00080016": held.sop_class_uid,
        "00080018": held.sop_instance_uid,
        "0020000D": held.study_instance_uid,
        "0020000E": held.series_instance_uid,
    }
    known = uids if held.transfer_syntax_uid is None else uids | {TRANSFER_SYNTAXES: held.transfer_syntax_uid}
    return {tag: _uid(value) for tag, value in known.items()}


def _uid(value: str) -> dict[str, Any]:
    return {"vr": "UI", "Value": [value]}


def _read(held: Held, syntax: str) -> Described:
    with quietly(), held.path.open("rb") as file:
        if syntax == DeflatedExplicitVRLittleEndian:
            return Described(document=as_json(dcmread(file), str), layout=None)
        dataset = dcmread(file, stop_before_pixels=True, defer_size=DEFER_BYTES)
        document = as_json(dataset, str)
        pixels_begin = file.tell()
        found = _pixel_element(file, syntax)
        file.seek(pixels_begin)
        layout = native_layout(file, dataset, syntax)
    if found is not None:
        tag, vr = found
        document[f"{tag:08X}"] = {"vr": vr, "BulkDataURI": f"{tag:08X}"}
    return Described(document=document, layout=layout)


def _pixel_element(file: BinaryIO, syntax: str) -> tuple[int, str] | None:
    """Tag and value representation of the element that pydicom stopped in front of, and went back to."""
    head = file.read(6)
    if len(head) < 6:  # noqa: PLR2004 - tag and value representation
        return None
    group, number = struct.unpack(">HH" if syntax == ExplicitVRBigEndian else "<HH", head[:4])
    tag = group << 16 | number
    if tag not in PIXEL_TAGS:
        return None
    return tag, "OW" if syntax == ImplicitVRLittleEndian else head[4:6].decode("ascii", "replace")


def bulk_value(held: Held, place: str) -> bytes:
    """The bytes of one binary value that is not pixel data.

    Args:
        held: the instance.
        place: ``TAG`` or ``TAG/ITEM/TAG``, as in the metadata.

    Raises:
        WebRefusal: 400, this is no such place; 404, nothing binary is there.
        StorageFailure: the file cannot be read.
    """
    *parents, last = list(_steps(place))
    try:
        with quietly():
            dataset: Any = dcmread(held.path, stop_before_pixels=True)
            for tag, item in parents:
                dataset = dataset[tag].value[item]
            value = dataset[last[0]].value
    except (KeyError, IndexError, TypeError):
        raise not_held("The instance has no such value.") from None
    except (*PARSE_ERRORS, OSError) as error:
        raise StorageFailure(f"Instance {held.sop_instance_uid} cannot be read from the spool.") from error
    if not isinstance(value, bytes):
        raise not_held("The instance has no binary value there.")
    return value


def _steps(place: str) -> Iterator[tuple[int, int]]:
    """(tag, item) of every sequence on the way, then (tag, -1)."""
    words = place.split("/")
    if len(words) % 2 == 0 or len(words) > MAX_DEPTH:
        raise bad_request("A bulk value is addressed as TAG, or TAG/ITEM/TAG.")
    for position in range(0, len(words), 2):
        tag = words[position]
        item = words[position + 1] if position + 1 < len(words) else None
        is_tag = len(tag) == TAG_CHARACTERS and all(character in "0123456789abcdefABCDEF" for character in tag)
        is_item = item is None or (item.isascii() and item.isdigit() and len(item) < TAG_CHARACTERS)
        if not (is_tag and is_item):
            raise bad_request("A bulk value is addressed as TAG, or TAG/ITEM/TAG.")
        yield int(tag, 16), -1 if item is None else int(item)


def document_type(held: Held) -> str | None:
    """The media type of an encapsulated document (PS3.3 C.24.2), None for any other instance."""
    try:
        with quietly():
            dataset: Dataset = dcmread(
                held.path, stop_before_pixels=True, specific_tags=["MIMETypeOfEncapsulatedDocument"]
            )
            value = dataset.get("MIMETypeOfEncapsulatedDocument")
    except (*PARSE_ERRORS, OSError):
        return None
    text = str(value or "").strip().lower()
    return text if text.isascii() and text.isprintable() and "/" in text and not set(text) & set(';," ') else None
