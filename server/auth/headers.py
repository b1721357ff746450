"""Headers that keep a browser from doing what our pages never ask it to do."""

from __future__ import annotations

import base64
import hashlib

from starlette.datastructures import MutableHeaders

DATA_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""For what is data and no page."""

VIEWER_SCRIPTS = (
    "sha256-VggY0rSMrfuUfyGbMQUTdohoMO4fFh+5LLFfr7rG50g=",
    "sha256-12PW7jQ7q6uBo6f025aNINHBa58dqEw1kjWTLzM/lTg=",
)
"""Of the two inline scripts in the index page of OHIF 3.13.2; another one does not run."""


def _viewer_policy(script: str) -> str:
    return (
        "default-src 'self'; "
        f"script-src 'self' {script}; "
        "worker-src 'self' blob:; "
        "connect-src 'self' blob: data:; "
        "img-src 'self' blob: data:; "
        "style-src 'self' 'unsafe-inline'; "
        "font-src 'self' data:; "
        "object-src 'self' blob:; "
        "frame-src 'self' blob:; "
        "frame-ancestors 'self'; base-uri 'self'; form-action 'self'"
    )


VIEWER_POLICY = _viewer_policy(f"'wasm-unsafe-eval' {' '.join(repr(digest) for digest in VIEWER_SCRIPTS)}")
"""What OHIF 3.13.2 runs under; everything from this node, and nothing from anywhere else. Its codecs are WebAssembly.

Text is never compiled in the page: where OHIF would, our app-config.js has a class ready (server/pages/ohif).
"""

WORKER_POLICY = _viewer_policy("'unsafe-eval' 'wasm-unsafe-eval'")
"""Of scripts, where workers run them: the glue of OHIF's image codecs compiles text there, far from page and login.

A script that a page runs is under the page's policy.
"""

_ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
_HSTS = "max-age=31536000"  # a year, as RFC 6797 and OWASP have it


def page_policy(style: str) -> str:
    """For a page of our own without a script: that one inline style, its own forms, and pictures of this node."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src 'self'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    )


def add_headers(headers: MutableHeaders, *, is_page: bool, is_https: bool) -> None:
    """Add them to one answer; a policy that the route has set stays."""
    for name, value in _ALWAYS.items():
        headers.setdefault(name, value)
    is_script = "javascript" in headers.get("content-type", "")
    viewer_policy = WORKER_POLICY if is_script else VIEWER_POLICY
    headers.setdefault("content-security-policy", viewer_policy if is_page else DATA_POLICY)
    if not is_page:
        headers.setdefault("cache-control", "no-store")
    if is_https:
        headers.setdefault("strict-transport-security", _HSTS)
