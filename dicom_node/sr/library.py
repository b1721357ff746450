"""The image library (TID 1600): the images that the measurement groups refer to, by series."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from highdicom.sr import ContainerContentItem, ContentItem, ImageContentItem
from pydicom.dataset import Dataset

from dicom_node import code_table as table
from dicom_node.sr.items import CONTAINS, HAS_ACQ_CONTEXT, code_item, container
from inference.findings import StudyFindings


def image_library(findings: StudyFindings, instances: Mapping[str, Dataset]) -> list[ContainerContentItem]:
    """One library with a group per series, or nothing where no finding refers to an image."""
    referenced = {e.source.sop_instance_uid for f in findings.findings for e in f.evidence}
    by_series: dict[str, list[Dataset]] = {}
    for uid, header in instances.items():
        if uid in referenced:
            by_series.setdefault(str(header.SeriesInstanceUID), []).append(header)
    groups = [container(table.DCM["126200"].code, _entries(headers)) for headers in by_series.values()]
    return [container(table.DCM["111028"].code, groups)] if groups else []


def _entries(headers: Iterable[Dataset]) -> Iterator[ContentItem]:
    """The modality, where it has a code in CID 29, then the images."""
    images = list(headers)
    modality = str(images[0].get("Modality", ""))
    if modality in table.DCM:
        yield code_item(table.DCM["121139"].code, table.DCM[modality].code, HAS_ACQ_CONTEXT)
    for header in images:
        yield ImageContentItem(
            name=table.OTHERS["260753009"].code,
            referenced_sop_class_uid=header.SOPClassUID,
            referenced_sop_instance_uid=header.SOPInstanceUID,
            relationship_type=CONTAINS,
        )
