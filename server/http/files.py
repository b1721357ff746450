"""Files of a folder over HTTP: the right content type everywhere, and told how long a browser may keep them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from fastapi.staticfiles import StaticFiles
from starlette.responses import Response
from starlette.types import Scope

MEDIA_TYPES: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/vnd.microsoft.icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xml": "application/xml",
}
"""By ending, as IANA registers them; not the operating system's table, which differs from machine to machine."""
OTHER = "application/octet-stream"
_HASHED = re.compile(r"(?:^|\.)[0-9a-f]{16}\.(?:js|wasm|woff2)$")
"""A name that holds the digest of what is inside, as OHIF's build gives them."""
KEEP = "public, max-age=31536000, immutable"
ASK = "no-cache"
"""May be kept, and is asked for with its ETag each time."""


class Files(StaticFiles):
    """Regular files below some folders, the first that has the name; GET and HEAD, ETag, byte ranges."""

    def __init__(self, *folders: Path) -> None:
        super().__init__()
        self.all_directories = list(folders)

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """One file, or 304 when the browser has it."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        name = Path(full_path).name
        response.headers["Cache-Control"] = KEEP if _HASHED.search(name) else ASK
        response.headers["X-Content-Type-Options"] = "nosniff"
        if response.status_code == status_code:
            response.headers["Content-Type"] = MEDIA_TYPES.get(Path(name).suffix, OTHER)
        return response
