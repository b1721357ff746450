"""A real Triton Inference Server on the CPU that serves ONNX files, started for one test and stopped after it.

The package nvidia-pytriton brings Triton's binary (``make peers`` installs it into the virtual environment .triton;
nothing else of it is run). Its only backend is the Python one, in which ONNX Runtime runs each network.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import onnxruntime

from builders.peers import LOOPBACK, REPOSITORY, free_tcp_port, running, wait_until

HOME = REPOSITORY / ".triton"
PACKAGES = HOME / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
BINARIES = PACKAGES / "pytriton" / "tritonserver"
START_TIMEOUT_S = 120.0

MODEL = """
import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession({path!r}, options, providers=["CPUExecutionProvider"])

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        image = pb_utils.get_input_tensor_by_name(request, {given!r}).as_numpy()
        (output,) = self.session.run([{made!r}], {{{given!r}: image}})
        return pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor({made!r}, output.astype(np.float32))])
"""

CONFIG = """
name: "{name}"
backend: "python"
max_batch_size: 0
input [ {{ name: "{given}" data_type: TYPE_FP32 dims: {sizes} }} ]
output [ {{ name: "{made}" data_type: TYPE_FP32 dims: {made_sizes} }} ]
instance_group [ {{ kind: KIND_CPU }} ]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Triton:
    """A running server."""

    port: int
    repository: Path

    @classmethod
    @contextmanager
    def started(
        cls, folder: Path, models: Mapping[str, Path], *, port: int | None = None, options: Sequence[str] = ()
    ) -> Iterator[Triton]:
        """Serve ONNX files by name, each as version 1, until the block ends."""
        server = cls(port=port or free_tcp_port(), repository=folder / "repository")
        for name, path in models.items():
            server._add(name, path)
        python = folder / "backends" / "python"
        if not python.exists():
            shutil.copytree(BINARIES / "backends" / "python", python)
            stub = f"{sys.version_info.major}.{sys.version_info.minor}"
            shutil.copy(BINARIES / "python_backend_stubs" / stub / "triton_python_backend_stub", python)
        command = [
            str(BINARIES / "bin" / "tritonserver"),
            f"--model-repository={server.repository}",
            f"--backend-directory={folder / 'backends'}",
            f"--http-address={LOOPBACK}",
            f"--http-port={server.port}",
            "--allow-grpc=false",
            "--allow-metrics=false",
            "--exit-timeout-secs=1",
            *options,
        ]
        (BINARIES / "bin" / "tritonserver").chmod(0o755)
        (python / "triton_python_backend_stub").chmod(0o755)
        with running(command, log=folder / "triton.log", environment=_environment()):
            wait_until(server.is_ready, timeout_s=START_TIMEOUT_S, what=f"Triton ({folder / 'triton.log'})")
            yield server

    @property
    def url(self) -> str:
        """Base URL, without ``/v2``."""
        return f"http://{LOOPBACK}:{self.port}"

    def is_ready(self) -> bool:
        """Whether every model is loaded."""
        try:
            return httpx.get(f"{self.url}/v2/health/ready", timeout=5).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def _add(self, name: str, path: Path) -> None:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        given, made = session.get_inputs()[0], session.get_outputs()[0]
        version = self.repository / name / "1"
        version.mkdir(parents=True, exist_ok=True)
        (version / "model.py").write_text(MODEL.format(path=str(path.absolute()), given=given.name, made=made.name))
        sizes = {"sizes": _sizes(given.shape), "made_sizes": _sizes(made.shape)}
        (version.parent / "config.pbtxt").write_text(
            CONFIG.format(name=name, given=given.name, made=made.name, **sizes)
        )


def _sizes(shape: Sequence[int | str]) -> list[int]:
    return [size if isinstance(size, int) else -1 for size in shape]


def _environment() -> dict[str, str]:
    """Triton's own libraries, and its own virtual environment: its backend knows NumPy 1 only."""
    libraries = [str(PACKAGES / "nvidia_pytriton.libs"), os.environ.get("LD_LIBRARY_PATH", "")]
    path = [str(HOME / "bin"), os.environ.get("PATH", "")]
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    return kept | {
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries)),
        "PATH": os.pathsep.join(filter(None, path)),
    }
