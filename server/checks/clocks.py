"""Time zone, and clocks of others where they can be seen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from server.checks.answer import Answer, fail, ok, warn
from server.peers import StowPeer
from server.settings import Settings

LARGEST_OFFSET_S = 30.0
"""A sign-in by OpenID Connect fails from a minute on; the header Date has whole seconds."""
_TIMEOUT_S = 5.0


def check_clocks(settings: Settings) -> Iterator[Answer]:
    """Ours, and those of the identity provider and of archives that are reached by HTTP."""
    here = datetime.now(UTC).astimezone()
    yield ok("time zone", f"{here.tzname()} (UTC{here:%z}); it is now {here:%Y-%m-%d %H:%M:%S}.")
    places = {"identity provider": settings.oidc_issuer} if "oidc" in settings.http_authentication else {}
    places |= {f"destination {p.name}": p.url for p in settings.destination_peers() if isinstance(p, StowPeer)}
    for name, url in places.items():
        yield _check_clock(f"clock of {name}", url)


def _check_clock(name: str, url: str) -> Answer:
    try:
        began = time.time()
        answer = httpx.head(url, timeout=_TIMEOUT_S, trust_env=False)
        middle = (began + time.time()) / 2
        theirs = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except httpx.HTTPError as error:
        return warn(name, f"It does not answer ({type(error).__name__}).", "Is the address right, and its certificate?")
    except (KeyError, ValueError):
        return ok(name, "It does not say what time it is.")
    offset = theirs - middle
    if abs(offset) > LARGEST_OFFSET_S:
        return fail(
            name, f"It is {abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} ours.", "Use NTP on both."
        )
    return ok(name, f"It is within {LARGEST_OFFSET_S:.0f} s of ours.")
