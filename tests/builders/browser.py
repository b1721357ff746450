"""A real Chromium, headless, with software WebGL2, that reaches this machine only and tells what it complained of."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page, sync_playwright

from builders.peers import LOOPBACK, leave_out, program
from inference.errors import SpineError
from server.viewer import install, installed_version

FLAGS = (
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    f"--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE {LOOPBACK}",
)
"""WebGL2 by SwiftShader, and no name but this machine's is resolved."""
AXE = "axe-core@4.14.1"
SIZE = {"width": 1600, "height": 1000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A page, and what went wrong in it."""

    page: Page
    errors: list[str] = field(default_factory=list)
    """Of the console, of scripts, and answers of 400 and above."""
    hosts: set[str] = field(default_factory=set)
    """Whom it asked."""

    def listen(self) -> None:
        """Note everything from now on."""
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        self.page.on(
            "response",
            lambda answer: self.errors.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None,
        )

    def assert_clean(self, url: str) -> None:
        """Nothing went wrong, and nobody but the node at that URL was asked; blobs and data have no host."""
        assert not self.errors
        assert self.hosts - {""} == {urlsplit(url).netloc}


@contextmanager
def browsing() -> Iterator[Watched]:
    """One page of a fresh profile."""
    chromium = program("chromium")
    assert chromium is not None, "chromium is not installed"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=list(FLAGS))
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(60_000)
        watched = Watched(page=page)
        watched.listen()
        try:
            yield watched
        finally:
            browser.close()


def ohif_folder(repository: Path, scratch: Path) -> Path:
    """Where OHIF is: in the checkout (``make viewer``), else fetched now; left out by name where it cannot be."""
    installed = repository / "viewer"
    if installed_version(installed):
        return installed
    try:
        install(scratch / "viewer")
    except SpineError as error:
        leave_out(f"needs OHIF: {error}")
    return scratch / "viewer"


def axe_script(scratch: Path) -> str:
    """axe-core by pinned version, fetched with npm."""
    npm = shutil.which("npm")
    assert npm is not None, "npm is not installed"
    done = subprocess.run([npm, "pack", AXE], cwd=scratch, capture_output=True, text=True, timeout=120, check=False)
    packed = sorted(scratch.glob("axe-core-*.tgz"))
    if done.returncode or not packed:
        leave_out(f"needs {AXE}, which npm could not fetch")
    subprocess.run(["tar", "-xzf", packed[0].name, "package/axe.min.js"], cwd=scratch, check=True)
    return (scratch / "package" / "axe.min.js").read_text(encoding="utf-8")
