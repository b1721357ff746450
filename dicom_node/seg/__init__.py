"""DICOM SEG: one BINARY Segmentation per source series."""

from dicom_node.derived import ReportContext
from dicom_node.seg.segmentation import encode_segmentation

__all__ = ["ReportContext", "encode_segmentation"]
