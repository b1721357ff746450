"""PDF: its text layer, read in a process of its own that is stopped when it takes too long or too much memory."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from claims.reading.header import report_from_text
from claims.report import Report, ReportRefusal

MAX_BYTES = 50_000_000
"""A report of text is far smaller; one with key images may come near."""
MAX_SECONDS = 120.0
"""By the clock, on a busy machine; the process allows itself 20 of the processor."""
CHILD = Path(__file__).with_name("pdf_child.py")
MAGIC = b"%PDF-"
_HEAD = 1024
"""Bytes that may stand before the magic (ISO 32000-1, Annex H, note 13)."""


def from_pdf(data: bytes, *, report_id: str | None = None) -> Report:
    """A report of the text layer of a PDF.

    Raises:
        ReportRefusal: too large, no PDF, encrypted, without text (scanned), too many pages, or not read in time.
    """
    return report_from_text(pdf_text(data), data, report_format="pdf", id=report_id)


def pdf_text(data: bytes) -> str:
    """The text of a PDF, page after page; ReportRefusal as ``from_pdf``."""
    if len(data) > MAX_BYTES:
        raise ReportRefusal(f"a report as PDF has at most {MAX_BYTES} bytes, this one has {len(data)}")
    if MAGIC not in data[:_HEAD]:
        raise ReportRefusal("the report is no PDF: it does not begin with %PDF-")
    command = [sys.executable, "-I", str(CHILD)]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=MAX_SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise ReportRefusal(f"the PDF was not read within {MAX_SECONDS:.0f} seconds; send the report as text") from None
    if done.returncode == -signal.SIGXCPU:
        raise ReportRefusal("the PDF takes too long to read; send the report as text")
    if done.returncode:
        raise ReportRefusal("the PDF could not be read: it is broken, or needs more memory than a report may")
    answer = json.loads(done.stdout)
    if "refused" in answer:
        raise ReportRefusal(answer["refused"])
    return str(answer["text"])
