"""What a DICOMweb request is refused with: one sentence, and the HTTP status that PS3.18 gives it."""

from __future__ import annotations

from http import HTTPStatus

from dicom_node.header import is_uid
from inference.errors import Refusal


class WebRefusal(Refusal):
    """A request that cannot be answered with what it asks for."""

    def __init__(self, status: HTTPStatus, sentence: str, retry_after_s: int | None = None) -> None:
        """Keep the status beside the sentence, which names no value of a data set but UIDs; and when to try again."""
        super().__init__(sentence)
        self.status, self.retry_after_s = status, retry_after_s


def bad_request(sentence: str) -> WebRefusal:
    """400: the request itself is not understood (PS3.18 8.5)."""
    return WebRefusal(HTTPStatus.BAD_REQUEST, sentence)


def not_held(sentence: str) -> WebRefusal:
    """404: nothing of that name is held."""
    return WebRefusal(HTTPStatus.NOT_FOUND, sentence)


def not_acceptable(sentence: str) -> WebRefusal:
    """406: none of the media types and transfer syntaxes that were asked for can be given."""
    return WebRefusal(HTTPStatus.NOT_ACCEPTABLE, sentence)


def too_large(sentence: str) -> WebRefusal:
    """413: more than is taken in one request."""
    return WebRefusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence)


def unsupported(sentence: str) -> WebRefusal:
    """415: the body is of a kind that is not taken."""
    return WebRefusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, sentence)


def too_many(sentence: str, retry_after_s: int) -> WebRefusal:
    """429: more than this client may (RFC 6585 4)."""
    return WebRefusal(HTTPStatus.TOO_MANY_REQUESTS, sentence, retry_after_s)


def unavailable(sentence: str, retry_after_s: int) -> WebRefusal:
    """503: not now, for a reason of ours (RFC 9110 15.6.4)."""
    return WebRefusal(HTTPStatus.SERVICE_UNAVAILABLE, sentence, retry_after_s)


def checked_uid(value: str, what: str) -> str:
    """The value, when it is a UID.

    Raises:
        WebRefusal: 400, it is not (PS3.5 9.1); the value is not repeated.
    """
    if not is_uid(value):
        raise bad_request(f"The {what} is not a UID: digits and single dots, at most 64 characters.")
    return value
