"""Key object selections (PS3.3 A.35.4, TID 2010): a note that names objects and says what they are for (CID 7010)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from highdicom.sr import CodedConcept, ObserverContext
from pydicom.dataset import Dataset

from dicom_node import code_table as table
from dicom_node.concept import Concept
from dicom_node.derived import ReportContext, finish, plain, stand_in
from dicom_node.equipment import contributing_equipment, device_observer, fix_times, general_equipment
from dicom_node.uids import ObjectRole
from inference.provenance import RESEARCH_USE, deterministic_uid

ATTACHMENT_SERIES_NUMBER = 9801
"""Of the selection for the first packet of a study; later ones follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a note selects, and how it is told apart from other notes."""

    title: Concept
    """Of CID 7010 or one that it includes."""
    description: str
    objects: tuple[Dataset, ...]
    """Headers of what is named, at least one, all of one study; those with Rows and Columns are named as images."""
    frames: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Frames from 1, by SOP Instance UID, where not the whole image is meant."""
    role: ObjectRole
    key: tuple[str, ...]
    """UIDs are derived from role and key."""
    series_number: int
    series_description: str
    notice: str = RESEARCH_USE


def encode_selection(
    selection: Selection, *, source: Dataset, context: ReportContext, person: ObserverContext | None = None
) -> Dataset:
    """A key object selection.

    Args:
        selection: What it names and why.
        source: A source instance, whose patient and study are copied.
        context: Who, and when.
        person: Who selected; the device itself where it is None.
    """
    content = KeyObjectSelection(
        document_title=CodedConcept.from_code(selection.title.code),
        referenced_objects=list(selection.objects),
        observer_person_context=person,
        observer_device_context=device_observer(context) if person is None else None,
        description=plain(selection.description),
    )
    for item in content[0].ContentSequence:
        for reference in item.get("ReferencedSOPSequence", ()):
            frames = selection.frames.get(str(reference.ReferencedSOPInstanceUID))
            if frames:
                reference.ReferencedFrameNumber = list(frames)
    note = KeyObjectSelectionDocument(
        evidence=[stand_in(dataset) for dataset in selection.objects],
        content=content,
        series_instance_uid=deterministic_uid(selection.role, "series", *selection.key),
        series_number=selection.series_number,
        sop_instance_uid=deterministic_uid(selection.role, *selection.key),
        instance_number=1,
        **general_equipment(context),
        contributing_equipment=contributing_equipment((), context, selection.notice),
    )
    finish(note, source, replace(context, description=selection.series_description))
    fix_times(note)
    return note


def encode_report_attachment(
    objects: Sequence[Dataset],
    *,
    frames: Mapping[str, tuple[int, ...]],
    description: str,
    source: Dataset,
    context: ReportContext,
    number: int = 1,
) -> Dataset:
    """The selection of a claim's packet, titled (113020, DCM, "For Report Attachment").

    Args:
        objects: Headers of the key images, and of the report and the document that go with them.
        frames: Of the multi-frame images, which frames are meant.
        description: In words, without identity.
        source: A source instance, whose patient and study are copied.
        context: Who, and when.
        number: Of the packet among those of this study, from 1; its series number follows.
    """
    selection = Selection(
        title=table.DCM["113020"],
        description=description,
        objects=tuple(objects),
        frames=frames,
        role=ObjectRole.REPORT_ATTACHMENT,
        key=(
            context.study_instance_uid,
            str(number),
            *sorted(f"{d.SOPInstanceUID}{frames.get(str(d.SOPInstanceUID), ())}" for d in objects),
        ),
        series_number=ATTACHMENT_SERIES_NUMBER + number - 1,
        series_description="For report attachment: key images, research use only",
    )
    return encode_selection(selection, source=source, context=context)
