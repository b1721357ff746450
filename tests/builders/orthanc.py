"""A real Orthanc with its own storage, started for one test and stopped after it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pydicom
from pydicom.dataset import Dataset

from builders.peers import LOOPBACK, START_TIMEOUT_S, free_tcp_port, program, running, wait_until

DICOMWEB_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


@dataclass(frozen=True, slots=True, kw_only=True)
class Orthanc:
    """A running Orthanc."""

    ae_title: str
    dicom_port: int
    http_port: int
    log: Path

    @classmethod
    @contextmanager
    def started(
        cls,
        folder: Path,
        *,
        ae_title: str = "ORTHANC",
        dicom_port: int | None = None,
        modalities: Mapping[str, tuple[str, int]] | None = None,
        lua: Sequence[Path] = (),
        stable_age_s: int = 2,
        is_verbose: bool = True,
        settings: Mapping[str, Any] | None = None,
    ) -> Iterator[Orthanc]:
        """Start one.

        Args:
            folder: created where it is not there; holds the configuration, the storage and the log.
            ae_title: its own AE title.
            dicom_port: its DICOM port; a free one when None.
            modalities: symbolic name -> (AE title, port on 127.0.0.1) of the peers that it may send to.
            lua: Lua scripts to load.
            is_verbose: whether it logs every request.
            stable_age_s: seconds without a new instance until a study counts as stable.
            settings: further keys of orthanc.json.
        """
        folder.mkdir(parents=True, exist_ok=True)
        server = cls(
            ae_title=ae_title,
            dicom_port=dicom_port or free_tcp_port(),
            http_port=free_tcp_port(),
            log=folder / "orthanc.log",
        )
        configuration = server._configuration(folder, modalities or {}, lua, stable_age_s) | dict(settings or {})
        (folder / "orthanc.json").write_text(json.dumps(configuration, indent=1))
        executable = program("Orthanc")
        assert executable is not None, "Orthanc is not installed"
        command = [str(executable), *(["--verbose"] if is_verbose else []), str(folder / "orthanc.json")]
        with running(command, log=server.log):
            wait_until(server._answers, timeout_s=START_TIMEOUT_S, what=f"Orthanc on port {server.http_port}")
            yield server

    def _configuration(
        self, folder: Path, modalities: Mapping[str, tuple[str, int]], lua: Sequence[Path], stable_age_s: int
    ) -> dict[str, Any]:
        return {
            "Name": self.ae_title,
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "DicomAet": self.ae_title,
            "DicomPort": self.dicom_port,
            "DicomCheckCalledAet": True,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowStore": True,
            "DicomAlwaysAllowFind": True,
            "DicomModalities": {name: [aet, LOOPBACK, port] for name, (aet, port) in modalities.items()},
            "HttpPort": self.http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "StableAge": stable_age_s,
            "LuaScripts": [str(path) for path in lua],
            "Plugins": [str(DICOMWEB_PLUGIN)] if DICOMWEB_PLUGIN.exists() else [],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/system", timeout=2).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    @property
    def url(self) -> str:
        """Base URL of its REST API."""
        return f"http://{LOOPBACK}:{self.http_port}"

    @property
    def destination(self) -> str:
        """``AET@HOST:PORT``, as the command line takes it."""
        return f"{self.ae_title}@{LOOPBACK}:{self.dicom_port}"

    def get(self, path: str) -> Any:
        """JSON of a GET on its REST API."""
        return httpx.get(f"{self.url}{path}", timeout=30).raise_for_status().json()

    def post(self, path: str, content: bytes | str) -> Any:
        """JSON of a POST on its REST API."""
        return httpx.post(f"{self.url}{path}", content=content, timeout=60).raise_for_status().json()

    def delete(self, path: str) -> None:
        """DELETE on its REST API."""
        httpx.delete(f"{self.url}{path}", timeout=30).raise_for_status()

    def upload(self, paths: Sequence[Path]) -> None:
        """Put files in through the REST API."""
        for path in paths:
            self.post("/instances", path.read_bytes())

    def series_of(self, study_instance_uid: str) -> dict[str, list[str]]:
        """Modality -> Orthanc identifiers of the instances, of one study; empty while the study is unknown."""
        found: dict[str, list[str]] = {}
        for study in self.post("/tools/lookup", study_instance_uid):
            if study["Type"] != "Study":
                continue
            for series in self.get(f"/studies/{study['ID']}/series"):
                found.setdefault(series["MainDicomTags"]["Modality"], []).extend(series["Instances"])
        return found

    def instance(self, identifier: str) -> Dataset:
        """One instance, downloaded and read."""
        content = httpx.get(f"{self.url}/instances/{identifier}/file", timeout=60).raise_for_status().content
        return pydicom.dcmread(BytesIO(content))
