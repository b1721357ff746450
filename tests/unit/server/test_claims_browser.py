"""The coders' page in a real Chromium, by keyboard: what is missing, a report added, a prompt gone on without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from builders.browser import Watched, axe_script, browsing
from builders.dicom import SeriesPlan, small_voxels
from builders.peers import LOOPBACK
from builders.posted_claims import SIGNED_TEXT, claim_json
from builders.reviews import add_reviewable_study
from builders.web import serving
from server.compose import Node
from server.http.app import create

PLAN = SeriesPlan(voxels=small_voxels(5), pixel_spacing_mm=(1.5, 0.75), attributes={"StudyDate": "20260510"})
pytestmark = [pytest.mark.peer("chromium"), pytest.mark.slow]


@pytest.fixture
def url(node: Node, tmp_path: Path) -> Iterator[str]:
    """A node with a study with findings, and two claims for its patient."""
    application = create(node)
    add_reviewable_study(node, application.state.client, tmp_path / "series", PLAN)
    with serving(node) as base:
        for number, bodies in (("A-1001", ["L1"]), ("A-1002", ["L1", "L2"])):
            claim = claim_json(PLAN.study, number=number, bodies=bodies)
            answer = httpx.post(f"{base}/api/v1/claims", json=claim, headers={"Idempotency-Key": number}, timeout=60)
            assert answer.status_code == 201
        yield base.replace("localhost", LOOPBACK)  # the browser resolves no name
    application.state.dicomweb.door.close()
    application.state.client.destroy()


def open_claim(watched: Watched, url: str, number: str) -> None:
    watched.page.goto(f"{url}/claims")
    watched.page.get_by_role("button", name=number).focus()
    watched.page.keyboard.press("Enter")
    watched.page.get_by_role("button", name=number).click()
    watched.page.get_by_role("heading", name=f"Claim {number}").wait_for()


def test_a_coder_is_asked_for_the_report_adds_it_and_sees_the_verdict_change(url: str) -> None:
    with browsing() as watched:
        page = watched.page
        open_claim(watched, url, "A-1001")
        assert page.get_by_text("report missing").count() >= 1
        assert page.locator('[data-prompt="attach_signed_report"]').count() == 1

        page.keyboard.press("r")
        page.get_by_label("Text of the report").fill(SIGNED_TEXT)
        page.get_by_label("Report number").fill("R-1")
        assert page.get_by_label("Report of the study").locator("option").first.inner_text() == "MR of 2026-05-10"
        page.get_by_label("Signature").select_option("signed")
        page.get_by_label("Signed by").fill("Ann Reader")
        page.get_by_label("I compared").check()
        page.get_by_role("button", name="Confirm").click()

        page.get_by_role("heading", name="Claim A-1001 ● supports").wait_for()
        assert page.locator('[data-prompt="attach_signed_report"]').count() == 0
        quoted = page.locator("section[aria-label='Vertebral bodies'] blockquote").all_inner_texts()
        assert any("Acute compression fracture of L1" in text for text in quoted)
        watched.assert_clean(url)


def test_what_a_coder_goes_on_without_stays_with_name_and_reason(url: str) -> None:
    with browsing() as watched:
        page = watched.page
        open_claim(watched, url, "A-1001")
        prompt = page.locator('[data-prompt="attach_signed_report"]')
        prompt.get_by_role("button", name="Go on without").click()
        page.get_by_label("Why, in your words").fill("It was faxed to the payer.")
        page.get_by_role("button", name="Confirm").click()
        prompt.get_by_text("went on without it").wait_for()
        assert "It was faxed to the payer." in prompt.inner_text()
        watched.assert_clean(url)


def test_a_report_that_cannot_be_used_is_refused_in_the_form_and_nothing_typed_is_lost(url: str) -> None:
    with browsing() as watched:
        page = watched.page
        open_claim(watched, url, "A-1001")
        page.get_by_role("button", name="Add a report").click()
        page.get_by_label("Text of the report").fill(SIGNED_TEXT)
        page.get_by_label("Report of the study").select_option("")
        page.get_by_role("button", name="Confirm").click()
        page.get_by_role("alert").filter(has_text="identifiers have to agree").wait_for()
        assert page.get_by_label("Text of the report").input_value().strip() == SIGNED_TEXT.strip()


def test_keys_move_between_claims_and_to_what_is_to_be_done(url: str) -> None:
    with browsing() as watched:
        page = watched.page
        page.goto(f"{url}/claims")
        page.locator("#claim .todo").wait_for()
        first = page.locator("#claims [aria-current=true]").inner_text()
        page.keyboard.press("j")
        page.wait_for_function(
            "text => document.querySelector('#claims [aria-current=true]').innerText !== text", arg=first
        )
        page.wait_for_function("() => document.querySelector('#claim h2').innerText.includes('A-100')")
        page.keyboard.press("Enter")
        page.wait_for_function("() => document.activeElement.closest('.todo') !== null")
        watched.assert_clean(url)


@pytest.mark.peer("npm")
def test_the_page_has_no_serious_fault_of_accessibility(url: str, tmp_path: Path) -> None:
    with browsing() as watched:
        page = watched.page
        open_claim(watched, url, "A-1002")
        page.locator("#claim .todo").wait_for()
        page.evaluate(axe_script(tmp_path))
        found = page.evaluate("() => axe.run()")["violations"]
        assert [v["id"] for v in found if v["impact"] in {"serious", "critical"}] == []
