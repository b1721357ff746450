"""Reading signed radiology reports: bytes to a Report, a Report to the statements that it makes."""

from claims.reading.reader import read_report
from claims.reading.sources import FORMATS, load_report

__all__ = ["FORMATS", "load_report", "read_report"]
