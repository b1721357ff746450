"""Which engine runs a bundle's network: OpenVINO where it is installed and says the same, ONNX Runtime everywhere else.

ONNX Runtime is the reference: it is always there, and every metric of a bundle was measured with it. OpenVINO stands in
for it only after both have run the same image on this host and agreed. Both are loaded for that comparison only. A
server (models.remote_engine) is compared in the same way, each time that it is taken up again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.errors import BundleRefusal, PeerFailure, SettingRefusal
from models.bundle import Bundle
from models.engines import Engine, InputShape, OnnxEngine, OpenVinoEngine, openvino_is_installed
from models.remote_engine import RemoteEngine, RemoteServer

log = logging.getLogger(__name__)


class EngineChoice(StrEnum):
    """The setting ``inference_engine``."""

    AUTO = "auto"
    """OpenVINO where it is installed and in parity, otherwise ONNX Runtime, and the log says why."""
    ONNXRUNTIME = "onnxruntime"
    """ONNX Runtime."""
    OPENVINO = "openvino"
    """OpenVINO, or a refusal."""
    REMOTE = "remote"
    """The server of ``inference_server``, in parity; nothing is read while it is away or differs."""


LARGEST_LOGIT_DIFFERENCE = 0.01
"""Largest difference between two logits that still counts as the same network.

Logits that are off by d change no probability by more than d/2 (the slope of the softmax is at most 1/4, and two logits
can be off against each other by 2d): 0.005 here. Float32 stays far below it, half precision does not: tests hold both.
"""
LARGEST_CLASS_CHANGE = 1e-4
"""Largest share of pixels whose most probable class may differ: those where two classes were equal but for rounding.

6 pixels of the 256 x 256 of the comparison; a vertebral body in the middle slice has about 3000 at 0.47 mm.
"""
PARITY_SIDE = 256
"""Rows and columns of the comparison's image, at least, where the network takes any."""
_SEED, _SMOOTH_PX, _NOISE = 0, (0.0, 4.0, 4.0), 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How far two engines are apart on one image."""

    logit: float
    """Largest absolute difference; NaN or infinite where either gives no number."""
    class_change: float
    """Share of pixels with another most probable class; 0 for a network that does not classify pixels."""

    @property
    def is_parity(self) -> bool:
        """Whether one may stand in for the other; a NaN never may."""
        return self.logit <= LARGEST_LOGIT_DIFFERENCE and self.class_change <= LARGEST_CLASS_CHANGE


def load_engine(
    bundle: Bundle,
    choice: EngineChoice,
    *,
    threads: int,
    device: str = "cpu",
    remote: RemoteServer | None = None,
) -> Engine:
    """The engine for a bundle, loaded; the log says which one, and why it is not OpenVINO.

    Args:
        bundle: whose digest has been checked.
        choice: the site's setting.
        threads: cores that one run may use.
        device: ``cpu`` or ``cuda``; ONNX Runtime alone knows CUDA.
        remote: the server, for the choice of that name.

    Raises:
        SettingRefusal: the device is not there, or OpenVINO was asked for by name and cannot be used.
        BundleRefusal: the file is not a network with one input and one output.
        PeerFailure: the server is away, or its network is another one.
    """
    reference = OnnxEngine(bundle.weights, threads=threads, device=device)
    if choice is EngineChoice.ONNXRUNTIME:
        return reference
    if choice is EngineChoice.REMOTE:
        return _remote(bundle, reference, remote)
    found = _openvino(bundle, reference, threads=threads, device=device)
    if not isinstance(found, str):
        log.info("engine_chosen", extra={"model": bundle.identity.name, "engine": found.name})
        return found
    if choice is EngineChoice.OPENVINO:
        raise SettingRefusal(f"inference_engine openvino cannot run {bundle.identity.name}: {found}")
    level = logging.WARNING if why_no_openvino(device) is None else logging.INFO
    log.log(
        level,
        "engine_chosen",
        extra={"model": bundle.identity.name, "engine": reference.name, "reason": found},
    )
    return reference


def why_no_openvino(device: str) -> str | None:
    """Why OpenVINO cannot be used here, whatever the network; None where it can."""
    if device != "cpu":
        return f"it is used on the cpu only, got device {device!r}"
    return None if openvino_is_installed() else "it is not installed (extra openvino)"


def _openvino(bundle: Bundle, reference: Engine, *, threads: int, device: str) -> Engine | str:
    """OpenVINO where it may stand in for the reference; otherwise why not."""
    why_not = why_no_openvino(device)
    if why_not is not None:
        return why_not
    try:
        candidate = OpenVinoEngine(bundle.weights, threads=threads)
    except BundleRefusal as refusal:
        return refusal.sentence
    difference = compare(candidate, reference, parity_image(reference.input_shape, bundle.multiple_of))
    if difference.is_parity:
        return candidate
    return _words(difference)


def _remote(bundle: Bundle, reference: Engine, server: RemoteServer | None) -> Engine:
    """The server's network, once it has said the same as the bundle's own file, whose digest was checked.

    A name and a version say nothing of the weights: what is compared is what both make of one image.
    """
    if server is None:
        raise SettingRefusal("inference_engine remote needs inference_server, the address of the server")
    candidate = RemoteEngine(server, bundle.identity.name, reference.input_shape)
    difference = compare(candidate, reference, parity_image(reference.input_shape, bundle.multiple_of))
    if not difference.is_parity:
        raise PeerFailure(
            f"{candidate.name} is not the network of bundle {bundle.identity.name} {bundle.identity.version}, or runs "
            f"it with less than float32: {_words(difference)}."
        )
    log.info("engine_chosen", extra={"model": bundle.identity.name, "engine": candidate.name})
    return candidate


def _words(difference: Difference) -> str:
    return (
        f"it differs from ONNX Runtime by {difference.logit:.3g} in a logit and in the class of "
        f"{difference.class_change:.2%} of the pixels, at most {LARGEST_LOGIT_DIFFERENCE:g} and "
        f"{LARGEST_CLASS_CHANGE:.2%} are parity"
    )


def compare(candidate: Engine, reference: Engine, image: NDArray[np.float32]) -> Difference:
    """How far apart two engines are on an image (batch, channel, row, column)."""
    ours, expected = candidate.run(image), reference.run(image)
    if ours.shape != expected.shape:
        return Difference(logit=np.inf, class_change=1.0)
    is_per_pixel = expected.ndim == len(("batch", "class", "row", "column"))
    changed = (ours.argmax(axis=1) != expected.argmax(axis=1)).mean() if is_per_pixel else 0.0
    with np.errstate(invalid="ignore"):  # infinity less infinity is the NaN that Difference refuses
        return Difference(logit=float(np.abs(ours - expected).max()), class_change=float(changed))


def parity_image(shape: InputShape, multiple_of: int) -> NDArray[np.float32]:
    """The image of the comparison: blobs with noise on them, the same at every start, mean 0 and deviation 1.

    Args:
        shape: what the network takes; None becomes one image, or rows and columns of at least PARITY_SIDE.
        multiple_of: what rows and columns must be a multiple of.
    """
    side = -(-PARITY_SIDE // multiple_of) * multiple_of
    batch, *others = shape
    sizes = tuple(side if size is None else size for size in others)
    random = np.random.default_rng(_SEED)
    blobs = ndimage.gaussian_filter(random.normal(size=sizes), _SMOOTH_PX)
    image = blobs / blobs.std() + _NOISE * random.normal(size=sizes)
    image = ((image - image.mean()) / image.std()).astype(np.float32)
    return np.repeat(image[None], batch or 1, axis=0)
