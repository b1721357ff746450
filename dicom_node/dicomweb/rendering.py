"""A frame as a picture for people: modality and VOI transformation, viewport, JPEG or PNG (PS3.18 8.3.5, 10.4.1.1.3).

The window that is asked for, else the first of the image, else the VOI LUT, else all values that occur. What is
rendered is for orientation only; a viewer that measures takes the frames.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut, convert_color_space
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import JPEGExtended12Bit

from dicom_node.bounds import bounded
from dicom_node.dicomweb.encoding import quietly
from dicom_node.dicomweb.held import Held
from dicom_node.dicomweb.pixels import open_header
from dicom_node.dicomweb.refusals import bad_request, not_acceptable
from dicom_node.dicomweb.rendering_request import (
    FORMATS,
    FUNCTIONS,
    JPEG,
    MAX_SIDE,
    Rendering,
    Viewport,
    Window,
    finite,
)
from dicom_node.reader.frames import frames_of
from dicom_node.reader.jpeg12 import decode_12_bit
from dicom_node.reader.pixels import DECODE_ERRORS
from inference.errors import Refusal

THUMBNAIL_SIDE = 128
"""Pixels."""
WHITE = 255


def render(held: Held, frame: int, rendering: Rendering) -> bytes:
    """One frame, counted from 1, as a picture.

    Raises:
        WebRefusal: 406, there are no pixels, or they cannot be decoded.
    """
    try:
        with quietly():
            picture = Image.fromarray(_grey_or_colour(held, frame, rendering.window))
    except (*DECODE_ERRORS, Refusal) as error:
        raise not_acceptable(
            f"Instance {held.sop_instance_uid} cannot be rendered ({type(error).__name__})."
        ) from error
    if rendering.viewport is not None:
        picture = _shown(picture, rendering.viewport)
    buffer = BytesIO()
    options: dict[str, Any] = {"quality": rendering.quality} if rendering.media_type == JPEG else {}
    picture.save(buffer, FORMATS[rendering.media_type], **options)
    return buffer.getvalue()


def thumbnail_of(held: Held, frame: int, media_type: str) -> bytes:
    """One frame in a square of THUMBNAIL_SIDE; see `render`."""
    side = Viewport(width=THUMBNAIL_SIDE, height=THUMBNAIL_SIDE)
    return render(held, frame, Rendering(media_type=media_type, viewport=side))


def _grey_or_colour(held: Held, frame: int, window: Window | None) -> NDArray[np.uint8]:
    dataset = dcmread(held.path, stop_before_pixels=True)
    stored, interpretation = _decoded(held, frame)
    if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
        coloured = apply_color_lut(stored, dataset)
        return np.asarray(coloured >> (8 * (coloured.dtype.itemsize - 1)), dtype=np.uint8)
    if stored.ndim == 3:  # noqa: PLR2004 - row, column, sample
        if interpretation.startswith("YBR"):
            stored = convert_color_space(stored, interpretation, "RGB", per_frame=True)
        shift = max(int(dataset.get("BitsStored") or 8) - 8, 0)
        return np.asarray(stored >> shift, dtype=np.uint8)
    layers = _layers(dataset, frame)
    grey = _windowed(np.asarray(apply_modality_lut(stored, layers)), layers, window)
    inverse = (
        dataset.get("PhotometricInterpretation") == "MONOCHROME1" or dataset.get("PresentationLUTShape") == "INVERSE"
    )
    return WHITE - grey if inverse else grey


def _decoded(held: Held, frame: int) -> tuple[NDArray[Any], str]:
    """The stored values (row, column) or (row, column, sample), and what colours they are."""
    header = open_header(held.path)
    if not 1 <= frame <= header.frame_count:
        raise ValueError
    dataset = bounded(dcmread(held.path), (frame - 1,))
    if header.transfer_syntax_uid == JPEGExtended12Bit and int(dataset.get("BitsStored") or 0) > 8:  # noqa: PLR2004
        frames = list(frames_of(header))
        return next(decode_12_bit([frames[frame - 1]])), "MONOCHROME2"
    array = next(iter_pixels(dataset, indices=[frame - 1], raw=False))
    colours = "RGB" if array.ndim == 3 else str(dataset.get("PhotometricInterpretation") or "")  # noqa: PLR2004
    return array, colours


def _layers(dataset: Dataset, frame: int) -> Dataset:
    """Rescale and window of a frame: from its functional groups where the image has them (PS3.3 C.7.6.16)."""
    merged = Dataset()
    shared, per_frame = dataset.get("SharedFunctionalGroupsSequence"), dataset.get("PerFrameFunctionalGroupsSequence")
    groups = [dataset, *(list(shared or [])[:1]), *(list(per_frame or [])[frame - 1 : frame])]
    for group in groups:
        for macro in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            merged.update((group.get(macro) or [Dataset()])[0])
    for keyword in (
        "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction",
        "VOILUTSequence", "BitsStored", "PixelRepresentation", "PhotometricInterpretation",
    ):  # fmt: skip
        if keyword in dataset and keyword not in merged:
            merged[keyword] = dataset[keyword]
    return merged


def _windowed(values: NDArray[Any], layers: Dataset, window: Window | None) -> NDArray[np.uint8]:
    """Grey values 0 to 255 of modality values."""
    chosen = window or _stated_window(layers)
    if chosen is None and layers.get("VOILUTSequence"):
        looked_up = np.asarray(apply_voi_lut(values, layers, prefer_lut=True), dtype=np.float64)
        bits = int(layers.VOILUTSequence[0].LUTDescriptor[2])
        return np.asarray(np.clip(looked_up * WHITE / (2**bits - 1), 0, WHITE), dtype=np.uint8)
    if chosen is None:
        low, high = float(values.min()), float(values.max())
        chosen = Window(center=(low + high) / 2, width=max(high - low, 1), function="LINEAR_EXACT")
    return np.asarray(np.rint(_unit(values.astype(np.float64), chosen) * WHITE), dtype=np.uint8)


def _unit(values: NDArray[np.float64], window: Window) -> NDArray[np.float64]:
    """From 0 to 1 (PS3.3 C.11.2.1.2, C.11.2.1.3)."""
    center, width = window.center, window.width
    match window.function:
        case "SIGMOID":
            return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -700, 700)))
        case "LINEAR_EXACT":
            return np.clip((values - center) / width + 0.5, 0, 1)
        case _:
            return np.clip((values - (center - 0.5)) / max(width - 1, 1e-9) + 0.5, 0, 1)


def _stated_window(layers: Dataset) -> Window | None:
    """The first window of the image."""
    stated = [layers.get(keyword) for keyword in ("WindowCenter", "WindowWidth")]
    first = [
        value[0] if isinstance(value, list | tuple) or hasattr(value, "append") else value for value in stated if value
    ]
    numbers = finite([str(value) for value in first])
    if len(numbers) != 2 or numbers[1] < 1:  # noqa: PLR2004 - center and width
        return None
    function = str(layers.get("VOILUTFunction") or "LINEAR")
    return Window(
        center=numbers[0], width=numbers[1], function=function if function in FUNCTIONS.values() else "LINEAR"
    )


def _shown(picture: Image.Image, viewport: Viewport) -> Image.Image:
    """The part of the picture that is wanted, as large as fits into the viewport without changing its shape."""
    if viewport.part is not None:
        left, top, width, height = viewport.part
        box = (round(left), round(top), round(left + abs(width)), round(top + abs(height)))
        if max(box[2] - box[0], box[3] - box[1]) > MAX_SIDE or min(box[2] - box[0], box[3] - box[1]) < 1:
            raise bad_request(f"The part of the image that a viewport shows has sides from 1 to {MAX_SIDE} pixels.")
        picture = picture.crop(box)
        if width < 0:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if height < 0:
            picture = picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    scale = min(viewport.width / picture.width, viewport.height / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture if size == picture.size else picture.resize(size, Image.Resampling.BILINEAR)
