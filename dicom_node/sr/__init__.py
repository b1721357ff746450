"""DICOM SR of a study revision: measured (Comprehensive 3D SR, TID 1500), and in words (Enhanced SR)."""

from dicom_node.derived import ReportContext
from dicom_node.sr.report import encode_report
from dicom_node.sr.text import encode_text_report

__all__ = ["ReportContext", "encode_report", "encode_text_report"]
