"""A generated sagittal T2 from DICOM files to foramina in findings.json, SR and pictures, all by the real parts.

Synthetic: it says nothing about patients.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pydicom
import pytest

from builders.dicom import T2_FAT_SAT, T2_TSE, write_series
from builders.phantom import grid_plan
from dicom_node.derived import from_bytes
from dicom_node.sr.checklist import name_of, walk
from inference.anatomy import Laterality, Region
from inference.findings import NotAssessed, Question
from inference.findings.encode import decode
from models.registry import DetectorSettings, load_detectors
from server.study_run import RunContext, run_study, write_overlays
from training.phantom import PhantomParameters, generate_spine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PERSON = PhantomParameters(seed=3, rows=448, columns=320, slices=13, slice_spacing_mm=4.0, turn_deg=12.0)


@pytest.fixture(scope="module")
def phantom():
    return generate_spine(PERSON)


@pytest.fixture(scope="module")
def study(phantom, tmp_path_factory):
    """By contrast: the run, its objects, its files' folder. The stack runs from the patient's left to the right."""
    detectors = load_detectors(DetectorSettings(threads=2), ["mr_sagittal_segmentation"])
    affine = phantom.affine.copy()
    affine[:3, 3] += affine[:3, 0] * (PERSON.slices - 1)
    affine[:3, 0] *= -1
    made = {}
    for name, attributes in (("T2", T2_TSE), ("T2_FS", T2_FAT_SAT)):
        plan = grid_plan(phantom.voxels[::-1], affine, study="foramina", series=name, attributes=attributes)
        folder, files = tmp_path_factory.mktemp(name), {}
        write_series(folder, plan)
        context = RunContext(created=datetime(2026, 1, 2, tzinfo=UTC))
        run = run_study([folder], detectors, files.__setitem__, context, lambda _doing, _share: None)
        made[name] = (run, files, folder)
    return made


def foramina(findings):
    return [f for f in findings.of(Question.STENOSIS) if f.site.region is Region.FORAMEN]


def test_foramina_are_measured_on_the_patients_sides_and_never_judged(study, phantom):
    _, files, folder = study["T2"]
    positions = {}
    for path in folder.glob("*.dcm"):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        positions[header.SOPInstanceUID] = float(header.ImagePositionPatient[0])
    middle = sum(positions.values()) / len(positions)
    found = foramina(decode(files["findings.json"]))
    assert {f.site.level for f in found} <= {"L1-L2", "L2-L3", "L3-L4", "L4-L5"}
    assert all(isinstance(f.assessment, NotAssessed) for f in found)
    measured = [f for f in found if f.measurements]
    assert {f.site.side for f in measured} == {Laterality.LEFT, Laterality.RIGHT}
    assert len(measured) >= 4
    for finding in measured:
        height, truth = finding.measurement("foraminal_height"), phantom.truth.disc(finding.site.level).foramen
        assert height.value == pytest.approx(truth.height_mm, abs=3 * height.uncertainty)
        assert 0 < finding.measurement("foraminal_fat_fraction").value < 100
        for evidence in finding.evidence:
            is_left = positions[evidence.source.sop_instance_uid] > middle  # LPS: x grows to the left
            assert is_left == (finding.site.side is Laterality.LEFT)


def test_the_report_states_them_and_the_pictures_show_them(study, tmp_path):
    run, files, _ = study["T2"]
    found = foramina(run.findings)
    report = from_bytes(files["sr.dcm"])
    assert sum(name_of(item) == "371000119109" for item in walk(report)) == len(found)
    pictures = write_overlays(run, tmp_path)
    slices = {e.source.sop_instance_uid for f in found for e in f.evidence}
    assert len(pictures) >= 1 + len(slices)


def test_fat_is_not_told_where_it_is_suppressed(study):
    """The same pixels, said to be fat-saturated."""
    run, *_ = study["T2_FS"]
    measured = [f for f in foramina(run.findings) if f.measurements]
    assert measured
    assert all(f.measurement("foraminal_fat_fraction") is None for f in measured)
