"""A radiologist in OHIF reviews without losing the study: the verified report is at the peer PACS, and is right."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from builders.browser import Watched, browsing
from builders.node import Node
from builders.ohif import Ohif
from builders.peers import StoreScp, store_with_storescu, wait_until
from builders.phantom import phantom_study
from builders.verified import assert_it_is_right, verified
from server.demo_study import PATIENT

pytestmark = [
    pytest.mark.peer("chromium"),
    pytest.mark.peer("npm"),
    pytest.mark.peer("dcmtk"),
    pytest.mark.peer("dicom3tools"),
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.timeout(900),
]
READ_WITHIN_S = 300.0
_IN_FRAME = """() => { const services = document.getElementById('ohif').contentWindow.services;
    const id = services.viewportGridService.getActiveViewportId();
    return services.cornerstoneViewportService.getCornerstoneViewport(id)?.getCurrentImageId?.() ?? ''; }"""


@pytest.fixture
def watched() -> Iterator[Watched]:
    with browsing() as made:
        yield made


def picture(page: Page, name: str) -> None:
    """Keep a screenshot in the folder that OHIF_PICTURES names, to be looked at."""
    if folder := os.environ.get("OHIF_PICTURES"):
        page.screenshot(path=str(Path(folder) / name))


def test_a_review_beside_ohif_comes_back_as_a_verified_report(
    tmp_path: Path, storescp: Callable[..., StoreScp], ohif: Path, watched: Watched
) -> None:
    """Reject one finding, correct the level of another, accept the rest."""
    plan, paths = phantom_study(tmp_path / "study", PATIENT, study="beside")
    study, archived = plan.study_instance_uid, storescp()
    destination = f"PACS={archived.destination}"
    options = {"quiet-period": 2, "delivery-backoff": 1, "destination": destination, "viewer-dir": ohif}
    with Node.started(tmp_path / "node", options=options) as node:
        assert store_with_storescu(paths, node.dicom_port, called=node.ae_title).returncode == 0
        wait_until(lambda: len(archived.received()) == 2, timeout_s=READ_WITHIN_S, what=f"SR and SEG ({node.log})")
        findings = node.get(f"/api/v1/studies/{study}/findings")["findings"]
        fracture, other = the_two(findings)

        page = Ohif.opened(watched, f"{node.url}/viewer?StudyInstanceUIDs={study}").page
        page.get_by_role("link", name="Review findings").click()
        decide(page, fracture, other)
        wait_until(lambda: verified(archived) != [], timeout_s=120, what=f"the verified SR ({node.log})")
        reviewed = node.get(f"/api/v1/studies/{study}/findings?reviewed=true")["findings"]
        (entry,) = node.get("/api/v1/worklist")["studies"]
        watched.assert_clean(node.url)

    by_id = {finding["id"]: finding for finding in reviewed}
    assert (by_id[fracture["id"]]["site"]["level"], by_id[fracture["id"]]["review"]["status"]) == ("T12", "corrected")
    assert (by_id[other["id"]]["assessment"], by_id[other["id"]]["reason"]) == ("not_assessed", "E_REJECTED")
    assert {change["status"] for change in entry["changes"]} == {"corrected", "rejected"}
    assert entry["review"]["holds"]
    (report,) = verified(archived)
    assert_it_is_right(report, archived, paths)


def the_two(findings: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fracture, which is moved, and another answer, which is rejected."""
    said = [f for f in findings if f["assessment"] != "not_assessed"]
    (fracture,) = (f for f in said if f["question"] == "compression_fracture" and f["assessment"] == "present")
    return fracture, next(f for f in said if f["question"] != "compression_fracture")


def decide(page: Page, fracture: dict[str, Any], other: dict[str, Any]) -> None:
    """In the panel beside OHIF, by its buttons and keys."""
    page.frame_locator("#ohif").locator('[data-cy^="study-browser-thumbnail"]').first.wait_for(timeout=240_000)
    page.wait_for_function(f"() => ({_IN_FRAME})().length > 0", timeout=240_000)
    entry = page.locator(f'[data-entry="{fracture["id"]}"]')
    entry.locator("[data-finding]").click()
    shown = fracture["evidence"][0]["sop_instance_uid"]
    page.wait_for_function(f"() => ({_IN_FRAME})().includes('{shown}')", timeout=60_000)
    page.keyboard.press("c")
    entry.get_by_label("Level", exact=True).select_option("T12")
    assert entry.get_by_label("Reason", exact=True).input_value() == "R_LEVEL"
    entry = page.locator(f'[data-entry="{other["id"]}"]')
    entry.locator("[data-finding]").click()
    page.keyboard.press("r")
    page.get_by_text("2 decided here, not sent yet.").wait_for()
    picture(page, "review-beside-ohif.png")
    page.locator("#verify").click()
    for field in ("name", "identifier", "organisation"):
        page.locator(f"#who-{field}").fill("Doe^Jane")
    page.keyboard.press("Enter")
    page.get_by_text("Reviewed by Doe^Jane").wait_for()
