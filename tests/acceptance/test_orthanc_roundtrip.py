"""A real Orthanc with the shipped routing rule: a study goes in, its SR and SEG come back into it, once, no loop."""

from __future__ import annotations

import time

import pytest

from builders.node import Node
from builders.orthanc import Orthanc
from builders.peers import free_tcp_port, store_with_storescu, wait_until
from builders.phantom import phantom_study
from builders.spider import spider_plan, spider_study, t2space_patients
from training.phantom import PhantomParameters

pytestmark = [pytest.mark.peer("dcmtk"), pytest.mark.peer("orthanc"), pytest.mark.slow]

QUIET_PERIOD_S = 3
STABLE_AGE_S = 1
REPLY_WITHIN_S = 60
"""Beyond the quiet period (issue 2)."""
WATCH_FOR_LOOP_S = 4 * (QUIET_PERIOD_S + STABLE_AGE_S)
"""Long enough for Orthanc to find the new series stable, to route it, and for the node to read the study again."""


@pytest.fixture
def routed(tmp_path, repository, orthanc):
    """Orthanc with the rule, and the node with Orthanc as its destination."""
    orthanc_port = free_tcp_port()
    options = {"quiet-period": QUIET_PERIOD_S, "destination": f"PACS=ORTHANC@127.0.0.1:{orthanc_port}"}
    with Node.started(tmp_path / "node", options=options) as node:
        server = orthanc(
            dicom_port=orthanc_port,
            modalities={"spineai": (node.ae_title, node.dicom_port)},
            lua=[repository / "docs" / "pacs" / "orthanc-route.lua"],
            stable_age_s=STABLE_AGE_S,
        )
        yield node, server


def send(paths, server: Orthanc) -> None:
    outcome = store_with_storescu(paths, server.dicom_port, called=server.ae_title)
    assert outcome.returncode == 0, outcome.stderr


def wait_for_results(server: Orthanc, study_instance_uid: str, node: Node) -> dict[str, list[str]]:
    wait_until(
        lambda: {"SR", "SEG"} <= set(server.series_of(study_instance_uid)),
        timeout_s=STABLE_AGE_S + QUIET_PERIOD_S + REPLY_WITHIN_S,
        what=f"SR and SEG in Orthanc (node's log: {node.log})",
        poll_s=0.25,
    )
    return server.series_of(study_instance_uid)


def assert_one_revision_and_no_more(server: Orthanc, study_instance_uid: str, node: Node, images: int) -> None:
    """After Orthanc and the node had time for another round, there is still one SR, one SEG, one revision."""
    time.sleep(WATCH_FOR_LOOP_S)
    series = server.series_of(study_instance_uid)
    assert {modality: len(instances) for modality, instances in series.items()} == {"MR": images, "SR": 1, "SEG": 1}
    (study,) = node.get("/api/v1/studies")["studies"]
    assert study["study_instance_uid"] == study_instance_uid
    assert study["revision"] == 1
    sent = [job for job in server.get("/jobs?expand") if job["Type"] == "DicomModalityStore"]
    assert len(sent) == 1
    assert all(job["State"] == "Success" for job in sent)


def test_a_generated_study_comes_back_into_orthanc_once(tmp_path, routed):
    node, server = routed
    parameters = PhantomParameters(seed=3, slices=12, fractures={"L2": ("crush", 0.45)})
    plan, paths = phantom_study(tmp_path / "study", parameters, study="orthanc round trip")
    send(paths, server)
    series = wait_for_results(server, plan.study_instance_uid, node)
    report, segmentation = (server.instance(series[modality][0]) for modality in ("SR", "SEG"))
    source = server.instance(series["MR"][0])
    for result in (report, segmentation):
        for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "AccessionNumber"):
            assert result[keyword].value == source[keyword].value
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID == plan.series_instance_uid
    assert_one_revision_and_no_more(server, plan.study_instance_uid, node, len(paths))


def test_a_real_study_comes_back_into_orthanc_once(tmp_path, routed, shared_folder, shared_data):
    shared_folder("mr_spider_t2space")
    node, server = routed
    patient = t2space_patients(shared_data)[0]
    paths = spider_study(shared_data, patient, tmp_path / "study")
    study_instance_uid = spider_plan(shared_data, patient).study_instance_uid
    send(paths, server)
    wait_for_results(server, study_instance_uid, node)
    assert_one_revision_and_no_more(server, study_instance_uid, node, len(paths))
