"""What one sender may take by STOW-RS, over sockets: 429 and 503, a sentence, and when to come again."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

from builders.dicom import SeriesPlan, small_voxels, write_series
from builders.dicomweb import Web, running_web
from builders.peers import LOOPBACK, wait_until
from builders.receiving import data_set_bytes
from builders.web import key_of, serving
from dicom_node.delivery import Verdict
from dicom_node.stow import StowDestination, send
from dicom_node.tables import instances
from server.auth.roles import Permission
from server.compose import open_node
from server.settings import Settings

GIB = 1024**3
KIND = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=XYZ'}


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return write_series(tmp_path / "files", SeriesPlan(voxels=small_voxels(3), study="stow limits"))


def body(*paths: Path) -> bytes:
    parts = (b"\r\n--XYZ\r\nContent-Type: application/dicom\r\n\r\n" + path.read_bytes() for path in paths)
    return b"".join(parts) + b"\r\n--XYZ--\r\n"


def post(web: Web, content: bytes) -> httpx.Response:
    return httpx.post(f"{web.url}/studies", content=content, headers=KIND, timeout=60)


def kept(web: Web) -> int:
    with web.node.engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(instances)).scalar_one())


def refused(answer: httpx.Response, status: int) -> tuple[str, int]:
    """The sentence of a problem, and when to come again."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"]), int(answer.headers["retry-after"])


@contextmanager
def begun(port: int, content: bytes, *, source: str = LOOPBACK) -> Iterator[socket.socket]:
    """A request that has sent all but its last bytes."""
    with socket.create_connection((LOOPBACK, port), timeout=20, source_address=(source, 0)) as connection:
        head = [f"POST /dicom-web/studies HTTP/1.1\r\nHost: {LOOPBACK}\r\nContent-Type: {KIND['Content-Type']}\r\n"]
        head += [f"Content-Length: {len(content)}\r\n\r\n"]
        connection.sendall("".join(head).encode() + content[:-10])
        yield connection


def status_of(connection: socket.socket) -> int:
    return int(connection.recv(1 << 16).split()[1])


def test_requests_of_one_address_at_the_same_time_are_limited(tmp_path: Path, files: list[Path]) -> None:
    content = body(files[0])
    with running_web(tmp_path / "web", dicom_max_per_address=1) as web:
        with begun(web.port, content) as first:
            wait_until(lambda: post(web, content).status_code == 429, timeout_s=20, what="the first request's begin")
            sentence, wait = refused(post(web, content), 429)
            assert sentence.startswith("This address stores by as many requests at the same time as it may")
            assert 1 <= wait <= 60
            with begun(web.port, content, source="127.0.0.2") as other:
                other.sendall(content[-10:])
                assert status_of(other) == 200, "another address has places of its own"
            first.sendall(content[-10:])
            assert status_of(first) == 200
        wait_until(lambda: post(web, content).status_code == 200, timeout_s=20, what="the place")
        assert kept(web) == 1


def test_a_sender_that_hangs_up_gives_its_place_back(tmp_path: Path, files: list[Path]) -> None:
    content = body(files[0])
    with running_web(tmp_path / "web", dicom_max_per_address=1) as web:
        for _ in range(8):
            with begun(web.port, content):
                pass
        wait_until(lambda: post(web, content).status_code == 200, timeout_s=20, what="the place")


def test_a_fast_sender_is_slowed_down_and_loses_nothing(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "sent", SeriesPlan(voxels=small_voxels(4, 256, 256), study="fast"))
    content = body(*paths)
    with running_web(tmp_path / "web", dicom_mib_per_second=len(content) / 2 / 2**20) as web:
        began = time.monotonic()
        assert post(web, content).status_code == 200
        assert time.monotonic() - began > 0.8, "the first second's bytes are free, the others are not"
        assert kept(web) == 4


def test_the_bytes_of_a_day_are_limited_for_each_key(tmp_path: Path, files: list[Path]) -> None:
    size = len(data_set_bytes(files[0]))
    settings = Settings(
        data_dir=tmp_path / "node",
        http_port=0,
        http_authentication=("local",),
        disk_reserve_gib=0.0,
        disk_reserve_percent=0.0,
        dicom_gib_per_day=1.5 * size / GIB,
    )
    node = open_node(settings)
    one, two = key_of(node, Permission.STORE_IMAGES), key_of(node, Permission.STORE_IMAGES)
    with serving(node) as url:

        def store(key: dict[str, str], *paths: Path) -> httpx.Response:
            return httpx.post(f"{url}/dicom-web/studies", content=body(*paths), headers=KIND | key, timeout=60)

        first = store(one, *files)
        assert first.status_code == 202
        failed = first.json()["00081198"]["Value"]
        assert [item["00081197"]["Value"][0] for item in failed] == [0xA702], (
            "the third came when the quota was used up"
        )
        sentence, wait = refused(store(one, files[2]), 429)
        assert sentence == "The quota of this sender is used up; try again tomorrow (UTC)."
        assert 0 < wait <= 86_401
        assert store(two, files[2]).status_code == 200, "another key has a quota of its own"
    node.engine.dispose()


def test_a_full_disk_is_said_before_the_images_are_sent(tmp_path: Path, files: list[Path]) -> None:
    with running_web(tmp_path / "web", disk_reserve_gib=1e6) as web:
        sentence, wait = refused(post(web, body(*files)), 503)
        assert sentence == "There is no room for images on the node's disk; nothing was stored, try again later."
        assert wait == 300
        destination = StowDestination(name="self", url=f"{web.url}/studies", timeout_s=30)
        assert {outcome.verdict for outcome in send(files, destination)} == {Verdict.FAILED}, "tried again later"
        assert kept(web) == 0


def test_a_large_body_is_not_read_for_nothing(tmp_path: Path) -> None:
    """The refusal reaches a sender that goes on sending."""
    with running_web(tmp_path / "web", disk_reserve_gib=1e6) as web, begun(web.port, bytes(1 << 24)) as sending:
        assert status_of(sending) == 503
