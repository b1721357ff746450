"""``/api/docs``: the API as one plain page, made from the OpenAPI document. It loads nothing from anywhere."""

from __future__ import annotations

from html import escape
from typing import Any

from inference.provenance import RESEARCH_USE

STYLE = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}code{font-size:.95em}"


def render(document: dict[str, Any]) -> str:
    """The page."""
    rows = [
        f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2>"
        f"<p>{escape(operation.get('summary', ''))}</p><p>{escape(operation.get('description', ''))}</p>"
        f"{_parameters(operation)}"
        for path, operations in sorted(document["paths"].items())
        for method, operation in sorted(operations.items())
    ]
    title = escape(document["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
        f"<h1>{title} {escape(document['info']['version'])}</h1><p><strong>{escape(RESEARCH_USE)}</strong></p>"
        f'<p>Machine-readable: <a href="/api/openapi.json">OpenAPI document</a>. Errors are RFC 9457 problem+json.</p>'
        f"{''.join(rows)}</html>"
    )


def _parameters(operation: dict[str, Any]) -> str:
    items = [
        f"<li><code>{escape(parameter['name'])}</code> ({escape(parameter['in'])})</li>"
        for parameter in operation.get("parameters", [])
    ]
    return f"<ul>{''.join(items)}</ul>" if items else ""
