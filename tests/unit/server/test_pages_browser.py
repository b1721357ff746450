"""Worklist and built-in viewer in a real Chromium: by keyboard, live, without an error, and accessible (axe-core)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page
from sqlalchemy import update

from builders.browser import Watched, axe_script, browsing
from builders.dicom import SeriesPlan, small_voxels, write_series
from builders.dicomweb import take_in
from builders.findings import reference, spine_findings, spine_segmentation
from builders.peers import LOOPBACK
from builders.read_study import headers_of, keep_read_study
from builders.web import web_client
from dicom_node.tables import instances, studies
from server.compose import Node

pytestmark = [pytest.mark.peer("chromium"), pytest.mark.slow]
SERIOUS = {"serious", "critical"}
STUDIES = ("first", "second")


@pytest.fixture
def served(node: Node, tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """The base URL of a node that has received and read two small studies, and their UIDs."""
    uids = []
    for name in STUDIES:
        plan = SeriesPlan(
            voxels=small_voxels(5), study=name, series="sagittal", attributes={"PatientName": f"Doe^{name}"}
        )
        take_in(node, write_series(tmp_path / name, plan))
        headers = headers_of([plan])
        (of_series,) = headers.values()
        sources = tuple(reference(header) for header in of_series)
        shape = (of_series[0].Rows, of_series[0].Columns)
        findings = spine_findings(plan.study_instance_uid, sources[2], tuple(map(float, of_series[0].PixelSpacing)))
        outlines = [spine_segmentation(plan.series_instance_uid, sources, shape)]
        keep_read_study(node, headers, findings, outlines, revision=2)  # the instances are there already
        uids.append(plan.study_instance_uid)
    with node.engine.begin() as connection:
        connection.execute(update(instances).values(revision=1))
        connection.execute(update(studies).values(state="done", revision=2))
    with web_client(node) as client:
        yield f"http://{LOOPBACK}:{client.base_url.port}", uids  # the browser resolves no name


@pytest.fixture
def watched() -> Iterator[Watched]:
    with browsing() as made:
        yield made


@pytest.fixture(scope="session")
def violations(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Page], list[str]]:
    """What axe-core finds on a page that is serious or critical."""
    script = axe_script(tmp_path_factory.mktemp("axe"))

    def run(page: Page) -> list[str]:
        page.evaluate(script)
        found = page.evaluate("axe.run()")["violations"]
        return [f"{v['id']}: {v['nodes'][0]['html']}" for v in found if v["impact"] in SERIOUS]

    return run


def selected(page: Page) -> str:
    return str(page.locator('#studies tr[aria-current="true"] a').get_attribute("data-uid"))


def test_the_worklist_is_read_by_keyboard_and_stays_up_to_date(node: Node, served, watched: Watched) -> None:
    url, uids = served
    page = watched.page
    page.goto(f"{url}/")
    page.get_by_text("Doe first").first.wait_for()
    rows = page.locator("#studies tr")
    assert rows.count() == 2
    assert "Fracture, acuity open" in rows.first.inner_text()
    assert "L1: compression fracture, Genant 2" in rows.first.inner_text()

    before = selected(page)
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert {before, selected(page)} == set(uids)
    assert "The body of L3 touches the edge" in page.locator("#details").inner_text()

    page.keyboard.press("/")
    page.keyboard.type("doe second")
    page.wait_for_function("() => document.querySelectorAll('#studies tr').length === 1")
    page.keyboard.press("Escape")
    page.wait_for_function("() => document.querySelectorAll('#studies tr').length === 2")
    page.locator("#reviewed").select_option("yes")
    page.get_by_text("No study fits the filter.").wait_for()
    page.keyboard.press("Escape")
    page.locator("#not_assessed").select_option("E_TRUNCATION")
    page.wait_for_function("() => document.querySelectorAll('#studies tr').length === 2")
    page.keyboard.press("Escape")

    with node.engine.begin() as connection:
        failed = update(studies).where(studies.c.study_instance_uid == uids[1])
        connection.execute(failed.values(state="failed", reason="The disk was full."))
    page.get_by_text("The disk was full.").first.wait_for()

    page.keyboard.press("j")
    chosen = selected(page)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}/viewer?StudyInstanceUIDs={chosen}")
    assert "OHIF is not installed" in page.locator("#hint").inner_text()
    page.get_by_text("Findings of the AI", exact=True).wait_for()
    watched.assert_clean(url)


def test_the_built_in_viewer_draws_findings_on_their_slice(served, watched: Watched) -> None:
    url, uids = served
    page = watched.page
    page.goto(f"{url}/study?StudyInstanceUIDs={uids[0]}")
    page.locator("#marks ellipse").first.wait_for()
    assert page.locator("#place").inner_text() == "3 of 5"
    page.wait_for_function("() => document.getElementById('picture').naturalWidth === 24")
    page.wait_for_function("() => document.getElementById('message').textContent === ''")
    assert page.locator("#marks polygon").count() >= 5
    circles, lines = page.locator("#marks ellipse").count(), page.locator("#marks polyline").count()
    assert circles == 2
    assert lines > 3
    box, mark = page.locator("#picture").bounding_box(), page.locator("#marks ellipse").first.bounding_box()
    assert box["x"] <= mark["x"] <= box["x"] + box["width"]

    page.keyboard.press("ArrowDown")
    assert page.locator("#place").inner_text() == "4 of 5"
    assert page.locator("#marks ellipse").count() == 0
    page.get_by_role("button", name="L1: compression fracture").click()
    assert page.locator("#place").inner_text() == "3 of 5"
    page.keyboard.press("o")
    assert page.locator("#marks polygon").count() == 0
    page.keyboard.press("m")
    assert page.locator("#marks ellipse").count() == 0
    assert "E_TRUNCATION" in page.locator("#findings").inner_text()
    watched.assert_clean(url)


def test_a_study_is_reviewed_by_keyboard(served, watched: Watched) -> None:
    """Reject one finding, correct the level of another, accept the rest; then a normal study in three keystrokes."""
    url, uids = served
    page = watched.page
    page.goto(f"{url}/study?StudyInstanceUIDs={uids[0]}")
    page.get_by_text("Not reviewed by a physician.", exact=True).wait_for()
    fracture, slip = (
        page.locator("#findings li", has_text=text).first for text in ("L1: compression", "spondylolisthesis")
    )
    fracture.locator("button").click()
    page.keyboard.press("c")
    fracture.get_by_label("Reason", exact=True).select_option("R_LEVEL")
    fracture.get_by_label("Level", exact=True).select_option("T12")
    slip.locator("button").click()
    page.keyboard.press("r")
    slip.get_by_label("Reason", exact=True).select_option("R_ARTEFACT")
    slip.get_by_label("Note", exact=True).fill("Flow void.")
    page.get_by_text("2 decided here, not sent yet.").wait_for()
    assert not reviews_of(url, uids[0])

    page.locator("#verify").click()
    assert "1 rejected, 1 corrected" in page.locator("#summary").inner_text()
    for field in ("name", "identifier", "organisation"):
        page.locator(f"#who-{field}").fill("Doe^Jane")
    page.keyboard.press("Enter")
    page.get_by_text("Reviewed by Doe^Jane").wait_for()
    (made,) = reviews_of(url, uids[0])
    decided = {entry["action"]: entry for entry in made["decisions"]["findings"]}
    assert decided["correct"]["correction"]["level"] == "T12"
    assert (decided["reject"]["reason"], decided["reject"]["note"]) == ("R_ARTEFACT", "Flow void.")

    page.goto(f"{url}/")
    page.get_by_text("Doe second").first.wait_for()
    row = page.locator("#studies tr", has_text="Doe first")
    assert "reviewed, 2 changed" in row.inner_text()
    assert "L1: compression fracture" in row.locator("del").first.inner_text()
    assert "T12: compression fracture" in row.inner_text()
    page.locator(f'#studies a[data-uid="{uids[1]}"]').focus()
    page.keyboard.press("Enter")
    page.get_by_text("Not reviewed by a physician.", exact=True).wait_for()
    page.keyboard.press("v")
    page.keyboard.press("Enter")
    page.get_by_text("Reviewed by Doe^Jane").wait_for()
    assert reviews_of(url, uids[1])[0]["decisions"]["findings"] == []
    watched.assert_clean(url)


def reviews_of(url: str, uid: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{url}/api/v1/studies/{uid}/reviews").raise_for_status()
    return list(answer.json()["reviews"])


@pytest.mark.peer("npm")
def test_pages_have_no_serious_barrier(served, watched: Watched, violations) -> None:
    url, uids = served
    page = watched.page
    page.goto(f"{url}/")
    page.get_by_text("Doe first").first.wait_for()
    assert not violations(page)
    page.goto(f"{url}/study?StudyInstanceUIDs={uids[0]}")
    page.locator("#marks ellipse").first.wait_for()
    page.get_by_text("Not reviewed by a physician.", exact=True).wait_for()
    page.keyboard.press("c")
    assert not violations(page)
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    page.locator("#Level-added").select_option("L3")
    assert not violations(page)
    page.locator("#verify").click()
    assert not violations(page)
    page.goto(f"{url}/statistics")
    page.get_by_text("0 alarms").wait_for()
    assert not violations(page)


def test_a_study_that_is_not_there_says_so(served, watched: Watched) -> None:
    url, _ = served
    page = watched.page
    page.goto(f"{url}/study?StudyInstanceUIDs=9.9")
    page.wait_for_function("() => document.getElementById('message').textContent.length > 0")
    page.goto(f"{url}/study?StudyInstanceUIDs=<script>")
    page.get_by_text("The address names no study").wait_for()
