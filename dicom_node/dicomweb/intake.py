"""STOW-RS (PS3.18 10.5): instances from a multipart body, each through the inbox that C-STORE uses.

The body is parsed as it arrives and never held: a part's data set goes to its file piece by piece, and what the inbox
answers when the part ends is durable. A request that breaks off keeps what ended before; it may be sent again, because
what is held already is a duplicate.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser

from dicom_node.dicomweb.media import DICOM, MULTIPART, parse_media_type
from dicom_node.dicomweb.refusals import bad_request, checked_uid, too_large, unsupported
from dicom_node.file_meta import GROUP_LENGTH_ELEMENT_BYTES, PREAMBLE, FileMeta, parse_file_meta
from dicom_node.header import is_uid
from dicom_node.inbox import Arrival, Inbox, StoreRequest
from dicom_node.limits import Guest
from dicom_node.storage_classes import STORAGE_CLASSES
from dicom_node.verdicts import RESPONSES, Verdict

SENDER = "STOW-RS"
"""Stands where an AE title would: HTTP has none."""
MAX_META_BYTES = 1 << 16
MAX_BOUNDARY = 70
"""RFC 2046 5.1.1."""

CANNOT_UNDERSTAND = 0xC000
SOP_CLASS_NOT_SUPPORTED = 0x0122
TRANSFER_SYNTAX_NOT_SUPPORTED = 0xC122
"""Failure Reasons (PS3.18 Table I.2-2)."""
WARNINGS = range(0xB000, 0xC000)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeLimits:
    """What one request may hold."""

    request_bytes: int
    instances: int = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one part."""

    sop_class_uid: str | None
    sop_instance_uid: str | None
    status: int
    """0 stored; a warning (0xB000) or failure reason otherwise (PS3.18 Tables I.2-1 and I.2-2)."""

    @property
    def is_held(self) -> bool:
        """Whether the instance can be retrieved."""
        return self.status == 0 or self.status in WARNINGS


def boundary_of(content_type: str) -> bytes:
    """The boundary of a body of DICOM instances.

    Raises:
        WebRefusal: 415, it is something else; 400, it has no boundary.
    """
    media_type, parameters = parse_media_type(content_type)
    if media_type != MULTIPART or parameters.get("type", DICOM).lower() != DICOM:
        raise unsupported(f'Instances are taken as multipart/related; type="{DICOM}".')
    boundary = parameters.get("boundary", "")
    if not (0 < len(boundary) <= MAX_BOUNDARY and boundary.isascii() and boundary.isprintable()):
        raise bad_request("A multipart body has a boundary of 1 to 70 characters.")
    return boundary.encode("ascii")


class Intake:
    """One request while it arrives. Used by one thread at a time."""

    def __init__(
        self, inbox: Inbox, boundary: bytes, limits: IntakeLimits, study_instance_uid: str | None, guest: Guest
    ) -> None:
        """Nothing is written before the first part; the guest is who sends.

        Raises:
            WebRefusal: 400, the study is no UID.
        """
        self.outcomes: list[Outcome] = []
        self._inbox = inbox
        self._limits = limits
        self._study = study_instance_uid and checked_uid(study_instance_uid, "study's name")
        self._guest = guest
        self._part: _Part | None = None
        self._field = bytearray()
        self._value = bytearray()
        self._received = 0
        self._has_ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._field.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                "on_header_end": self._header,
                "on_part_data": self._data,
                "on_part_end": self._finish,
                "on_end": self._end,
            },
        )

    def feed(self, data: bytes) -> None:
        """Take a piece of the body.

        Raises:
            WebRefusal: 400, the body is no multipart; 413, too large; 415, a part is no DICOM instance.
        """
        self._received += len(data)
        if self._received > self._limits.request_bytes:
            raise too_large(f"A request has at most {self._limits.request_bytes} bytes.")
        try:
            self._parser.write(data)
        except MultipartParseError:
            raise bad_request("The body is not the multipart that its Content-Type says.") from None

    def close(self) -> list[Outcome]:
        """The body is complete: what became of its parts.

        Raises:
            WebRefusal: 400, the body ended before its last boundary, or has no part.
        """
        if not self._has_ended:
            raise bad_request("The body ends before its last boundary; what was complete before that is stored.")
        if not self.outcomes:
            raise bad_request("The body holds no instance.")
        return self.outcomes

    def abandon(self) -> None:
        """Forget the part that is half received; harmless when there is none."""
        if self._part is not None:
            self._part.abandon()
        self._part = None

    def _begin(self) -> None:
        if len(self.outcomes) >= self._limits.instances:
            raise too_large(f"A request has at most {self._limits.instances} instances.")
        self._part = _Part(inbox=self._inbox, study=self._study, guest=self._guest)

    def _header(self) -> None:
        name, value = self._field.decode("latin-1").strip().lower(), self._value.decode("latin-1")
        self._field.clear()
        self._value.clear()
        if name == "content-type" and parse_media_type(value)[0] != DICOM:
            raise unsupported(f"Every part is {DICOM}.")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part is not None:
            self._part.write(memoryview(data)[start:end])

    def _finish(self) -> None:
        if self._part is not None:
            self.outcomes.append(self._part.finish())
        self._part = None

    def _end(self) -> None:
        self._has_ended = True


@dataclass(slots=True, kw_only=True)
class _Part:
    """One instance: its file meta group is read, the data set goes to the inbox."""

    inbox: Inbox
    study: str | None
    guest: Guest
    _prefix: bytearray = field(default_factory=bytearray)
    _meta: FileMeta | None = None
    _arrival: Arrival | None = None
    _failed: int | None = None

    def write(self, data: memoryview) -> None:
        if self._arrival is not None:
            self._take(self._arrival, data)
        elif self._failed is None:
            self._prefix += data
            self._look()

    def finish(self) -> Outcome:
        status = CANNOT_UNDERSTAND if self._failed is None else self._failed
        if self._arrival is not None:
            status = RESPONSES[self._arrival.finish()].status
            self._arrival = None
        sop_class, instance = (self._meta.sop_class_uid, self._meta.sop_instance_uid) if self._meta else ("", "")
        return Outcome(
            sop_class_uid=sop_class if is_uid(sop_class) else None,
            sop_instance_uid=instance if is_uid(instance) else None,
            status=status,
        )

    def abandon(self) -> None:
        if self._arrival is not None:
            self._arrival.abandon()
        self._arrival = None

    def _look(self) -> None:
        """Begin the arrival as soon as the file meta group is complete."""
        start = len(PREAMBLE) + GROUP_LENGTH_ELEMENT_BYTES
        if len(self._prefix) < start:
            return
        magic, group_length = self._prefix[len(PREAMBLE) - 4 : len(PREAMBLE) + 8], self._prefix[start - 4 : start]
        (length,) = struct.unpack("<I", group_length)
        if magic != b"DICM\x02\x00\x00\x00UL\x04\x00" or length > MAX_META_BYTES:
            self._fail(CANNOT_UNDERSTAND)
        elif len(self._prefix) >= start + length:
            self._open(bytes(self._prefix[start : start + length]), bytes(self._prefix[start + length :]))

    def _open(self, group: bytes, rest: bytes) -> None:
        try:
            meta = self._meta = parse_file_meta(group)
        except ValueError:
            self._fail(CANNOT_UNDERSTAND)
            return
        storage_class = STORAGE_CLASSES.get(meta.sop_class_uid)
        if storage_class is None or meta.transfer_syntax_uid not in storage_class.transfer_syntaxes:
            self._fail(SOP_CLASS_NOT_SUPPORTED if storage_class is None else TRANSFER_SYNTAX_NOT_SUPPORTED)
            return
        self._prefix.clear()
        self._arrival = self.inbox.begin(
            StoreRequest(
                sop_class_uid=meta.sop_class_uid,
                sop_instance_uid=meta.sop_instance_uid,
                transfer_syntax_uid=meta.transfer_syntax_uid,
                negotiated_sop_class_uid=meta.sop_class_uid,
                calling_ae_title=SENDER,
                study_instance_uid=self.study,
            )
        )
        if self.guest.is_over_quota():
            self._arrival.refuse(Verdict.OVER_QUOTA)
        self._take(self._arrival, memoryview(rest))

    def _take(self, arrival: Arrival, data: memoryview) -> None:
        arrival.write(data)
        self.guest.sent(len(data))

    def _fail(self, status: int) -> None:
        self._failed = status
        self._prefix.clear()
