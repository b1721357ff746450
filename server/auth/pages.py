"""The login page: one form and one link, without a script and without anything from elsewhere."""

from __future__ import annotations

from html import escape
from urllib.parse import urlencode, urlsplit

from fastapi.responses import HTMLResponse

from inference.provenance import RESEARCH_USE
from server.auth.headers import page_policy

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:22rem;margin:9vh auto;padding:0 1em;background:#111;color:#eee}"
    "label,input,button,a.provider{display:block;width:100%;box-sizing:border-box}"
    "input,button,a.provider{font:inherit;padding:.6rem;margin:.25rem 0 1rem;border-radius:4px;border:1px solid #999}"
    "input{background:#000;color:#fff}button,a.provider{background:#2b6cb0;color:#fff;text-align:center}"
    "p.message{border-left:4px solid #f6ad55;padding-left:.75rem}"
)


def local_path(text: str | None) -> str:
    """The path to come back to; ``/`` for whatever would lead away from this node (an open redirect)."""
    text = text or "/"
    parts = urlsplit(text)
    is_local = not parts.scheme and not parts.netloc and text.startswith("/") and not text.startswith("//")
    return text if is_local and "\\" not in text and text.isprintable() and text.isascii() else "/"


def login_page(
    *, back_to: str, message: str = "", with_password: bool, with_provider: bool, status: int = 200
) -> HTMLResponse:
    """The page, with one sentence where something is to be said."""
    back_to = local_path(back_to)
    parts = [f'<p class="message" role="alert">{escape(message)}</p>' if message else ""]
    if with_provider:
        link = escape(f"/oidc/login?{urlencode({'next': back_to})}")
        parts.append(f'<a class="provider" href="{link}">Sign in with the hospital\'s account</a>')
    if with_password:
        parts.append(
            f'<form method="post" action="/login"><input type="hidden" name="next" value="{escape(back_to)}">'
            '<label for="name">Name</label><input id="name" name="name" autocomplete="username" required>'
            '<label for="password">Password</label>'
            '<input id="password" name="password" type="password" autocomplete="current-password" required>'
            "<button>Sign in</button></form>"
        )
    body = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sign in</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main><h1>Sign in</h1>{''.join(parts)}"
        f"<p><small>{escape(RESEARCH_USE)}</small></p></main></body></html>"
    )
    return HTMLResponse(body, status_code=status, headers=page_headers(_STYLE))


def page_headers(style: str) -> dict[str, str]:
    """For a page of our own with that one inline style."""
    return {"content-security-policy": page_policy(style), "cache-control": "no-store"}
