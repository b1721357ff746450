"""The File Meta Information (PS3.10 7.1) that turns received data set bytes into a file, and our identity in it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from pydicom.filereader import read_file_meta_info

from inference.provenance import SOFTWARE_NAME, deterministic_uid

IMPLEMENTATION_CLASS_UID = deterministic_uid("implementation class", SOFTWARE_NAME)
"""(0002,0012); of this program, not of an installation (PS3.7 D.3.3.2)."""
IMPLEMENTATION_VERSION_NAME = "SPINE_NODE"
"""(0002,0013), at most 16 characters (PS3.7 D.3.3.2.4)."""
PREAMBLE = bytes(128) + b"DICM"
"""PS3.10 7.1."""
META_GROUP = 0x0002
LONG_META_VRS = frozenset({b"OB", b"UN"})
"""VRs in this group with a 32 bit length after two reserved bytes (PS3.10 Table 7.1-1, PS3.5 Table 7.1-1)."""
GROUP_LENGTH_ELEMENT_BYTES = 12
"""(0002,0000) UL: tag, VR, length, value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMeta:
    """What the file meta group says of an instance as it was received."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    source_ae_title: str
    """Calling AE title of the sender; kept in the file so that it survives the loss of a row."""


def encode_file_meta(meta: FileMeta) -> bytes:
    """The bytes in front of the data set: preamble, prefix and group 0002, explicit VR little endian."""
    group = b"".join(
        (
            # OB has a 32 bit length: (0002,0001) File Meta Information Version 1.
            struct.pack("<HH2s2xI", 2, 0x0001, b"OB", 2) + b"\0\1",
            _element(0x0002, b"UI", meta.sop_class_uid),
            _element(0x0003, b"UI", meta.sop_instance_uid),
            _element(0x0010, b"UI", meta.transfer_syntax_uid),
            _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID),
            _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME),
            _element(0x0016, b"AE", meta.source_ae_title),
        )
    )
    return PREAMBLE + struct.pack("<HH2sHI", 2, 0x0000, b"UL", 4, len(group)) + group


def decode_file_meta(path: Path) -> tuple[FileMeta, int]:
    """The file meta group of a file written by us, and the offset of its data set in bytes."""
    group = read_file_meta_info(path)
    length = int(group.FileMetaInformationGroupLength)
    meta = FileMeta(
        sop_class_uid=str(group.get("MediaStorageSOPClassUID", "")),
        sop_instance_uid=str(group.get("MediaStorageSOPInstanceUID", "")),
        transfer_syntax_uid=str(group.TransferSyntaxUID),
        source_ae_title=str(group.get("SourceApplicationEntityTitle", "")),
    )
    return meta, len(PREAMBLE) + GROUP_LENGTH_ELEMENT_BYTES + length


def parse_file_meta(group: bytes) -> FileMeta:
    """The file meta group of anybody's file, from the bytes behind its group length element.

    Raises:
        ValueError: the bytes are no such group, or it does not say what the data set is.
    """
    values: dict[int, str] = {}
    offset = 0
    while offset < len(group):
        try:
            number, element, vr, length = struct.unpack_from("<HH2sH", group, offset)
            start = offset + 8
            if vr in LONG_META_VRS:
                (length,), start = struct.unpack_from("<I", group, offset + 8), offset + 12
        except struct.error:
            raise ValueError("the file meta group ends inside an element") from None
        if number != META_GROUP or start + length > len(group):
            raise ValueError("the file meta group is not what its length says")
        values[element] = group[start : start + length].strip(b" \0").decode("latin-1")
        offset = start + length
    if not (values.get(0x0002) and values.get(0x0003) and values.get(0x0010)):
        raise ValueError("the file meta group names no SOP class, instance or transfer syntax")
    return FileMeta(
        sop_class_uid=values[0x0002],
        sop_instance_uid=values[0x0003],
        transfer_syntax_uid=values[0x0010],
        source_ae_title=values.get(0x0016, ""),
    )


def _element(element: int, vr: bytes, value: str) -> bytes:
    encoded = value.encode("ascii", "replace")
    if len(encoded) % 2:
        encoded += b"\0" if vr == b"UI" else b" "  # PS3.5 9.1 and 6.2
    return struct.pack("<HH2sH", 2, element, vr, len(encoded)) + encoded
