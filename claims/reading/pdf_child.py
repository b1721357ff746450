"""The process that opens a PDF from nobody knows where: bytes on stdin, ``{"text"}`` or ``{"refused"}`` on stdout.

Run as a file, not as a module of its package, so that it starts with pypdf alone.
"""

from __future__ import annotations

import io
import json
import logging
import resource
import sys

from pypdf import PdfReader
from pypdf.errors import PyPdfError

MAX_PAGES = 100
MAX_MEMORY = 2_000_000_000
"""Bytes of address space."""
MAX_SECONDS = 20
"""Of processor time."""
MIN_LETTERS = 20
"""A text layer with fewer is a stamp on a scan."""


def main() -> None:
    """Read one PDF."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS + 5))
    logging.disable()
    json.dump(read(sys.stdin.buffer.read()), sys.stdout)


def read(data: bytes) -> dict[str, str]:
    """The text of all pages, or why there is none."""
    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            return {"refused": "the PDF is encrypted with a password; send it without"}
        if len(reader.pages) > MAX_PAGES:
            return {"refused": f"a report as PDF has at most {MAX_PAGES} pages, this one has {len(reader.pages)}"}
        text = "\n\n".join(page.extract_text() for page in reader.pages)
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OverflowError):
        return {"refused": "the PDF is broken and could not be read; send it again, or send the report as text"}
    if sum(character.isalpha() for character in text) < MIN_LETTERS:
        return {"refused": "the PDF has no text layer (a scan, or pictures of text); send the report as text"}
    return {"text": text}


if __name__ == "__main__":
    main()
