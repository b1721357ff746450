"""A node that has read one study, with OHIF installed, for the tests that look at it in a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from builders.browser import ohif_folder
from builders.node import Node, send
from builders.peers import LOOPBACK, wait_until

READ_WITHIN_S = 240.0
QUIET_PERIOD_S = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadNode:
    """A node, and the study that it has read."""

    node: Node
    study_instance_uid: str

    @property
    def viewer(self) -> str:
        """Address of the study in the viewer."""
        return f"{self.node.url}/viewer?StudyInstanceUIDs={self.study_instance_uid}"

    def get(self, what: str) -> Any:
        """JSON of one part of the study's API."""
        return self.node.get(f"/api/v1/studies/{self.study_instance_uid}/{what}")

    def entry(self) -> dict[str, Any]:
        """Its line of the worklist."""
        (entry,) = self.node.get("/api/v1/worklist")["studies"]
        return dict(entry)


@pytest.fixture(scope="session")
def ohif(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of OHIF."""
    return ohif_folder(repository, tmp_path_factory.mktemp("ohif"))


@pytest.fixture(scope="session")
def reading_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., ReadNode]]:
    """Start a node with a viewer's folder, send it a folder, and wait until it was read."""
    with ExitStack() as stack:

        def start(study: Path, viewer: Path, **settings: str) -> ReadNode:
            folder = tmp_path_factory.mktemp("reading") / "node"
            options = {"quiet-period": QUIET_PERIOD_S, "viewer-dir": viewer, **settings}
            node = stack.enter_context(Node.started(folder, options=options))
            peer = f"{node.ae_title}@{LOOPBACK}:{node.dicom_port}"
            send(study, peer)
            wait_until(lambda: _is_read(node), timeout_s=READ_WITHIN_S, what=f"findings ({node.log})", poll_s=0.5)
            return ReadNode(
                node=node, study_instance_uid=node.get("/api/v1/studies")["studies"][0]["study_instance_uid"]
            )

        yield start


def _is_read(node: Node) -> bool:
    studies = node.get("/api/v1/studies")["studies"]
    assert not [study["reason"] for study in studies if study["state"] in {"failed", "refused"}]
    return bool(studies) and studies[0]["state"] == "done"
