"""Key object selections for an attachment: title, references with frames, validity."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
from pydicom.uid import EnhancedMRImageStorage

from builders.findings import context_of
from dicom_node.derived import from_bytes, to_bytes
from dicom_node.key_objects import encode_report_attachment
from dicom_node.sr.checklist import value_of


def test_it_names_images_with_their_frames_and_is_valid(tmp_path: Path, series, dciodvfy):
    image, other = deepcopy(series.headers[1]), series.headers[2]
    image.SOPClassUID = EnhancedMRImageStorage
    note = encode_report_attachment(
        [image, other],
        frames={str(image.SOPInstanceUID): (3, 7)},
        description="Key images of L1 for a claim",
        source=image,
        context=context_of(str(image.StudyInstanceUID)),
        number=2,
    )
    path = tmp_path / "kos.dcm"
    path.write_bytes(to_bytes(note))
    assert dciodvfy(path) == []
    read = from_bytes(path.read_bytes())
    assert value_of(read, "ConceptNameCodeSequence") == "113020"
    assert read.Modality == "KO"
    assert read.SeriesNumber == 9802
    images = [item for item in read.ContentSequence if item.ValueType == "IMAGE"]
    assert [list(i.ReferencedSOPSequence[0].get("ReferencedFrameNumber") or []) for i in images] == [[3, 7], []]
    assert "ContributionDateTime" not in str(read)


def test_other_frames_or_another_number_are_another_object(series):
    image = series.headers[0]

    def uid(frames: tuple[int, ...], number: int) -> str:
        note = encode_report_attachment(
            [image],
            frames={str(image.SOPInstanceUID): frames},
            description="x",
            source=image,
            context=context_of(str(image.StudyInstanceUID)),
            number=number,
        )
        return str(note.SOPInstanceUID)

    assert len({uid((1,), 1), uid((2,), 1), uid((1,), 2)}) == 3
    assert uid((1,), 1) == uid((1,), 1)


def test_a_selection_of_nothing_is_refused(series):
    image = series.headers[0]
    with pytest.raises(ValueError, match="At least one object"):
        encode_report_attachment(
            [], frames={}, description="x", source=image, context=context_of(str(image.StudyInstanceUID))
        )
