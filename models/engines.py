"""Model runtimes behind one interface: an array in, an array out.

The only module that imports onnxruntime. ONNX Runtime on the CPU is always there; ``cuda`` asks for its CUDA provider
and is refused where that provider is not installed, so that nobody believes in a GPU that is not used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from inference.errors import BundleRefusal, SettingRefusal

PROVIDERS: dict[str, str] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class Engine(Protocol):
    """One loaded network with one input and one output."""

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

    def run(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Output for an input, both (batch, channel, row, column)."""
        output: NDArray[np.float32] = self._session.run([self._output], {self._input: image})[0]
        return output
