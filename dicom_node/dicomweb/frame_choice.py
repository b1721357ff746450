"""Which form a frame is sent in: native bytes, or the code stream that the file holds (PS3.18 8.7.3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.dicomweb.media import ANY, OCTETS, MediaRange
from dicom_node.dicomweb.pixels import COMPRESSED_MEDIA_TYPES, is_compressed
from dicom_node.dicomweb.refusals import bad_request, not_acceptable, not_held

MAX_FRAMES_OF_ONE_REQUEST = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameForm:
    """How the frames of one answer are sent."""

    media_type: str
    transfer_syntax_uid: str
    is_stored: bool
    """As they stand in the file; else as native little endian bytes."""

    @property
    def content_type(self) -> str:
        """With the transfer syntax."""
        return f"{self.media_type}; transfer-syntax={self.transfer_syntax_uid}"


def choose_form(ranges: Sequence[MediaRange], stored: str) -> FrameForm:
    """The best form that is accepted.

    Raises:
        WebRefusal: 406, there is none.
    """
    for media_range in ranges:
        form = _form(media_range, stored)
        if form is not None:
            return form
    own = COMPRESSED_MEDIA_TYPES.get(stored)
    as_stored = f", or {own} in transfer syntax {stored}" if own else ""
    raise not_acceptable(f'Frames can be had as multipart/related; type="{OCTETS}"{as_stored}.')


def _form(media_range: MediaRange, stored: str) -> FrameForm | None:
    asked = media_range.transfer_syntax
    native = FrameForm(media_type=OCTETS, transfer_syntax_uid=str(ExplicitVRLittleEndian), is_stored=False)
    own = COMPRESSED_MEDIA_TYPES.get(stored)
    if media_range.covers(OCTETS):
        if not is_compressed(stored):
            return native if asked in {None, ANY, ExplicitVRLittleEndian} else None
        if asked in {ANY, stored}:
            return FrameForm(media_type=OCTETS, transfer_syntax_uid=stored, is_stored=True)
        return native if asked in {None, ExplicitVRLittleEndian} else None
    if own is not None and media_range.covers(own) and asked in {None, ANY, stored}:
        return FrameForm(media_type=own, transfer_syntax_uid=stored, is_stored=True)
    return None


def frame_numbers(text: str, count: int) -> list[int]:
    """The numbers of a comma-separated list, each from 1 to `count`.

    Raises:
        WebRefusal: 400, this is no such list; 404, the instance has fewer frames.
    """
    words = text.split(",", MAX_FRAMES_OF_ONE_REQUEST)
    if not all(word.isascii() and word.isdigit() and len(word) < 10 and int(word) for word in words):  # noqa: PLR2004
        raise bad_request("Frames are asked for by their numbers from 1, separated by commas.")
    numbers = [int(word) for word in words]
    if max(numbers) > count:
        raise not_held(f"The instance has {count} frame(s).")
    return numbers
