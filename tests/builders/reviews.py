"""Reviews for tests: who, and the images that a reviewer draws on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset

from builders.dicom import SeriesPlan, write_series
from builders.findings import context_of, reference, spine_findings
from builders.tenure import Held
from dicom_node import arrivals, store
from dicom_node.sr import encode_report
from dicom_node.uids import ObjectRole
from inference.findings import DocumentReview, Reviewer, StudyFindings
from inference.findings.encode import encode
from inference.geometry import FrameReference
from inference.review import ImageFrame, Review, apply_review
from server.compose import Node
from server.made_objects import keep, result_values
from server.operations import complete
from server.review_work import ReviewSteps
from server.runs import results_folder
from server.study_work import StudySteps

REVIEWER = Reviewer(name="Doe^Jane", identifier="jdoe", organisation="General Hospital")
REVIEWED_AT = datetime(2026, 11, 25, 8, 5, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class HeaderImages:
    """The images of written headers."""

    headers: Sequence[Dataset]

    def frame(self, sop_instance_uid: str, number: int | None) -> ImageFrame | None:
        """The image of that UID."""
        for header in self.headers:
            if header.SOPInstanceUID == sop_instance_uid and number is None:
                source = FrameReference(sop_class_uid=header.SOPClassUID, sop_instance_uid=sop_instance_uid)
                rows, columns = (float(v) for v in header.PixelSpacing)
                size = int(header.Rows), int(header.Columns)
                return ImageFrame(source=source, rows=size[0], columns=size[1], spacing_mm=(rows, columns))
        return None


def about(number: int = 1, *, revision: int = 1) -> DocumentReview:
    """A review by a fixed person at a fixed time."""
    return DocumentReview(
        number=number,
        revision=revision,
        reviewer=REVIEWER,
        reviewed_at=REVIEWED_AT,
        supersedes=number - 1 or None,
    )


def reviewed(
    findings: StudyFindings, review: Review, headers: Sequence[Dataset] = (), number: int = 1
) -> StudyFindings:
    """The findings after a review."""
    return apply_review(findings, review, about(number), HeaderImages(headers))


def record_file(node: Node, path: Path, received_at: float) -> None:
    """Keep a file as if it had been received."""
    header = dcmread(path, stop_before_pixels=True)
    kept = f"received/{header.SOPInstanceUID}"
    node.spool.write_result(kept, path.read_bytes())
    with node.engine.begin() as connection:
        arrivals.record_instance(connection, _instance(header, kept, received_at))


def add_reviewable_study(
    node: Node, client: Any, folder: Path, plan: SeriesPlan, *, revision: int = 1
) -> StudyFindings:
    """Receive a written series, and record hand-made findings with their SR as the newest revision."""
    for number, path in enumerate(write_series(folder, plan)):
        record_file(node, path, float(number))
    study = plan.study_instance_uid
    assert complete(node, client, study) == revision
    headers = [dcmread(path, stop_before_pixels=True) for path in sorted(folder.glob("*.dcm"))]
    findings = spine_findings(study, reference(headers[2]), plan.pixel_spacing_mm)
    steps = study_steps(node, client)
    begun = steps.begin(study, revision, 1, 0)
    report = encode_report(
        findings,
        sources={plan.series_instance_uid: headers},
        context=replace(context_of(study, revision=revision), earlier_review=begun["earlier_review"]),
    )
    made = results_folder(study, revision)
    node.spool.write_result(f"{made}/findings.json", encode(findings))
    kept_report = keep(
        report, ObjectRole.REPORT, "sr.dcm", lambda name, data: node.spool.write_result(f"{made}/{name}", data)
    )
    results = result_values([kept_report], made)
    outcome = {"state": "done", "results": results, "findings_path": f"{made}/findings.json", "findings_sha256": "f"}
    assert steps.record(study, revision, outcome) == {"state": "done"}
    return findings


def study_steps(node: Node, client: Any) -> StudySteps:
    """The steps of a study without the process that reads it."""
    return StudySteps(
        engine=node.engine,
        client=client,
        kernel=None,  # type: ignore[arg-type]
        destinations=("PACS",),
        attempts=1,
        tenure=Held(),
    )


def review_steps(node: Node, client: Any) -> ReviewSteps:
    """The steps of a review."""
    return ReviewSteps(node=node, client=client, destinations=("PACS",), tenure=Held())


def _instance(header: Dataset, path: str, received_at: float) -> store.Instance:
    return store.Instance(
        sop_instance_uid=str(header.SOPInstanceUID),
        study_instance_uid=str(header.StudyInstanceUID),
        series_instance_uid=str(header.SeriesInstanceUID),
        sop_class_uid=str(header.SOPClassUID),
        transfer_syntax_uid=str(header.file_meta.TransferSyntaxUID),
        path=path,
        size_bytes=1,
        sha256=str(header.SOPInstanceUID),
        received_at=received_at,
        source_ae_title="SOURCE",
    )
