"""Command sets of the services that this node provides or asks for: C-STORE, C-ECHO, and Storage Commitment's two.

PS3.7 9.3.1, 9.3.5, 10.3.1 (N-EVENT-REPORT), 10.3.4 (N-ACTION) and Annex E.

A command set is always implicit VR little endian (PS3.7 6.3.1).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from dicom_node.pdu import AbortReason, ProtocolFault
from dicom_node.verdicts import ERROR_COMMENT_MAX_CHARACTERS

AFFECTED_SOP_CLASS_UID = 0x0002
REQUESTED_SOP_CLASS_UID = 0x0003
COMMAND_FIELD = 0x0100
MESSAGE_ID = 0x0110
MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
PRIORITY = 0x0700
COMMAND_DATA_SET_TYPE = 0x0800
STATUS = 0x0900
ERROR_COMMENT = 0x0902
AFFECTED_SOP_INSTANCE_UID = 0x1000
REQUESTED_SOP_INSTANCE_UID = 0x1001
EVENT_TYPE_ID = 0x1002
ACTION_TYPE_ID = 0x1008
NO_DATA_SET = 0x0101
"""Value of (0000,0800) when no data set follows (PS3.7 E.1)."""
DATA_SET_FOLLOWS = 0x0001
"""Any other value of it."""
MEDIUM_PRIORITY = 0x0000
"""PS3.7 9.3.1.1."""
MAX_COMMAND_BYTES = 1 << 16
"""Longest command set that is read: one C-STORE-RQ needs less than 400 bytes."""


class CommandField(IntEnum):
    """PS3.7 E.1."""

    C_STORE_RQ = 0x0001
    C_ECHO_RQ = 0x0030
    N_EVENT_REPORT_RQ = 0x0100
    N_ACTION_RQ = 0x0130
    C_CANCEL_RQ = 0x0FFF
    C_STORE_RSP = 0x8001
    C_ECHO_RSP = 0x8030
    N_EVENT_REPORT_RSP = 0x8100
    N_ACTION_RSP = 0x8130


RESPONSE_OF: Mapping[CommandField, CommandField] = {
    CommandField.C_STORE_RQ: CommandField.C_STORE_RSP,
    CommandField.C_ECHO_RQ: CommandField.C_ECHO_RSP,
    CommandField.N_EVENT_REPORT_RQ: CommandField.N_EVENT_REPORT_RSP,
    CommandField.N_ACTION_RQ: CommandField.N_ACTION_RSP,
}
TYPE_OF: Mapping[CommandField, int] = {
    CommandField.N_EVENT_REPORT_RQ: EVENT_TYPE_ID,
    CommandField.N_ACTION_RQ: ACTION_TYPE_ID,
}
"""The element that says which event or action is meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A request, or the response to our own one. UIDs are empty when the peer left them out."""

    field: CommandField
    message_id: int
    """Of a response: of the request that it answers."""
    sop_class_uid: str
    sop_instance_uid: str
    has_data_set: bool
    type_id: int = 0
    """Event Type ID or Action Type ID; 0 for the other services."""
    status: int = 0
    """Of a response."""


def decode_command(encoded: bytes) -> Command:
    """Read a command set.

    Raises:
        ProtocolFault: it cannot be read, or is a command that this node does not provide.
    """
    elements = _elements(encoded)
    code = _unsigned(elements, COMMAND_FIELD)
    try:
        field = CommandField(code)
    except ValueError:
        raise ProtocolFault(f"command {code:#06x} is not provided", AbortReason.UNEXPECTED_PDU) from None
    is_response = field is CommandField.N_EVENT_REPORT_RSP
    is_cancel = field is CommandField.C_CANCEL_RQ  # has no Message ID of its own (PS3.7 9.3.2.3)
    type_element = TYPE_OF.get(field)
    identifier = MESSAGE_ID_BEING_RESPONDED_TO if is_response else MESSAGE_ID
    return Command(
        field=field,
        message_id=0 if is_cancel else _unsigned(elements, identifier),
        sop_class_uid=_uid(elements, AFFECTED_SOP_CLASS_UID) or _uid(elements, REQUESTED_SOP_CLASS_UID),
        sop_instance_uid=_uid(elements, AFFECTED_SOP_INSTANCE_UID) or _uid(elements, REQUESTED_SOP_INSTANCE_UID),
        has_data_set=_unsigned(elements, COMMAND_DATA_SET_TYPE) != NO_DATA_SET,
        type_id=0 if type_element is None else _unsigned(elements, type_element),
        status=_unsigned(elements, STATUS) if is_response else 0,
    )


def encode_response(request: Command, status: int, comment: str = "") -> bytes:
    """The response to a request, with an Error Comment when there is something to say."""
    elements = [
        _element(AFFECTED_SOP_CLASS_UID, _even(request.sop_class_uid, "\0")),
        _element(COMMAND_FIELD, struct.pack("<H", RESPONSE_OF[request.field])),
        _element(MESSAGE_ID_BEING_RESPONDED_TO, struct.pack("<H", request.message_id)),
        _element(COMMAND_DATA_SET_TYPE, struct.pack("<H", NO_DATA_SET)),
        _element(STATUS, struct.pack("<H", status)),
    ]
    if comment:
        elements.append(_element(ERROR_COMMENT, _even(comment[:ERROR_COMMENT_MAX_CHARACTERS], " ")))
    if request.sop_instance_uid:
        elements.append(_element(AFFECTED_SOP_INSTANCE_UID, _even(request.sop_instance_uid, "\0")))
    if request.field in TYPE_OF:
        elements.append(_element(TYPE_OF[request.field], struct.pack("<H", request.type_id)))
    body = b"".join(elements)
    return _element(0x0000, struct.pack("<I", len(body))) + body


def encode_event_report(*, message_id: int, sop_class_uid: str, sop_instance_uid: str, event_type: int) -> bytes:
    """An N-EVENT-REPORT request with a data set (PS3.7 10.3.1.1)."""
    body = b"".join(
        (
            _element(AFFECTED_SOP_CLASS_UID, _even(sop_class_uid, "\0")),
            _element(COMMAND_FIELD, struct.pack("<H", CommandField.N_EVENT_REPORT_RQ)),
            _element(MESSAGE_ID, struct.pack("<H", message_id)),
            _element(COMMAND_DATA_SET_TYPE, struct.pack("<H", DATA_SET_FOLLOWS)),
            _element(AFFECTED_SOP_INSTANCE_UID, _even(sop_instance_uid, "\0")),
            _element(EVENT_TYPE_ID, struct.pack("<H", event_type)),
        )
    )
    return _element(0x0000, struct.pack("<I", len(body))) + body


def encode_store_request(message_id: int, sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """A C-STORE-RQ of medium priority, with a data set to follow (PS3.7 9.3.1.1)."""
    body = b"".join(
        (
            _element(AFFECTED_SOP_CLASS_UID, _even(sop_class_uid, "\0")),
            _element(COMMAND_FIELD, struct.pack("<H", CommandField.C_STORE_RQ)),
            _element(MESSAGE_ID, struct.pack("<H", message_id)),
            _element(PRIORITY, struct.pack("<H", MEDIUM_PRIORITY)),
            _element(COMMAND_DATA_SET_TYPE, struct.pack("<H", DATA_SET_FOLLOWS)),
            _element(AFFECTED_SOP_INSTANCE_UID, _even(sop_instance_uid, "\0")),
        )
    )
    return _element(0x0000, struct.pack("<I", len(body))) + body


def encode_echo_request(message_id: int, sop_class_uid: str) -> bytes:
    """A C-ECHO-RQ (PS3.7 9.3.5.1)."""
    body = b"".join(
        (
            _element(AFFECTED_SOP_CLASS_UID, _even(sop_class_uid, "\0")),
            _element(COMMAND_FIELD, struct.pack("<H", CommandField.C_ECHO_RQ)),
            _element(MESSAGE_ID, struct.pack("<H", message_id)),
            _element(COMMAND_DATA_SET_TYPE, struct.pack("<H", NO_DATA_SET)),
        )
    )
    return _element(0x0000, struct.pack("<I", len(body))) + body


def decode_status(encoded: bytes, request: CommandField, message_id: int) -> int:
    """The status of the response to our request.

    Raises:
        ProtocolFault: it cannot be read, or answers something else.
    """
    elements = _elements(encoded)
    code, answered = _unsigned(elements, COMMAND_FIELD), _unsigned(elements, MESSAGE_ID_BEING_RESPONDED_TO)
    if code != RESPONSE_OF[request] or answered != message_id:
        name = request.name.removesuffix("_RQ").replace("_", "-")
        sentence = f"command {code:#06x} to message {answered} in place of the answer to {name} {message_id}"
        raise ProtocolFault(sentence, AbortReason.UNEXPECTED_PDU)
    return _unsigned(elements, STATUS)


def _elements(encoded: bytes) -> dict[int, bytes]:
    found = {}
    offset = 0
    while offset < len(encoded):
        if len(encoded) - offset < 8:  # noqa: PLR2004 - tag and length of an implicit VR element (PS3.5 7.1.3)
            raise ProtocolFault("a command set ends inside an element", AbortReason.INVALID_PARAMETER_VALUE)
        group, element, length = struct.unpack_from("<HHI", encoded, offset)
        value = encoded[offset + 8 : offset + 8 + length]
        if group != 0 or len(value) < length:
            raise ProtocolFault("a command set holds what is no command element", AbortReason.INVALID_PARAMETER_VALUE)
        found[element] = value
        offset += 8 + length
    return found


def _unsigned(elements: Mapping[int, bytes], element: int) -> int:
    value = elements.get(element, b"")
    if len(value) != 2:  # noqa: PLR2004 - US is two bytes (PS3.5 6.2)
        raise ProtocolFault(f"command element (0000,{element:04X}) is missing", AbortReason.INVALID_PARAMETER_VALUE)
    return int.from_bytes(value, "little")


def _uid(elements: Mapping[int, bytes], element: int) -> str:
    return elements.get(element, b"").strip(b" \0").decode("latin-1")


def _even(value: str, padding: str) -> bytes:
    return (value + padding * (len(value) % 2)).encode("latin-1")


def _element(element: int, value: bytes) -> bytes:
    return struct.pack("<HHI", 0, element, len(value)) + value
