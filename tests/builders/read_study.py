"""A study that a node has received and read, with its rows and files, without a receiver or a worker."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from sqlalchemy import insert

from builders.dicom import SeriesPlan, slice_dataset
from builders.findings import CREATED, context_of
from dicom_node.derived import from_bytes, to_bytes
from dicom_node.results import ResultRecord, record_results
from dicom_node.seg import encode_segmentation
from dicom_node.sr import encode_report
from dicom_node.tables import instances, studies
from inference.findings import StudyFindings
from inference.findings.encode import decode, encode
from inference.segmentation import Segmentation
from server.compose import Node
from server.tables import runs


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadStudy:
    """What the node holds."""

    findings: StudyFindings
    headers: dict[str, tuple[Dataset, ...]]
    """By Series Instance UID."""
    report: Dataset


def headers_of(plans: Sequence[SeriesPlan]) -> dict[str, tuple[Dataset, ...]]:
    """Headers of every series of a study, by Series Instance UID, as they are read from bytes."""
    made: dict[str, tuple[Dataset, ...]] = {}
    for plan in plans:
        written = [slice_dataset(plan, index) for index in range(plan.voxels.shape[0])]
        made[plan.series_instance_uid] = tuple(dcmread(BytesIO(to_bytes(d)), stop_before_pixels=True) for d in written)
    return made


def keep_read_study(
    node: Node,
    headers: dict[str, tuple[Dataset, ...]],
    findings: StudyFindings,
    segmentations: Sequence[Segmentation] = (),
    *,
    revision: int = 1,
) -> ReadStudy:
    """Write everything of one revision: the instances, findings.json, the SR and a SEG of each segmentation."""
    context = context_of(findings.study_instance_uid, revision=revision)
    report = encode_report(findings, sources=headers, context=context)
    made = [("sr", to_bytes(report))]
    for segmentation in segmentations:
        sources = headers[segmentation.series_instance_uid]
        made.append(("seg", to_bytes(encode_segmentation(segmentation, sources=sources, context=context))))
    keep_results(node, headers, encode(findings), made, revision=revision)
    return ReadStudy(findings=findings, headers=headers, report=report)


def keep_results(
    node: Node,
    headers: Mapping[str, Sequence[Dataset]],
    document: bytes,
    objects: Sequence[tuple[str, bytes]],
    *,
    revision: int = 1,
) -> None:
    """Write findings.json and the objects, each with its role, of one revision; with the first also the instances."""
    study = decode(document).study_instance_uid
    folder = f"results/{study}/r{revision}"
    node.spool.write_result(f"{folder}/findings.json", document)
    with node.engine.begin() as connection:
        if revision == 1:
            _insert_instances(node, connection, study, headers)
        connection.execute(
            insert(runs).values(
                study_instance_uid=study,
                revision=revision,
                generation=1,
                state="done",
                queued_at=0.0,
                content_at=CREATED.timestamp(),
                findings_path=f"{folder}/findings.json",
                findings_sha256=hashlib.sha256(document).hexdigest(),
            )
        )
        for number, (role, data) in enumerate(objects):
            path = f"{folder}/{role}-{number}.dcm"
            node.spool.write_result(path, data)
            record_results(connection, [_record(study, revision, role, path, data)], 0.0)


def _record(study: str, revision: int, role: str, path: str, data: bytes) -> ResultRecord:
    dataset = from_bytes(data)
    return ResultRecord(
        sop_instance_uid=str(dataset.SOPInstanceUID),
        study_instance_uid=study,
        revision=revision,
        role=role,
        sop_class_uid=str(dataset.SOPClassUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _insert_instances(node, connection, study, headers) -> None:
    times = {"first_received_at": 0.0, "last_received_at": 0.0}
    values = {"study_instance_uid": study, "state": "done", "revision": 1, "source_ae_title": "SOURCE"}
    connection.execute(insert(studies).values(**values, **times))
    for series, datasets in headers.items():
        for dataset in datasets:
            data = to_bytes(dataset)
            path = f"received/{dataset.SOPInstanceUID}.dcm"
            node.spool.write_result(path, data)
            connection.execute(
                insert(instances).values(
                    sop_instance_uid=str(dataset.SOPInstanceUID),
                    study_instance_uid=study,
                    series_instance_uid=series,
                    sop_class_uid=str(dataset.SOPClassUID),
                    transfer_syntax_uid=str(dataset.file_meta.TransferSyntaxUID),
                    path=path,
                    size_bytes=len(data),
                    sha256=hashlib.sha256(data).hexdigest(),
                    received_at=0.0,
                    source_ae_title="SOURCE",
                    revision=1,
                    ours=False,
                )
            )
