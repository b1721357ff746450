"""Answers that follow from their input alone: a client that has one is told so instead of getting it again."""

from __future__ import annotations

from http import HTTPStatus

from server.http.openapi import produces

NOT_MODIFIED = produces(status=HTTPStatus.NOT_MODIFIED, description="Nothing changed since the ETag in If-None-Match.")


def headers_of(digest: str, revision: int) -> dict[str, str]:
    """ETag from a digest of the input; a client may keep the answer, but asks each time whether it still stands."""
    return {"ETag": f'"{digest}"', "Cache-Control": "private, no-cache", "X-Spine-Revision": str(revision)}


def is_matched(if_none_match: str | None, digest: str) -> bool:
    """Whether a client has the answer of that digest already (RFC 9110 13.1.2, weak comparison)."""
    tags = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return "*" in tags or f'"{digest}"' in tags
