"""A running application for the tests of DICOMweb."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.dicomweb import Web, running_web


@pytest.fixture(scope="module")
def shared_web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """One application for the tests of a module that change nothing for each other."""
    with running_web(tmp_path_factory.mktemp("web")) as running:
        yield running


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """The application over an empty node, on a socket of loopback."""
    with running_web(tmp_path / "web") as running:
        yield running
