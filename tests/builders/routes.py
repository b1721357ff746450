"""The routes of an application, as a test asks them."""

from __future__ import annotations

import re

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount


def routes_of(application: FastAPI) -> set[tuple[str, str]]:
    """Method and a path of every route, included, mounted, and hidden ones too."""
    found = set()
    for route in iter_route_contexts(application.routes):
        path = re.sub(r"\{[^}]*\}", "1.2.3", str(route.path))
        methods = {"GET"} if isinstance(route.original_route, Mount) else set(route.methods or {"GET"})
        found |= {(method, path or "/") for method in methods - {"HEAD", "OPTIONS"}}
    return found
