"""JPEG Extended with 12 bits (PS3.5 A.4.1, 1.2.840.10008.1.2.4.51), through GDCM itself.

pydicom's plug-ins decline it: the one package that they would use is GPL-3. GDCM's own reader decodes it; a test
compares it with the images before compression.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import gdcm
import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread

from dicom_node.bounds import bounded
from dicom_node.reader.frames import Frame
from dicom_node.reader.rawbytes import unreadable
from dicom_node.reader.values import PARSE_ERRORS, integer


def decode_12_bit(frames: Sequence[Frame]) -> Iterator[NDArray[Any]]:
    """The stored pixel arrays (row, column) of frames of one file.

    Raises:
        SeriesRefusal: E_PIXEL_DATA, GDCM cannot decode the file.
    """
    first = frames[0]
    rows, columns = first.rows or 0, first.columns or 0
    try:
        bounded(dcmread(first.header.path))
    except PARSE_ERRORS as error:
        raise unreadable(first, f"decoding failed ({type(error).__name__})") from error
    reader = gdcm.ImageReader()
    reader.SetFileName(str(first.header.path))
    if not reader.Read():
        raise unreadable(first, "decoding failed")
    # GDCM hands its buffer out as text, one code point or lone surrogate per byte
    raw = reader.GetImage().GetBuffer().encode("utf-8", "surrogateescape")
    kind = "i" if integer(first.header.dataset, "PixelRepresentation") else "u"
    if len(raw) < first.header.frame_count * rows * columns * 2:
        raise unreadable(first, f"it decodes to {len(raw)} bytes, the header says {rows}x{columns} of 2 bytes")
    size = rows * columns
    pixels = np.frombuffer(raw, dtype=f"<{kind}2")
    for frame in frames:
        index = (frame.number or 1) - 1
        yield pixels[index * size : (index + 1) * size].reshape(rows, columns)
