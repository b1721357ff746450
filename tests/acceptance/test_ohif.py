"""A real OHIF in a real Chromium, from our node: image, segmentation and hydrated measurements, on the right slice."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest

from builders.browser import Watched, browsing
from builders.node import send
from builders.ohif import Ohif, bright_share, coloured_share, keep_picture
from builders.origin import ohif_origin
from builders.spider import spider_study
from server.demo_study import write_demo_study

pytestmark = [
    pytest.mark.peer("chromium"),
    pytest.mark.peer("npm"),
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.timeout(900),
]
PATIENT = "241"
"""Of SPIDER; L1 is fractured (builders.spider.FRACTURED)."""
NEAR_MM = 0.15


@pytest.fixture(scope="module", params=["generated", "patient"])
def read(request, ohif, reading_node, tmp_path_factory):
    """A node that has read a generated study, and one that has read a patient's real T2 SPACE."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "generated":
        write_demo_study(folder)
    else:
        spider_study(request.getfixturevalue("shared_data"), PATIENT, folder)
    return reading_node(folder, ohif)


@pytest.fixture
def watched() -> Iterator[Watched]:
    with browsing() as made:
        yield made


def drawn_marks(overlay) -> list[dict]:
    """Every mark of the overlay document, with its image."""
    return [mark | {"image": image} for image in overlay["images"] for mark in image["marks"]]


def mark_of(measured, marks, levels) -> dict:
    """The mark at the same place on the same image and of the level that the label names.

    An arrow has a second point of OHIF's own; findings of a disc and of its endplates share their point.
    """
    for mark in marks:
        wanted = np.array(mark["points_lps_mm"])
        points = np.array(measured["points"])[: len(wanted)]
        is_image = mark["image"]["sop_instance_uid"] == measured["sop_instance_uid"]
        is_here = is_image and points.shape == wanted.shape and np.abs(points - wanted).max() < NEAR_MM
        if is_here and re.match(rf"{levels[mark['finding']]}[: ]", measured["label"]):
            return mark
    pytest.fail(f"{measured['label']} is drawn where no finding of that level is marked: {measured}")


def test_image_outlines_and_measurements_are_on_the_screen(request, read, watched):
    assert_results_are_shown(watched, read.viewer, read.get("overlay"), f"ohif-{request.node.callspec.params['read']}")
    watched.assert_clean(read.node.url)


@pytest.mark.peer("orthanc")
@pytest.mark.parametrize("read", ["generated"], indirect=True)
def test_the_same_results_are_shown_from_an_orthanc(read, ohif, repository, orthanc, watched):
    """Stored there by C-STORE, and opened through OHIF before Orthanc's own DICOMweb."""
    server = orthanc()
    folder = read.node.data_dir
    made = [path for name in ("sr.dcm", "seg-1.dcm") for path in (folder / "results").rglob(name)]
    for path in (folder / "received", *made):
        send(path, server.destination)
    assert set(server.series_of(read.study_instance_uid)) == {"MR", "SR", "SEG"}
    with ohif_origin((repository / "server" / "pages" / "ohif", ohif), server.url) as origin:
        viewer = f"{origin}/viewer?StudyInstanceUIDs={read.study_instance_uid}"
        assert_results_are_shown(watched, viewer, read.get("overlay"), "ohif-orthanc")
        watched.assert_clean(origin)


def assert_results_are_shown(watched, viewer: str, overlay, name: str) -> None:
    """The image, the SEG, and the SR as measurements on the right slice and vertebra."""
    ohif = Ohif.opened(watched, viewer)
    grey = ohif.pixels()
    assert bright_share(grey) > 0.05
    assert coloured_share(grey) < 0.01

    ohif.hydrate("SEG")
    labels = {outline["label"] for image in overlay["images"] for outline in image["structures"]}
    assert labels <= set(ohif.segments())
    assert "L1 vertebra" in ohif.segments()

    ohif.hydrate("SR")
    measured = ohif.measurements()
    assert coloured_share(ohif.pixels()) > 0.03
    assert all(m["locked"] for m in measured)

    levels = {finding["id"]: finding["site"]["level"] for finding in overlay["findings"]}
    marks = drawn_marks(overlay)
    at = {m["uid"]: mark_of(m, marks, levels) for m in measured}
    fractured = {f["id"] for f in overlay["findings"] if f["question"] == "compression_fracture" and is_called(f)}
    assert {levels[uid] for uid in fractured} == {"L1"}
    assert {mark["finding"] for mark in at.values()} >= fractured
    assert_on_the_vertebra(overlay, [mark for mark in at.values() if mark["finding"] in fractured], "L1")

    rows = ohif.list_measurements()
    assert len(rows) == len(measured)
    first = next(m for m in measured if m["tool"] == "ArrowAnnotate" and at[m["uid"]]["finding"] in fractured)
    ohif.click_row(first["label"])
    assert ohif.shown() == first["sop_instance_uid"]
    keep_picture(ohif.page, f"{name}.png")


def is_called(finding) -> bool:
    return finding["assessment"] == "present"


def assert_on_the_vertebra(overlay, marks, level: str) -> None:
    """The point of a finding lies within the box around the vertebral body of its level, on that very image."""
    points = [mark for mark in marks if mark["type"] == "POINT" and mark["image"]["structures"]]
    assert points
    for mark in points:
        (body,) = [outline for outline in mark["image"]["structures"] if outline["label"] == f"{level} vertebral body"]
        corners = np.concatenate([np.array(polygon["points"]) for polygon in body["polygons"]])
        assert (corners.min(axis=0) <= mark["points"][0]).all()
        assert (corners.max(axis=0) >= mark["points"][0]).all()
