"""A reviewer draws in a real Chromium: points come back where they were set, in pixels and in the patient."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from playwright.sync_api import Page
from scipy.spatial.transform import Rotation
from sqlalchemy import update

from builders.browser import Watched, browsing
from builders.dicom import SAGITTAL, SeriesPlan, small_voxels, write_series
from builders.dicomweb import take_in
from builders.findings import reference, spine_findings
from builders.peers import LOOPBACK
from builders.read_study import headers_of, keep_read_study
from builders.web import web_client
from dicom_node.tables import instances, studies
from server.compose import Node

pytestmark = [pytest.mark.peer("chromium"), pytest.mark.slow]
TURN = Rotation.from_euler("xyz", (12, -7, 21), degrees=True).as_matrix()
PLANS = {
    "plain": SeriesPlan(voxels=small_voxels(3), series="plain"),
    "oblique": SeriesPlan(
        voxels=small_voxels(3),
        series="oblique",
        number=2,
        orientation=(*TURN[:, 1], *(-TURN[:, 2])),
        step_mm=4 * TURN[:, 0],
    ),
    "reversed": SeriesPlan(
        voxels=small_voxels(3),
        series="reversed",
        number=3,
        orientation=(*np.negative(SAGITTAL[:3]), *np.negative(SAGITTAL[3:])),
        step_mm=(-4.0, 0.0, 0.0),
    ),
    "not square": SeriesPlan(
        voxels=small_voxels(3, 20, 50), series="not square", number=4, pixel_spacing_mm=(3.0, 0.5)
    ),
}
STUDY = PLANS["plain"].study_instance_uid


@pytest.fixture
def url(node: Node, tmp_path: Path) -> Iterator[str]:
    """A node that has read a study of four series."""
    for name, plan in PLANS.items():
        take_in(node, write_series(tmp_path / name, plan))
    headers = headers_of(list(PLANS.values()))
    source = reference(headers[PLANS["plain"].series_instance_uid][1])
    keep_read_study(node, headers, spine_findings(STUDY, source, (1.0, 1.0)), revision=2)
    with node.engine.begin() as connection:
        connection.execute(update(instances).values(revision=1))
        connection.execute(update(studies).values(state="done", revision=2))
    with web_client(node) as client:
        yield f"http://{LOOPBACK}:{client.base_url.port}"


@pytest.fixture
def watched() -> Iterator[Watched]:
    with browsing() as made:
        yield made


def add(page: Page, plan: SeriesPlan, level: str) -> tuple[float, float]:
    """Add a finding on the middle slice of a series: a mark by keyboard, an ellipse by mouse; gives its middle."""
    page.locator(f'#series [data-series="{plan.series_instance_uid}"]').click()
    page.wait_for_function(f"() => document.getElementById('picture').naturalWidth === {plan.voxels.shape[2]}")
    page.wait_for_function("() => document.getElementById('message').textContent === ''")
    box = page.locator("#picture").bounding_box()
    page.locator("#viewport").focus()
    page.keyboard.press("n")
    page.get_by_label("Question", exact=True).select_option("disc_herniation")
    page.get_by_label("Level", exact=True).select_option(level)
    page.keyboard.press("Escape")
    for key in ("p", "ArrowRight", "ArrowRight", "Shift+ArrowUp", "Alt+ArrowLeft", "ArrowDown", "Enter", "e"):
        page.keyboard.press(key)
    for x, y in ((0.25, 0.25), (0.75, 0.5)):
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    assert page.locator("#picture").bounding_box() == box, "the picture moved while a reviewer drew on it"
    return 0.5 * plan.voxels.shape[2], 0.375 * plan.voxels.shape[1]


def in_patient(plan: SeriesPlan, points: list[list[float]]) -> np.ndarray:
    """PS3.3 C.7.6.2.1.1, from the header of the middle slice: the centre of the first pixel is (0.5, 0.5)."""
    (header,) = headers_of([plan])[plan.series_instance_uid][1:2]
    position = np.array(header.ImagePositionPatient, dtype=float)
    row, column = np.array(header.ImageOrientationPatient, dtype=float).reshape(2, 3)
    between_rows, between_columns = map(float, header.PixelSpacing)
    steps = np.array(points) - 0.5
    return position + steps[:, :1] * between_columns * row + steps[:, 1:] * between_rows * column


def test_what_is_drawn_comes_back_exactly_on_every_kind_of_series(url: str, watched: Watched) -> None:
    page = watched.page
    page.goto(f"{url}/study?StudyInstanceUIDs={STUDY}")
    page.get_by_text("Not reviewed by a physician.", exact=True).wait_for()
    levels = dict(zip(PLANS, ("L1-L2", "L2-L3", "L3-L4", "L4-L5"), strict=True))
    middles = {name: add(page, plan, levels[name]) for name, plan in PLANS.items()}
    page.locator("#verify").click()
    assert "4 added" in page.locator("#summary").inner_text()
    for field in ("name", "identifier", "organisation"):
        page.locator(f"#who-{field}").fill("Doe^Jane")
    page.keyboard.press("Enter")
    page.get_by_text("Reviewed by Doe^Jane").wait_for()
    watched.assert_clean(url)

    overlay = httpx.get(f"{url}/api/v1/studies/{STUDY}/overlay", params={"reviewed": True}).json()
    level_of = {finding["id"]: finding["site"]["level"] for finding in overlay["findings"]}
    for name, plan in PLANS.items():
        marks = [
            (image, mark)
            for image in overlay["images"]
            for mark in image["marks"]
            if mark.get("review") == "added" and level_of[mark["finding"]] == levels[name]
        ]
        ((image, point), (_, outline)) = sorted(marks, key=lambda both: both[1]["type"])
        rows, columns = plan.voxels.shape[1:]
        assert image["sop_instance_uid"] == plan.sop_instance_uid(1)
        assert point["points"] == [[columns / 2 + 1.75, rows / 2 - 9]]
        assert outline["points"][0] == outline["points"][-1]
        assert np.ptp(outline["points"], axis=0) == pytest.approx([columns / 2, rows / 4], abs=0.1)
        assert np.mean(outline["points"][:-1], axis=0) == pytest.approx(middles[name], abs=0.05)
        for mark in (point, outline):
            assert np.abs(in_patient(plan, mark["points"]) - np.array(mark["points_lps_mm"])).max() < 1e-3


def test_a_line_is_moved_measured_anew_and_what_was_rejected_is_dashed(url: str, watched: Watched) -> None:
    page = watched.page
    page.goto(f"{url}/study?StudyInstanceUIDs={STUDY}")
    page.get_by_text("Not reviewed by a physician.", exact=True).wait_for()
    page.locator("#findings li", has_text="L1: compression").locator("[data-finding]").click()
    page.keyboard.press("c")
    page.get_by_role("button", name="Move anterior height").click()
    for key in ("h", "ArrowDown", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    page.locator("#findings li", has_text="spondylolisthesis").locator("[data-finding]").click()
    page.keyboard.press("r")
    page.locator("#verify").click()
    for field in ("name", "identifier", "organisation"):
        page.locator(f"#who-{field}").fill("Doe^Jane")
    page.keyboard.press("Enter")
    page.get_by_text("Rejected by the reviewer").wait_for()

    (made,) = httpx.get(f"{url}/api/v1/studies/{STUDY}/reviews").json()["reviews"]
    corrected = next(entry for entry in made["decisions"]["findings"] if entry["action"] == "correct")
    assert corrected["reason"] == "R_GEOMETRY"
    assert corrected["correction"]["evidence"][0]["geometry"]["points"] == [[8.25, 6.5], [8.75, 17.13]]
    assert page.locator("#marks .dashed").count() >= 1
    page.keyboard.press("x")
    assert page.locator("#marks .dashed").count() == 0
    page.keyboard.press("i")
    page.get_by_text("Findings of the AI").wait_for()
    assert page.locator("#findings .rejected").count() == 0
    watched.assert_clean(url)
