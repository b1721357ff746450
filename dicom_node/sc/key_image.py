"""One picture of a slice as a Secondary Capture (PS3.3 A.8.1): 8-bit RGB, uncompressed, so that anything shows it.

The picture is made from stored pixels and from findings alone: overlay planes, private elements and header text of the
source never reach it. Whose it is stands in the header, copied as bytes like in every object of ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from highdicom.sc import SCImage
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node import code_table as table
from dicom_node.derived import ReportContext, finish, plain
from dicom_node.equipment import contributing_equipment, fix_times, general_equipment
from dicom_node.sr.procedure import REGION_BODY_PART, region_of
from dicom_node.uids import ObjectRole, Origin
from inference.findings import StudyFindings
from inference.geometry import FloatArray, FrameReference

SERIES_NUMBER = 9004
"""Of the first revision; later ones follow in steps of derived.REVISION_STEP."""
TEXT = "AI key images"
SHORT_TEXT = 1024
"""VR ST."""
SCANNED = frozenset({"MR", "CT"})
"""Modalities whose original pixels are computed, so that no console writes into them."""
LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
"""What was lost in the source is lost in its picture (PS3.3 C.7.6.1.1.5)."""
_LETTERS = (("R", "L"), ("A", "P"), ("F", "H"))
"""Against and along the axes of LPS (PS3.3 C.7.6.1.1.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyImage:
    """A picture, and what it is of."""

    pixels: NDArray[np.uint8]
    """Shape (row, column, 3): red, green, blue."""
    source: FrameReference
    directions: FloatArray
    """(3, 3): unit LPS vectors of growing slice, row and column index, one per column (inference.geometry.Volume)."""
    text: str
    """What it shows, in one or two sentences."""


def encode_key_image(
    image: KeyImage,
    number: int,
    findings: StudyFindings,
    *,
    sources: Mapping[str, Sequence[Dataset]],
    context: ReportContext,
) -> Dataset:
    """Encode one picture of a revision's series of pictures.

    Args:
        image: The picture.
        number: Its place in the series, from 1.
        findings: The document of the whole study.
        sources: Headers (no pixels needed) of the instances of every series of the study, by Series Instance UID.
        context: Who, when, and which revision.

    Raises:
        ValueError: the instance of the slice is not among the sources.
    """
    headers = {str(header.SOPInstanceUID): header for series in sources.values() for header in series}
    if image.source.sop_instance_uid not in headers:
        raise ValueError(f"{image.source.sop_instance_uid} must be one of the {len(headers)} source instances")
    header = headers[image.source.sop_instance_uid]
    origin = context.origin(headers, findings.models)
    result = _encode(image, number, findings, origin, context)
    revision = "" if context.revision == 1 else f", revision {context.revision}"
    finish(result, header, replace(context, description=f"{TEXT}{revision}: unverified, research use only"))
    fix_times(result)
    result.DateOfSecondaryCapture, result.TimeOfSecondaryCapture = result.ContentDate, result.ContentTime
    result.ImageComments = plain(findings.notice)
    _derive(result, image, header)
    levels = (finding.site.level for finding in findings.findings)
    result.BodyPartExamined = header.get("BodyPartExamined") or REGION_BODY_PART[region_of(levels, [header])]
    return result


def _encode(image: KeyImage, number: int, findings: StudyFindings, origin: Origin, context: ReportContext) -> Dataset:
    place = (image.source.sop_instance_uid, str(image.source.frame or 1))
    return SCImage(
        pixel_array=image.pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=orientation_of(image.directions),
        study_instance_uid=context.study_instance_uid,
        series_instance_uid=origin.uid(ObjectRole.KEY_IMAGE, "series"),
        series_number=context.series_number(SERIES_NUMBER),
        sop_instance_uid=origin.uid(ObjectRole.KEY_IMAGE, *place),
        instance_number=number,
        **general_equipment(context),
        contributing_equipment=contributing_equipment(findings.models, context),
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )


def _derive(result: Dataset, image: KeyImage, header: Dataset) -> None:
    """What it was made from, and whether its pixels may hold identity."""
    result.DerivationDescription = plain(image.text)[:SHORT_TEXT]
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    if image.source.frame is not None:
        source.ReferencedFrameNumber = image.source.frame
    source.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(table.DCM["121322"].code)]
    result.SourceImageSequence = [source]
    for keyword in LOSSY:
        if keyword in header:
            result[keyword] = header[keyword]
    burned_in = burned_in_annotation(header)
    if burned_in is not None:
        result.BurnedInAnnotation = burned_in


def burned_in_annotation(header: Dataset) -> str | None:
    """What a picture says of identity in its pixels: what is known of its source, because our own text holds none.

    As the source says; NO where a scanner computed it (original MR and CT) and it does not say; else None: of a
    screenshot nobody knows.
    """
    stated = str(header.get("BurnedInAnnotation", "") or "").upper()
    if stated in ("YES", "NO"):
        return stated
    is_original = str((header.get("ImageType") or [""])[0]) == "ORIGINAL"
    return "NO" if is_original and str(header.get("Modality", "")) in SCANNED else None


def orientation_of(directions: FloatArray) -> tuple[str, str]:
    """Patient Orientation (PS3.3 C.7.6.1.1.1): the main letters of a growing column index, and of a growing row index.

    Args:
        directions: (3, 3), see KeyImage.
    """
    return _letter(directions[:, 2]), _letter(directions[:, 1])


def _letter(direction: FloatArray) -> str:
    axis = int(np.argmax(np.abs(direction)))
    return _LETTERS[axis][int(direction[axis] > 0)]
