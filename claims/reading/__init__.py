"""Reading signed radiology reports: bytes to a Report, a Report to the statements that it makes."""

from claims.reading.reader import read_report

__all__ = ["read_report"]
