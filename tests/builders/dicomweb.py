"""The HTTP application on a real socket, over a node with its own database and spool, filled by its own inbox."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread

from builders.peers import LOOPBACK
from builders.receiving import NO_WATERMARK
from dicom_node.file_meta import decode_file_meta
from dicom_node.inbox import Inbox, ReceiverMetrics, StoreRequest
from dicom_node.recorder import Recorder
from dicom_node.results import ResultRecord, record_results
from dicom_node.verdicts import Verdict
from server.compose import Node, open_node
from server.http.app import create
from server.settings import Settings
from server.web import http_tls, server_config

DICOM_JSON = {"Accept": "application/dicom+json"}
OCTETS = {"Accept": 'multipart/related; type="application/octet-stream"'}
OHIF_FRAMES = {"Accept": "multipart/related; type=application/octet-stream; transfer-syntax=*"}
DICOM = {"Accept": 'multipart/related; type="application/dicom"'}
DICOM_AS_STORED = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """A running application."""

    node: Node
    port: int

    @property
    def url(self) -> str:
        """Base URL of DICOMweb."""
        return f"http://{LOOPBACK}:{self.port}/dicom-web"

    @property
    def client(self) -> DICOMwebClient:
        """A dicomweb-client."""
        return DICOMwebClient(self.url)

    def get(self, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> httpx.Response:
        """A request; JSON is accepted where nothing else is said."""
        return httpx.request(method, f"{self.url}{path}", headers=headers or DICOM_JSON, timeout=60)

    def json(self, path: str) -> Any:
        """JSON of a GET that is answered with 200."""
        answer = self.get(path)
        assert answer.status_code == httpx.codes.OK, answer.text
        return answer.json()


@contextmanager
def running_web(folder: Path, **settings: Any) -> Iterator[Web]:
    """Serve a new node in a folder until the block ends."""
    values = {"data_dir": folder, "http_port": 0, "disk_reserve_gib": 0.0, "disk_reserve_percent": 0.0} | settings
    node = open_node(Settings(**values))
    application = create(node)
    listener = socket.create_server((LOOPBACK, 0))
    server = uvicorn.Server(server_config(application, node.settings, http_tls(node.settings)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield Web(node=node, port=listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
        application.state.dicomweb.door.close()
        application.state.client.destroy()
        node.engine.dispose()


def take_in(node: Node, paths: Sequence[Path]) -> list[Verdict]:
    """Take files in as the receiver does, through its inbox; the verdicts."""
    recorder = Recorder(node.engine, deadline_s=15)
    recorder.start()
    metrics = ReceiverMetrics()
    inbox = Inbox(node.spool, recorder, node.engine, rules=NO_WATERMARK, metrics=metrics, clock=time.time)
    try:
        return [_take(inbox, path) for path in paths]
    finally:
        recorder.stop(10)


def _take(inbox: Inbox, path: Path) -> Verdict:
    meta, offset = decode_file_meta(path)
    request = StoreRequest(
        sop_class_uid=meta.sop_class_uid,
        sop_instance_uid=meta.sop_instance_uid,
        transfer_syntax_uid=meta.transfer_syntax_uid,
        negotiated_sop_class_uid=meta.sop_class_uid,
        calling_ae_title="BUILDER",
    )
    arrival = inbox.begin(request)
    arrival.write(memoryview(path.read_bytes())[offset:])
    return arrival.finish()


def keep_result(node: Node, path: Path, role: str, revision: int = 1) -> None:
    """Keep a file as an object that the node made."""
    dataset = dcmread(path, stop_before_pixels=True)
    data = path.read_bytes()
    relative = f"results/{role}-{revision}-{path.name}"
    node.spool.write_result(relative, data)
    record = ResultRecord(
        sop_instance_uid=str(dataset.SOPInstanceUID),
        study_instance_uid=str(dataset.StudyInstanceUID),
        revision=revision,
        role=role,
        sop_class_uid=str(dataset.SOPClassUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        path=relative,
        sha256=hashlib.sha256(data).hexdigest(),
    )
    with node.engine.begin() as connection:
        record_results(connection, [record], time.time())
