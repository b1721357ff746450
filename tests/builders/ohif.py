"""OHIF in a browser: what a reader does there by hand, and what is then on the screen."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from builders.browser import Watched

FIRST_IMAGE_MS = 240_000
PROMPT_MS = 30_000
DOUBLE_CLICKS = 12
DRAWN = "AI findings"
"""Description of our series that are drawn; the report in words, an SR too, has another."""
_MEASUREMENTS = """() => window.services.measurementService.getMeasurements().map(measured => ({
    label: measured.label, tool: measured.toolName, sop_instance_uid: measured.SOPInstanceUID, uid: measured.uid,
    points: window.cornerstoneTools.annotation.state.getAnnotation(measured.uid).data.handles.points
        .map(point => Array.from(point)),
    locked: window.cornerstoneTools.annotation.locking.isAnnotationLocked(measured.uid)}))"""
_SEGMENTS = """() => window.services.segmentationService.getSegmentations()
    .flatMap(found => Object.values(found.segments).map(segment => segment.label))"""
_SHOWN = """() => { const services = window.services;
    const id = services.viewportGridService.getActiveViewportId();
    return services.cornerstoneViewportService.getCornerstoneViewport(id)?.getCurrentImageId?.() ?? ''; }"""
_JUMP = """async index => { const services = window.services;
    const id = services.viewportGridService.getActiveViewportId();
    const viewport = services.cornerstoneViewportService.getCornerstoneViewport(id);
    await viewport.setImageIdIndex(index); viewport.render(); return viewport.getImageIds().length; }"""
_RENDERED = "() => window.services?.cornerstoneViewportService?.getRenderingEngine?.()?.getViewports().length > 0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ohif:
    """OHIF with one study open."""

    page: Page

    @classmethod
    def opened(cls, watched: Watched, address: str) -> Ohif:
        """Open a study, wait for its first image, and confirm that this is for investigational use."""
        page = watched.page
        page.add_init_script("""localStorage.setItem('shownTours', '["basicViewerTour"]')""")
        page.goto(address)
        page.wait_for_selector('[data-cy^="study-browser-thumbnail"]', timeout=FIRST_IMAGE_MS)
        page.wait_for_function(_RENDERED, timeout=FIRST_IMAGE_MS)
        page.wait_for_function(f"() => ({_SHOWN})().length > 0", timeout=FIRST_IMAGE_MS)
        page.get_by_text("Confirm and hide").first.click(timeout=FIRST_IMAGE_MS)
        page.wait_for_timeout(2000)
        return cls(page=page)

    def hydrate(self, modality: str) -> None:
        """Double-click the row of the SR or SEG, and answer Yes."""
        row = self.page.locator('[data-cy="study-browser-thumbnail-no-image"]').filter(has_text=modality)
        row = row.filter(has_text=DRAWN)
        yes = self.page.locator('[data-cy="yes-hydrate-btn"]')
        for _ in range(DOUBLE_CLICKS):  # the list is drawn anew as series arrive, and a click may fall between
            if not yes.is_visible():
                row.first.dblclick()
            try:
                yes.wait_for(timeout=PROMPT_MS)
            except PlaywrightTimeoutError:
                continue
            break
        yes.click()
        self.page.wait_for_timeout(4000)

    def show_slice(self, number: int) -> int:
        """Show a slice of the stack, from 1, as the scroll bar does; how many slices there are."""
        count = int(self.page.evaluate(_JUMP, number - 1))
        self.page.wait_for_timeout(2000)
        return count

    def read_text(self, description: str) -> str:
        """Double-click the row of a report in words; the page of text that the viewport then is."""
        row = self.page.locator('[data-cy^="study-browser-thumbnail"]').filter(has_text=description)
        text = self.page.locator('[data-cy="viewport-pane"]').first
        for _ in range(DOUBLE_CLICKS):
            row.first.dblclick()
            try:
                text.get_by_text("Not assessed, and why").wait_for(timeout=PROMPT_MS)
            except PlaywrightTimeoutError:
                continue
            break
        return text.inner_text()

    def measurements(self) -> list[dict[str, Any]]:
        """What was hydrated: label, tool, instance, points in LPS mm, and whether it is locked."""
        return list(self.page.evaluate(_MEASUREMENTS))

    def segments(self) -> list[str]:
        """Labels of the segments."""
        return list(self.page.evaluate(_SEGMENTS))

    def shown(self) -> str:
        """SOP Instance UID of the image in the active viewport."""
        return str(self.page.evaluate(_SHOWN)).partition("/instances/")[2].partition("/")[0]

    def list_measurements(self) -> list[str]:
        """Open the panel on the right; the texts of its rows."""
        self.page.click('[data-cy="trackedMeasurements-btn"]')
        rows = self.page.locator('[data-cy="data-row"]')
        rows.first.wait_for()
        return rows.all_inner_texts()

    def click_row(self, text: str) -> None:
        """Click the row of one measurement."""
        self.page.locator('[data-cy="data-row"]').filter(has_text=text).first.click()
        self.page.wait_for_timeout(3000)

    def pixels(self) -> np.ndarray:
        """The viewport as it is on the screen, shape (row, column, 3), 8 bit."""
        data = self.page.locator('[data-cy="viewport-pane"]').first.screenshot()
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def keep_picture(page: Page, name: str) -> None:
    """Keep a screenshot in the folder that OHIF_PICTURES names, to be looked at."""
    folder = os.environ.get("OHIF_PICTURES")
    if folder:
        page.screenshot(path=str(Path(folder) / name))


def coloured_share(pixels: np.ndarray) -> float:
    """Share of pixels whose colours differ by more than 60 of 255: no grey image has them."""
    return float((pixels.max(axis=2) - pixels.min(axis=2) > 60).mean())


def bright_share(pixels: np.ndarray) -> float:
    """Share of pixels that are brighter than 50 of 255."""
    return float((pixels.mean(axis=2) > 50).mean())
