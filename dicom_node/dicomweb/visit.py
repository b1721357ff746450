"""What one sender may take by STOW-RS: the limits of dicom_node.limits, said in HTTP."""

from __future__ import annotations

from collections.abc import Callable

from dicom_node.dicomweb.refusals import WebRefusal, too_many, unavailable
from dicom_node.inbox import Inbox
from dicom_node.limits import ADDRESS_LIMIT_EXCEEDED, Guest, Limits

RETRY_S = 10
"""Until another request of the same sender may have ended."""
FULL_RETRY_S = 300
"""Until somebody may have made room on the disk."""


def let_in(limits: Limits, inbox: Callable[[], Inbox], *, address: str, source: str) -> Guest:
    """A request to store; it counts until `leave` is called.

    Args:
        limits: of this process.
        inbox: opens the inbox.
        address: of the client, for the limits of an address.
        source: who sends, for the limits of an AE title, which HTTP has not.

    Raises:
        WebRefusal: 429, the sender has taken what it may; 503, the disk is beyond its watermark.
    """
    guest = limits.admit(address)
    if guest is None:
        raise _at_once(limits, ADDRESS_LIMIT_EXCEEDED.word)
    try:
        _check(limits, guest, source)
        _check_room(limits, inbox())
    except BaseException:
        guest.leave()
        raise
    return guest


def _check(limits: Limits, guest: Guest, source: str) -> None:
    rejection = guest.rejection(source)
    if rejection is not None:
        raise _at_once(limits, rejection.word)
    if guest.is_over_quota():
        limits.count("stow_refused_quota", 1)
        wait = int(limits.seconds_until_midnight()) + 1
        raise too_many("The quota of this sender is used up; try again tomorrow (UTC).", wait)


def _at_once(limits: Limits, word: str) -> WebRefusal:
    limits.count(f"stow_refused_{word}", 1)
    whose = "address" if word == ADDRESS_LIMIT_EXCEEDED.word else "user or key"
    return too_many(f"This {whose} stores by as many requests at the same time as it may; try again later.", RETRY_S)


def _check_room(limits: Limits, inbox: Inbox) -> None:
    try:
        inbox.require_room()
    except OSError as error:
        limits.count("stow_refused_no_room", 1)
        sentence = "There is no room for images on the node's disk; nothing was stored, try again later."
        raise unavailable(sentence, FULL_RETRY_S) from error
