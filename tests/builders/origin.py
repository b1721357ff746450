"""One origin that serves OHIF and passes DICOMweb on to another server: how a site puts OHIF before its archive."""

from __future__ import annotations

import mimetypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from builders.peers import LOOPBACK

PREFIX = "/dicom-web"
PASSED_ON = ("accept", "host")
"""The host too: the archive makes the addresses in its answers from it."""


@contextmanager
def ohif_origin(folders: tuple[Path, ...], archive: str) -> Iterator[str]:
    """Serve until the block ends.

    Args:
        folders: Of OHIF's files, the first that has one wins; a path without an extension is its page.
        archive: Base URL of the server whose ``/dicom-web`` is passed on.

    Yields:
        The origin's base URL.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path.startswith(f"{PREFIX}/"):
                headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
                got = httpx.get(f"{archive}{self.path}", headers=headers, timeout=60)
                self._answer(got.status_code, got.headers.get("content-type", ""), got.content)
                return
            name = path.lstrip("/") if Path(path).suffix else "index.html"
            file = next((folder / name for folder in folders if (folder / name).is_file()), None)
            if file is None:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"")
                return
            kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
            self._answer(HTTPStatus.OK, kind, file.read_bytes())

        def _answer(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):  # a browser that leaves does not wait
                self.wfile.write(content)

        def log_message(self, *_words: object) -> None:
            """Nothing on stderr for every file."""

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://{LOOPBACK}:{server.server_port}"
        finally:
            server.shutdown()
