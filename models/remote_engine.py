"""A network that another machine runs: any server of the Open Inference Protocol (KServe v2) over HTTP, like Triton.

Tensors go as the binary tensor data extension has them where the server says that it knows it, otherwise as JSON. A
server that is away, or does not do as the protocol says, is a PeerFailure: it may pass, so that the work is tried
again, and nobody reads "not assessed" because a cable was pulled. Only pixels on a network's grid leave this machine,
with nothing of the patient, and only to where the settings say.

Open Inference Protocol: https://kserve.github.io/website, "V2 protocol" and "binary tensor data extension".
"""

from __future__ import annotations

import json
import math
import ssl
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from inference.errors import PeerFailure
from models.engines import InputShape

TRIES = 3
"""Of one request, with a pause that doubles in between; longer absences are for the work queue to wait out."""
FIRST_PAUSE_S = 0.5
JSON_LENGTH = "Inference-Header-Content-Length"
"""Of the JSON in front of binary data: binary tensor data extension."""
BINARY = "binary_tensor_data"
"""Name of that extension in the server's metadata."""
PASSING = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""Answers after which the same request is sent again."""
_FP32 = "FP32"
_PLAIN = {"Accept-Encoding": "identity"}
"""Floats hardly shrink, and packing them takes longer than sending them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteServer:
    """Where networks run, and how it is reached."""

    url: str
    """Up to and without ``/v2``."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Bundle -> MODEL or MODEL/VERSION; a bundle that is not here has its own name there."""
    token: str = ""
    """For ``Authorization: Bearer``; never logged."""
    ca_file: Path | None = None
    """PEM file of the authorities to trust instead of the system's."""
    timeout_s: float = 60.0

    def model_of(self, bundle: str) -> tuple[str, str]:
        """Model and version; an empty version is the server's choice."""
        model, _, version = self.names.get(bundle, bundle).partition("/")
        return model, version


class RemoteEngine:
    """One network of one server. Used by one thread."""

    def __init__(self, server: RemoteServer, bundle: str, shape: InputShape) -> None:
        """Ask the server what it is, and whether it has the network.

        Args:
            server: where.
            bundle: name of the bundle whose network is wanted.
            shape: what the bundle's own file takes.

        Raises:
            PeerFailure: no answer, or no such network with one input and one output of float32.
        """
        self._model, version = server.model_of(bundle)
        # No proxy and no credentials from the environment: pixels go where the settings say, and nowhere else.
        self._client = httpx.Client(
            base_url=server.url.rstrip("/"),
            timeout=server.timeout_s,
            headers=_PLAIN | ({"Authorization": f"Bearer {server.token}"} if server.token else {}),
            verify=ssl.create_default_context(cafile=server.ca_file),
            trust_env=False,
        )
        weakref.finalize(self, self._client.close)
        about = self._json("GET", "/v2")
        self._server = " ".join(str(about.get(key) or "unknown") for key in ("name", "version"))
        self._is_binary = BINARY in (about.get("extensions") or [])
        self._path = f"/v2/models/{self._model}" + (f"/versions/{version}" if version else "")
        network = self._json("GET", self._path)
        self._version = version or str(max(network.get("versions") or [""], key=_as_number))
        self._input, self._output = (self._only(network, side) for side in ("inputs", "outputs"))
        self._shape = shape

    @property
    def name(self) -> str:
        """Like ``triton 2.51.0 mr_axial_canal/1 (KServe v2)``."""
        return f"{self._server} {self._model}/{self._version or 'unversioned'} (KServe v2)"

    @property
    def input_shape(self) -> InputShape:
        """What the bundle's file takes."""
        return self._shape

    def run(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Output for an input, both (batch, channel, row, column).

        Raises:
            PeerFailure: no answer, or none that the protocol allows.
        """
        body, headers = self._request(np.ascontiguousarray(image, dtype="<f4"))
        answer = self._send("POST", f"{self._path}/infer", content=body, headers=headers)
        return self._tensor(answer)

    def _request(self, image: NDArray[np.float32]) -> tuple[bytes, dict[str, str]]:
        tensor: dict[str, Any] = {"name": self._input, "shape": list(image.shape), "datatype": _FP32}
        wanted: dict[str, Any] = {"name": self._output}
        if not self._is_binary:
            tensor["data"] = image.ravel().tolist()
            return json.dumps({"inputs": [tensor], "outputs": [wanted]}).encode(), {"Content-Type": "application/json"}
        tensor["parameters"] = {"binary_data_size": image.nbytes}
        wanted["parameters"] = {"binary_data": True}
        head = json.dumps({"inputs": [tensor], "outputs": [wanted]}).encode()
        kind = {"Content-Type": "application/octet-stream", JSON_LENGTH: str(len(head))}
        return head + image.tobytes(), kind

    def _tensor(self, answer: httpx.Response) -> NDArray[np.float32]:
        try:
            length = int(answer.headers.get(JSON_LENGTH, len(answer.content)))
            document = json.loads(answer.content[:length])
            (output,) = [one for one in document["outputs"] if (one["name"], one["datatype"]) == (self._output, _FP32)]
            tensor = _values(output, answer.content[length:])
            version = str(document.get("model_version") or self._version)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._failure(f"gave an answer that is not one of the protocol ({type(error).__name__})") from None
        self._version = self._version or version  # some servers list none, and name it with the first answer
        if version != self._version:
            raise self._failure(f"runs version {version} now, and version {self._version} was compared")
        return tensor

    def _only(self, network: Mapping[str, Any], side: str) -> str:
        tensors = network.get(side) or []
        if len(tensors) != 1 or tensors[0].get("datatype") != _FP32:
            raise self._failure(f"has a network {self._model} that does not have one of {side}, of FP32")
        return str(tensors[0]["name"])

    def _json(self, method: str, path: str) -> Mapping[str, Any]:
        try:
            document = self._send(method, path).json()
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise self._failure("is no server of the Open Inference Protocol: its answer is not JSON")
        return document

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        """An answer of success; tried again while what went wrong may pass."""
        for attempt in range(1, TRIES + 1):
            try:
                answer = self._client.request(method, path, **content)
            except httpx.HTTPError as error:
                problem, may_pass = _transport_words(error), True
            else:
                if answer.status_code == HTTPStatus.OK:
                    return answer
                problem, may_pass = f"answered HTTP {answer.status_code}", answer.status_code in PASSING
            if attempt == TRIES or not may_pass:
                raise self._failure(problem)
            time.sleep(FIRST_PAUSE_S * math.pow(2, attempt - 1))
        raise AssertionError("the last attempt returns or raises")

    def _failure(self, what: str) -> PeerFailure:
        return PeerFailure(f"The inference server {what} (model {self._model}).")


def _values(output: Mapping[str, Any], binary: bytes) -> NDArray[np.float32]:
    """The one tensor of an answer, from its JSON or from the bytes behind it."""
    shape = [int(size) for size in output["shape"]]
    if "data" in output:
        return np.asarray(output["data"], dtype=np.float32).reshape(shape)
    size = int(output["parameters"]["binary_data_size"])
    return np.frombuffer(binary[:size], dtype="<f4").reshape(shape).astype(np.float32)


def _as_number(version: str) -> tuple[int, str]:
    return (int(version), version) if str(version).isdecimal() else (-1, str(version))


def _transport_words(error: httpx.HTTPError) -> str:
    """What went wrong between the two machines, without the address, which may hold credentials."""
    if isinstance(error, httpx.TimeoutException):
        return "did not answer in time"
    return "is not reached" if isinstance(error, httpx.ConnectError) else f"broke off ({type(error).__name__})"
