"""Pages and the viewer's files over HTTP: nothing from elsewhere, the right types, 404 where there is nothing."""

from __future__ import annotations

import re

import httpx
import pytest

from server.compose import Node
from server.http.files import ASK, KEEP
from server.http.pages import PAGES
from server.viewer import UNUSED, VERSION_FILE

HASHED = "0ddf166f7a343eda.wasm"


@pytest.fixture
def with_ohif(client: httpx.Client, node: Node) -> httpx.Client:
    """A node beside a folder laid out as OHIF's."""
    folder = node.settings.viewer_folder
    (folder / "assets").mkdir(parents=True)
    for name in ("index.html", "app-config.js", HASHED, "app.bundle.0f6159c501addfe9.js", "app.bundle.css"):
        (folder / name).write_text(f"OHIF {name}")
    (folder / "assets" / "favicon.ico").write_bytes(b"\0")
    return client


@pytest.mark.parametrize("path", ["/", "/study?StudyInstanceUIDs=1.2", "/viewer?StudyInstanceUIDs=1.2"])
def test_our_pages_load_only_files_of_this_node(client: httpx.Client, path: str) -> None:
    answer = client.get(path)

    assert answer.status_code == 200
    loaded = re.findall(r"(?:src|href)=\"([^\"]+)\"", answer.text)
    assert not [address for address in loaded if not address.startswith(("/", "data:,"))]
    assert not re.findall(r"<style|<script(?![^>]*\bsrc=)| on[a-z]+=| style=", answer.text)
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert "Research use only" in answer.text
    assert all(client.get(address).status_code == 200 for address in loaded if address.startswith("/pages/"))


@pytest.mark.parametrize("name", ["worklist.js", "study.js", "reading-room.css"])
def test_scripts_name_no_other_host_and_write_no_markup(client: httpx.Client, name: str) -> None:
    text = client.get(f"/pages/{name}").text

    addresses = set(re.findall(r"https?://[^\"'\s]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)


def test_without_ohif_the_built_in_viewer_answers(client: httpx.Client) -> None:
    assert client.get("/viewer").text == (PAGES / "study.html").read_text()
    assert client.get("/app.bundle.css").status_code == 404


def test_ohif_answers_for_every_address_below_viewer(with_ohif: httpx.Client) -> None:
    for path in ("/viewer?StudyInstanceUIDs=1.2", "/viewer/dicomweb", "/viewer/"):
        assert with_ohif.get(path).text == "OHIF index.html"
    assert with_ohif.get("/viewer/none.js").status_code == 404


@pytest.mark.parametrize(
    ("path", "media_type", "kept"),
    [
        (f"/{HASHED}", "application/wasm", KEEP),
        ("/app.bundle.0f6159c501addfe9.js", "text/javascript; charset=utf-8", KEEP),
        ("/app.bundle.css", "text/css; charset=utf-8", ASK),
        ("/assets/favicon.ico", "image/vnd.microsoft.icon", ASK),
    ],
)
def test_types_and_how_long_files_are_kept(with_ohif: httpx.Client, path: str, media_type: str, kept: str) -> None:
    answer = with_ohif.get(path)

    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert answer.headers["cache-control"] == kept
    again = with_ohif.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_our_configuration_and_an_empty_service_worker_stand_before_ohifs(with_ohif: httpx.Client) -> None:
    assert 'wadoRoot: "/dicom-web"' in with_ohif.get("/app-config.js").text
    for name in ("sw.js", "init-service-worker.js"):
        assert with_ohif.get(f"/{name}").text.startswith("// Nothing")
        assert name in UNUSED


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/missing.js", 404),
        ("GET", "/../pyproject.toml", 404),
        ("GET", "/%2e%2e/spine.sqlite", 404),
        ("GET", "/pages/%2e%2e/worklist.html", 404),
        ("GET", "/api/v1/nothing", 404),
        ("POST", "/nothing", 405),
        ("DELETE", "/api/v1/studies", 405),
        ("POST", "/viewer", 405),
    ],
)
def test_what_is_not_there_is_a_problem(with_ohif: httpx.Client, method: str, path: str, status: int) -> None:
    answer = with_ohif.request(method, path)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_ohifs_files_never_stand_in_place_of_a_route(with_ohif: httpx.Client, node: Node) -> None:
    (node.settings.viewer_folder / "healthz").write_text("fooled")
    (node.settings.viewer_folder / VERSION_FILE).write_text("1\n")

    assert with_ohif.get("/healthz").json() == {"status": "ok"}
    assert "Worklist" in with_ohif.get("/").text
