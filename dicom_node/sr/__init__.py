"""DICOM SR: one Comprehensive 3D SR (TID 1500) per study revision."""

from dicom_node.derived import ReportContext
from dicom_node.sr.report import encode_report

__all__ = ["ReportContext", "encode_report"]
