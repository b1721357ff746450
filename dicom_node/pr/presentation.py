"""One Grayscale Softcopy Presentation State (PS3.3 A.33.1) per series on which something is present.

It shows the images as they are: their own rescale and windows, their own pixel proportions, no rotation. highdicom
takes references and windows from the headers; it gets stand-ins, so that identity is copied as bytes like everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from highdicom.content import ModalityLUTTransformation, PresentationLUTTransformation
from highdicom.pr import GrayscaleSoftcopyPresentationState, SoftcopyVOILUTTransformation
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node import codes
from dicom_node.derived import ReportContext, finish, stand_in
from dicom_node.equipment import contributing_equipment, fix_times, general_equipment
from dicom_node.frames import frame_values, functional_group, pixel_spacing
from dicom_node.pr.annotations import LAYERS, Drawing, annotations_of, drawings_of
from dicom_node.sr.procedure import REGION_BODY_PART, region_of
from dicom_node.uids import ObjectRole
from inference.errors import ReasonCode, SeriesRefusal
from inference.findings import StudyFindings

SERIES_NUMBER = 9003
"""Of the first revision; later ones follow in steps of derived.REVISION_STEP."""
CONTENT_LABEL = "AI FINDINGS"
_KEYWORDS = (
    "Modality",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "NumberOfFrames",
    "WindowCenter",
    "WindowWidth",
    "WindowCenterWidthExplanation",
    "VOILUTFunction",
)
_NOT_IN_THE_IOD = ("ContentDate", "ContentTime")


def encode_presentation_state(
    findings: StudyFindings,
    *,
    sources: Sequence[Dataset],
    context: ReportContext,
    grey_range: tuple[float, float] | None = None,
) -> Dataset | None:
    """Encode what is present on the images of one series; None where nothing is.

    Args:
        findings: The document of the whole study.
        sources: Headers (no pixels needed) of the instances of one series; only those that carry something are
            referenced.
        context: Who, when, and which revision.
        grey_range: Values after rescale that are shown black and white where not every image has a window of its own;
            without one a presentation state would show a 12-bit image in 16 bits as almost black.

    Raises:
        SeriesRefusal: with E_MIXED: the images cannot be shown by one presentation state: their sizes, rescale or pixel
            spacing differ, they are not grey, or several are multi-frame.
    """
    headers = {str(header.SOPInstanceUID): header for header in sources}
    drawings = drawings_of(findings, headers)
    if not drawings:
        return None
    shown = [headers[uid] for uid in dict.fromkeys(d.source.sop_instance_uid for d in drawings)]
    _check(shown)
    result = _encode(findings, drawings, shown, context, grey_range)
    _show_true_proportions(result, shown[0], drawings[0])
    finish(result, shown[0], context)
    fix_times(result)
    result.PresentationCreationDate, result.PresentationCreationTime = result.ContentDate, result.ContentTime
    for keyword in _NOT_IN_THE_IOD:
        delattr(result, keyword)
    if not result.get("BodyPartExamined"):
        levels = (finding.site.level for finding in findings.findings)
        result.BodyPartExamined = REGION_BODY_PART[region_of(levels, shown)]
    return result


def _check(shown: Sequence[Dataset]) -> None:
    """Refuse images that need more than one presentation state."""
    series = str(shown[0].SeriesInstanceUID)
    sizes = {(int(header.Rows), int(header.Columns), pixel_spacing(header, 1)) for header in shown}
    is_grey = all(int(header.get("SamplesPerPixel", 1)) == 1 for header in shown)
    many_frames = [header for header in shown if _frame_count(header) > 1]
    if len(sizes) > 1 or not is_grey or (many_frames and len(shown) > 1):
        raise SeriesRefusal(
            f"The {len(shown)} instances of series {series} that carry findings cannot be shown by one presentation "
            f"state: {len(sizes)} sizes or spacings, {len(many_frames)} multi-frame{'' if is_grey else ', colour'}.",
            code=ReasonCode.MIXED,
        )


def _encode(
    findings: StudyFindings,
    drawings: Sequence[Drawing],
    shown: Sequence[Dataset],
    context: ReportContext,
    grey_range: tuple[float, float] | None,
) -> GrayscaleSoftcopyPresentationState:
    series = str(shown[0].SeriesInstanceUID)
    origin = context.origin((str(header.SOPInstanceUID) for header in shown), findings.models)
    role = (ObjectRole.PRESENTATION, series)
    images = {str(header.SOPInstanceUID): _stand_in(header) for header in shown}
    shape = "INVERSE" if shown[0].get("PhotometricInterpretation") == "MONOCHROME1" else "IDENTITY"
    return GrayscaleSoftcopyPresentationState(
        referenced_images=list(images.values()),
        series_instance_uid=origin.uid(*role, "series"),
        series_number=context.series_number(SERIES_NUMBER),
        sop_instance_uid=origin.uid(*role),
        instance_number=1,
        **general_equipment(context),
        content_label=CONTENT_LABEL,
        content_description="Findings, unverified, research use only",
        graphic_layers=list(LAYERS),
        graphic_annotations=annotations_of(drawings, findings, images),
        modality_lut_transformation=_rescale(shown),
        voi_lut_transformations=_window_of(shown, grey_range),
        presentation_lut_transformation=PresentationLUTTransformation(presentation_lut_shape=shape),
        contributing_equipment=contributing_equipment(findings.models, context),
        coding_schemes=[codes.coding_scheme()],
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )


def _stand_in(header: Dataset) -> Dataset:
    """What highdicom reads of an image; its rescale is given beside it."""
    copy = stand_in(header, _KEYWORDS)
    copy.SamplesPerPixel = 1
    count = _frame_count(header)
    if count > 1 or "PerFrameFunctionalGroupsSequence" in header:
        copy.SharedFunctionalGroupsSequence = [Dataset()]
        copy.PerFrameFunctionalGroupsSequence = [_window(header, frame) for frame in range(1, count + 1)]
    return copy


def _window(header: Dataset, frame: int) -> Dataset:
    """The functional groups of one frame with its window alone, which a classic multi-frame image has once for all."""
    group, own = Dataset(), functional_group(header, frame, "FrameVOILUTSequence")
    if own is None and "WindowCenter" in header:
        own = Dataset()
        own.WindowCenter, own.WindowWidth = header.WindowCenter, header.WindowWidth
    if own is not None:
        group.FrameVOILUTSequence = [own]
    return group


def _window_of(
    shown: Sequence[Dataset], grey_range: tuple[float, float] | None
) -> list[SoftcopyVOILUTTransformation] | None:
    """One window for all images, None where each has its own (which highdicom copies) or no range is known."""
    frames = ((header, frame) for header in shown for frame in range(1, _frame_count(header) + 1))
    if grey_range is None or all(frame_values(h, n, "FrameVOILUTSequence", "WindowCenter") for h, n in frames):
        return None
    low, high = grey_range
    width = max(high - low, 1.0)
    return [SoftcopyVOILUTTransformation(window_center=round((low + high) / 2, 2), window_width=round(width, 2))]


def _frame_count(header: Dataset) -> int:
    return int(header.get("NumberOfFrames", None) or 1)


def _rescale(shown: Sequence[Dataset]) -> ModalityLUTTransformation | None:
    """The one rescale of all images, None where they have none.

    Raises:
        SeriesRefusal: they have several; a presentation state has one.
    """
    macro = "PixelValueTransformationSequence"
    found: set[tuple[tuple[float, ...] | None, ...]] = set()
    for header in shown:
        for frame in range(1, _frame_count(header) + 1):
            found.add(tuple(frame_values(header, frame, macro, k) for k in ("RescaleSlope", "RescaleIntercept")))
    if len(found) > 1:
        raise SeriesRefusal(
            f"The images of series {shown[0].SeriesInstanceUID} that carry findings have {len(found)} different "
            "rescales; a presentation state has one.",
            code=ReasonCode.MIXED,
        )
    slope, intercept = found.pop()
    if slope is None or intercept is None:
        return None
    group = functional_group(shown[0], 1, macro)
    unit = shown[0].get("RescaleType") or (group.get("RescaleType") if group is not None else None) or "US"
    return ModalityLUTTransformation(rescale_intercept=intercept[0], rescale_slope=slope[0], rescale_type=str(unit))


def _show_true_proportions(result: Dataset, header: Dataset, drawing: Drawing) -> None:
    """Oblong pixels are shown in their proportions: spacing instead of highdicom's ratio of 1 (PS3.3 C.10.4)."""
    spacing = pixel_spacing(header, drawing.source.frame)
    (area,) = result.DisplayedAreaSelectionSequence
    if spacing is not None:
        del area.PresentationPixelAspectRatio
        area.PresentationPixelSpacing = list(spacing)
