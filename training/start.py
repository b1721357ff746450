"""The weights that a training run starts from: a checkpoint's, or those of a bundle's ONNX file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch

from training.network import NetworkConfig, SagittalSegmenter


class StartError(ValueError):
    """The file does not hold the weights of this network."""


def read_onnx_weights(path: Path, config: NetworkConfig | None = None) -> SagittalSegmenter:
    """Return the network with the weights of an ONNX file that `training.export` wrote.

    The file keeps large weights in half precision, so that a run that starts here starts from the rounded weights.

    Raises:
        StartError: weights of the network are missing, or have another shape.
    """
    network = SagittalSegmenter(config)
    wanted = dict(network.named_parameters())  # each once; MONAI's state_dict names the same weights several times
    found = {
        constant.name.removesuffix(".half"): np.array(onnx.numpy_helper.to_array(constant), dtype=np.float32)
        for constant in onnx.load(str(path)).graph.initializer
    }
    wrong = [name for name, value in wanted.items() if name not in found or found[name].shape != tuple(value.shape)]
    if wrong:
        message = f"{path.name} lacks {len(wrong)} of the network's {len(wanted)} weights, among them {wrong[0]}"
        raise StartError(message)
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(torch.from_numpy(found[name]))
    return network
