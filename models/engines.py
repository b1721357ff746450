"""Model runtimes behind one interface: an array in, an array out.

The only module that imports onnxruntime and openvino. ONNX Runtime on the CPU is always there; ``cuda`` asks for its
CUDA provider and is refused where that provider is not installed, so that nobody believes in a GPU that is not used.
OpenVINO is an extra, imported when a network is loaded into it; models.engine_choice says when that is.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from inference.errors import BundleRefusal, SettingRefusal

PROVIDERS: dict[str, str] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

OPENVINO_SETTINGS: dict[str, str | int | bool] = {
    # Left alone, it computes in bf16 where the processor can: the answer would change with the host.
    "INFERENCE_PRECISION_HINT": "f32",
    "EXECUTION_MODE_HINT": "ACCURACY",
    "PERFORMANCE_HINT": "LATENCY",
    "NUM_STREAMS": 1,
    # Its own choice is one thread a core, fewer than were asked for where a core runs two.
    "ENABLE_HYPER_THREADING": True,
    # Each worker is a process of its own: all of them would be pinned to the same cores.
    "ENABLE_CPU_PINNING": False,
}
"""Properties of OpenVINO's CPU device, beside the number of threads: the same input gives the same bytes."""

_CONVERTER = "openvino.tools.ovc"
"""The one part of OpenVINO that loads openvino-telemetry, and that asks at a terminal for consent to send."""

InputShape: TypeAlias = tuple[int | None, ...]
"""(batch, channel, row, column); None where any size is taken."""


class Engine(Protocol):
    """One loaded network with one input and one output."""

    @property
    def name(self) -> str:
        """Runtime, its version, the device, and the precision where the runtime could choose another."""
        ...

    @property
    def input_shape(self) -> InputShape:
        """What it takes."""
        ...

    def run(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Output for an input, both (batch, channel, row, column)."""
        ...


class OnnxEngine:
    """A network run by ONNX Runtime."""

    def __init__(self, path: Path, *, threads: int, device: str = "cpu") -> None:
        """Load the weights.

        Args:
            path: an ONNX file whose digest has been checked.
            threads: cores that one run may use.
            device: ``cpu`` or ``cuda``.

        Raises:
            SettingRefusal: the device is unknown or its provider is not installed.
            BundleRefusal: the file is not a network with one input and one output.
        """
        provider = PROVIDERS.get(device)
        if provider is None or provider not in onnxruntime.get_available_providers():
            available = [d for d, p in PROVIDERS.items() if p in onnxruntime.get_available_providers()]
            raise SettingRefusal(
                f"inference device must be one of {', '.join(available)} on this machine, got {device!r}"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=[provider])
        except Exception as error:  # onnxruntime raises its own classes, which share no public base
            raise BundleRefusal(
                f"{path.name} is not a network that ONNX Runtime can load: {type(error).__name__}"
            ) from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise BundleRefusal(f"{path.name} must have one input and one output, got {len(inputs)} and {len(outputs)}")
        self._input, self._output = inputs[0].name, outputs[0].name
        self._shape = tuple(size if isinstance(size, int) else None for size in inputs[0].shape)
        self._device = device

    @property
    def name(self) -> str:
        """Like ``onnxruntime 1.32.0 cpu``."""
        return f"onnxruntime {onnxruntime.__version__} {self._device}"

    @property
    def input_shape(self) -> InputShape:
        """What the file says that it takes."""
        return self._shape

    def run(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Output for an input, both (batch, channel, row, column)."""
        output: NDArray[np.float32] = self._session.run([self._output], {self._input: image})[0]
        return output


class OpenVinoEngine:
    """A network run by OpenVINO on the CPU, in float32."""

    def __init__(self, path: Path, *, threads: int) -> None:
        """Load the weights.

        Args:
            path: an ONNX file whose digest has been checked.
            threads: cores that one run may use.

        Raises:
            SettingRefusal: OpenVINO is not installed.
            BundleRefusal: OpenVINO cannot load the file, or it has more than one input or output.
        """
        core = _import_openvino().Core()
        properties = {**OPENVINO_SETTINGS, "INFERENCE_NUM_THREADS": threads}
        try:
            self._compiled = core.compile_model(core.read_model(path), "CPU", properties)
        except RuntimeError as error:  # what every exception of OpenVINO becomes
            raise BundleRefusal(f"{path.name} is not a network that OpenVINO can load") from error
        inputs, outputs = self._compiled.inputs, self._compiled.outputs
        if len(inputs) != 1 or len(outputs) != 1:
            raise BundleRefusal(f"{path.name} must have one input and one output, got {len(inputs)} and {len(outputs)}")
        self._shape = tuple(
            None if size.is_dynamic else int(size.get_length()) for size in inputs[0].get_partial_shape()
        )
        self._request = self._compiled.create_infer_request()

    @property
    def name(self) -> str:
        """Like ``openvino 2026.4.1 cpu f32``."""
        return f"openvino {version('openvino')} cpu {OPENVINO_SETTINGS['INFERENCE_PRECISION_HINT']}"

    @property
    def input_shape(self) -> InputShape:
        """What the file says that it takes."""
        return self._shape

    def run(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Output for an input, both (batch, channel, row, column)."""
        output: NDArray[np.float32] = self._request.infer([image], share_inputs=True)[0]
        return output


def openvino_is_installed() -> bool:
    """Whether the extra is there; imports nothing."""
    return find_spec("openvino") is not None


def _import_openvino() -> Any:
    """The package, without its converter: nothing of openvino-telemetry is ever loaded."""
    if not openvino_is_installed():
        raise SettingRefusal("OpenVINO is not installed; install the extra openvino")
    sys.modules.setdefault(_CONVERTER, None)  # type: ignore[arg-type]  # None: an import of it fails, as if not there
    import openvino  # noqa: PLC0415 - an extra, and half a second of start-up where it is not used

    return openvino
