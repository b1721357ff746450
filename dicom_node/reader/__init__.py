"""DICOM files in: which studies and series they are, what each series shows, and its voxels with their place."""

from dicom_node.reader.index import IndexedSeries, RejectedFile, StudyIndex, index_studies, index_study
from dicom_node.reader.volume import read_volume, source_headers

__all__ = [
    "IndexedSeries",
    "RejectedFile",
    "StudyIndex",
    "index_studies",
    "index_study",
    "read_volume",
    "source_headers",
]
