"""What every test may use: real images by name, real peers, a free port. Values that pydicom finds wrong are errors."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Any

import hypothesis
import pydicom.config
import pytest
import structlog
from pynetdicom.transport import AssociationSocket

from builders.orthanc import Orthanc
from builders.peers import StoreScp, free_tcp_port, require_peers
from builders.seaweed import Seaweed

REPOSITORY = Path(__file__).parent.parent
KEPT_VARIABLES = {"SPINE_SHARED_DATA", "SPINE_REQUIRE_PEERS"}

for _name in [name for name in os.environ if name.startswith("SPINE_") and name not in KEPT_VARIABLES]:
    del os.environ[_name]

# Other tests run beside: how long one example takes says nothing.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

pydicom.config.INVALID_KEYWORD_BEHAVIOR = "RAISE"
pydicom.config.settings.writing_validation_mode = pydicom.config.RAISE

_shut_down = AssociationSocket._shutdown_socket


def _shut_down_and_close(self: AssociationSocket) -> None:
    """pynetdicom, a peer of many tests, leaves a socket open that was reset: Python tells so in a later test."""
    connection = self.socket
    _shut_down(self)
    if connection is not None:
        connection.close()


AssociationSocket._shutdown_socket = _shut_down_and_close


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the files of tests/crash, which mostly wait, evenly among the others: so several workers keep busy."""
    files = [list(group) for _, group in groupby(items, key=lambda item: item.path)]
    waiting = [file for file in files if file[0].path.parent.name == "crash"]
    order = [file for file in files if file[0].path.parent.name != "crash"]
    step = len(order) // (len(waiting) + 1) + 1
    for number, file in enumerate(waiting):
        order.insert(number * step, file)
    items[:] = [item for file in order for item in file]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip by name what needs a peer program that is not installed; fail instead where SPINE_REQUIRE_PEERS is set."""
    require_peers(*(str(name) for marker in item.iter_markers("peer") for name in marker.args))


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Give each test the logging of a fresh process: the server writes to the stderr of the test that set it up."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images; the test is skipped by name where it is absent."""
    folder = Path(os.environ.get("SPINE_SHARED_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("no real images: SPINE_SHARED_DATA (default ../shared/data) is not a folder")
    return folder


@pytest.fixture(scope="session")
def shared_folder(shared_data: Path) -> Callable[[str], Path]:
    """A folder of the real images by name, like ``mr_spider_t2space``; the test is skipped where it is absent."""

    def find(name: str) -> Path:
        folder = shared_data / name
        if not folder.is_dir():
            pytest.skip(f"no real images: {name} is not in the shared data folder")
        return folder

    return find


@pytest.fixture
def golden(repository: Path) -> Callable[[str, str], None]:
    """Compare a text with ``tests/golden/NAME``, by default a .txt; ``UPDATE_GOLDEN=1`` writes it, for review."""

    def compare(name: str, text: str) -> None:
        path = repository / "tests" / "golden" / (name if "." in name else f"{name}.txt")
        if os.environ.get("UPDATE_GOLDEN") == "1":
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8"), f"{path.name} differs; UPDATE_GOLDEN=1 writes it anew"

    return compare


@pytest.fixture(scope="module")
def seaweed() -> Iterator[Seaweed]:
    """A running S3 server."""
    with Seaweed.started() as made:
        yield made


@pytest.fixture
def bucket(seaweed: Seaweed) -> str:
    """The address of a new bucket."""
    return seaweed.new_bucket()


@pytest.fixture
def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on."""
    return free_tcp_port()


@pytest.fixture
def storescp(tmp_path: Path) -> Iterator[Callable[..., StoreScp]]:
    """Start real DCMTK ``storescp`` peers: ``storescp(ae_title=..., options=[...])``; stopped with the test."""
    with ExitStack() as stack:
        count = 0

        def start(**keywords: Any) -> StoreScp:
            nonlocal count
            count += 1
            return stack.enter_context(StoreScp.started(tmp_path / f"storescp-{count}", **keywords))

        yield start


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Callable[..., Orthanc]]:
    """Start real Orthanc servers: ``orthanc(modalities={...}, lua=[...], dicom_port=...)``; stopped with the test."""
    with ExitStack() as stack:
        count = 0

        def start(**keywords: Any) -> Orthanc:
            nonlocal count
            count += 1
            return stack.enter_context(Orthanc.started(tmp_path / f"orthanc-{count}", **keywords))

        yield start
