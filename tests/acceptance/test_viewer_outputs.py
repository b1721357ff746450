"""What other viewers get of a generated patient with a crushed vertebra: overlay, presentation state and FHIR.

From DICOM files through reader, networks and encoders into a node, and out of it by HTTP; against where the generator
put the vertebra.
"""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime

import jsonschema
import numpy as np
import pytest
from fhir.resources.R4B.bundle import Bundle
from pydicom import dcmread

from builders.peers import program
from builders.phantom import phantom_study
from builders.read_study import keep_results
from builders.web import web_client
from dicom_node.derived import from_bytes
from inference.findings import Present
from models.registry import DetectorSettings, load_detectors
from server.compose import open_node
from server.demo_study import PATIENT
from server.overlay_document import schema
from server.settings import Settings
from server.study_run import RunContext, run_study
from training.phantom import generate_spine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """(plan, source files, files of results by name, the run)."""
    folder = tmp_path_factory.mktemp("viewer")
    plan, paths = phantom_study(folder, PATIENT, study="viewer outputs")
    files: dict[str, bytes] = {}
    context = RunContext(created=datetime(2026, 1, 2, tzinfo=UTC), presentation_states=True)
    detectors = load_detectors(DetectorSettings(threads=2))
    run = run_study(paths, detectors, files.__setitem__, context, lambda _doing, _share: None)
    return plan, paths, files, run


@pytest.fixture(scope="module")
def answers(read, tmp_path_factory):
    """The overlay and the Bundle, as a node gives them."""
    plan, paths, files, run = read
    folder = tmp_path_factory.mktemp("node")
    node = open_node(Settings(data_dir=folder, http_port=0, disk_reserve_gib=0))
    headers = {plan.series_instance_uid: [dcmread(path, stop_before_pixels=True) for path in paths]}
    objects = [(made.role, files[made.name]) for made in run.objects]
    keep_results(node, headers, files["findings.json"], objects)
    with web_client(node) as client:
        got = [client.get(f"/api/v1/studies/{plan.study_instance_uid}/{name}") for name in ("overlay", "fhir")]
    node.engine.dispose()
    assert [answer.status_code for answer in got] == [200, 200]
    return got


def test_the_mark_lies_in_the_crushed_vertebra_and_its_outline_around_it(answers):
    overlay = answers[0].json()
    jsonschema.validate(overlay, schema())
    truth = generate_spine(PATIENT).truth
    (level,) = PATIENT.fractures
    centre = np.array(truth.vertebra(level).centre_lps_mm)
    present = [
        f for f in overlay["findings"] if (f["question"], f["assessment"]) == ("compression_fracture", "present")
    ]
    assert [f["site"]["level"] for f in present] == [level]
    marks = [
        (image, mark)
        for image in overlay["images"]
        for mark in image["marks"]
        if mark["finding"] == present[0]["id"] and mark["measurement"] is None
    ]
    assert marks
    for image, mark in marks:
        assert np.linalg.norm(np.array(mark["points_lps_mm"][0]) - centre) < 15  # half of a body's depth
        (body,) = (s for s in image["structures"] if s["label"] == f"{level} vertebral body")
        outline = np.concatenate([polygon["points_lps_mm"] for polygon in body["polygons"]])
        assert np.all(outline.min(axis=0)[1:] < centre[1:])
        assert np.all(outline.max(axis=0)[1:] > centre[1:])


def test_the_bundle_is_valid_and_says_the_same(answers, read):
    bundle = Bundle.model_validate_json(answers[1].content)
    findings = read[3].findings.findings
    values = {
        entry.resource.identifier[0].value: entry.resource
        for entry in bundle.entry
        if entry.resource.get_resource_type() == "Observation"
    }
    for finding in findings:
        value = values[f"urn:oid:{finding.id}"].valueCodeableConcept
        is_present = value is not None and value.coding[0].code == "52101004"
        assert is_present == isinstance(finding.assessment, Present)


@pytest.mark.peer("dicom3tools", "dcmtk")
def test_the_presentation_state_is_sound(read, tmp_path):
    _, _, files, run = read
    assert [made.role for made in run.objects] == ["sr", "seg", "pr"]
    path = tmp_path / "pr.dcm"
    path.write_bytes(files["pr-1.dcm"])
    for command in (("dciodvfy", "-new"), ("dcmpschk",)):
        outcome = subprocess.run(
            [program(command[0]), *command[1:], path], capture_output=True, text=True, check=False, timeout=60
        )
        said = (outcome.stdout + outcome.stderr).splitlines()
        assert said
        assert not [line for line in said if line.startswith(("Error", "E:", "F:"))]
    (window,) = from_bytes(files["pr-1.dcm"]).SoftcopyVOILUTSequence
    assert window.WindowWidth > 1
