"""What all derived objects share: identity byte for byte, character sets, time zone, plain text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO

import pydicom
import pytest
from pydicom.dataset import Dataset

from builders.dicom import SeriesPlan, slice_dataset, small_voxels
from builders.findings import context_of
from dicom_node.derived import ReportContext, copy_identity, finish, from_bytes, plain, stand_in, to_bytes

NAMES = {
    "ISO_IR 192": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "ISO_IR 100": "Müller^Jörg",
    "ISO_IR 144": "Люкceмбypг",
    "GB18030": "Wang^XiaoDong=王^小东",
    "\\ISO 2022 IR 87": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "ISO 2022 IR 13\\ISO 2022 IR 87": "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    "\\ISO 2022 IR 149": "Hong^Gildong=洪^吉洞=홍^길동",
}


def source_of(character_set: str | None, name: str, **attributes: object) -> tuple[bytes, Dataset]:
    """A written source: its bytes, and the header as a reader gets it."""
    dataset = slice_dataset(SeriesPlan(voxels=small_voxels(1)), 0)
    if character_set is None:
        del dataset.SpecificCharacterSet
    else:
        dataset.SpecificCharacterSet = character_set.split("\\")
    dataset.PatientName = name
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue(), pydicom.dcmread(BytesIO(buffer.getvalue()), stop_before_pixels=True)


def derived_from(header: Dataset, context: ReportContext | None = None) -> Dataset:
    """A minimal derived object after a round trip through bytes."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.34", "2.25.7"
    finish(dataset, header, context or context_of(str(header.StudyInstanceUID)))
    return from_bytes(to_bytes(dataset))


def raw(dataset: Dataset, keyword: str) -> bytes:
    element = dataset.get_item(keyword)
    assert isinstance(element.value, bytes), "the element was decoded already"
    return element.value


@pytest.mark.parametrize(("character_set", "name"), NAMES.items(), ids=NAMES)
def test_names_are_copied_byte_for_byte(character_set, name):
    data, header = source_of(character_set, name)
    result = derived_from(header)
    original = pydicom.dcmread(BytesIO(data), stop_before_pixels=True)
    assert raw(result, "PatientName") == raw(original, "PatientName")
    assert result.SpecificCharacterSet == original.SpecificCharacterSet
    assert str(result.PatientName) == name


@pytest.mark.parametrize(("character_set", "name"), NAMES.items(), ids=NAMES)
def test_a_header_that_was_looked_at_gives_the_same_bytes(character_set, name):
    _, header = source_of(character_set, name)
    _, fresh = source_of(character_set, name)
    assert str(header.PatientName) == name
    assert header.AccessionNumber
    assert to_bytes(derived_from(header)) == to_bytes(derived_from(fresh))


@pytest.mark.parametrize("character_set", [None, "ISO_IR 100", "ISO_IR 192"])
def test_plain_ascii_is_declared_as_utf_8(character_set):
    _, header = source_of(character_set, "Invented^Patient")
    assert derived_from(header).SpecificCharacterSet == "ISO_IR 192"


def test_bytes_without_a_declared_set_stay_undeclared():
    """A mislabelled source stays mislabelled in the same way: nothing is guessed about a name."""
    data, _ = source_of(None, "Muller^Jorg")
    header = pydicom.dcmread(BytesIO(data.replace(b"Muller^Jorg", b"M\xfcller^Jorg")), stop_before_pixels=True)
    result = derived_from(header)
    assert "SpecificCharacterSet" not in result
    assert raw(result, "PatientName").startswith(b"M\xfcller")


def test_padding_and_odd_values_are_kept_as_they_are():
    data, _ = source_of("ISO_IR 100", "Invented^Patient")
    changed = data.replace(b"19600101", b"1960XX01")
    result = derived_from(pydicom.dcmread(BytesIO(changed), stop_before_pixels=True))
    assert raw(result, "PatientBirthDate") == b"1960XX01"


def test_missing_identity_is_empty_and_not_invented():
    _, header = source_of("ISO_IR 100", "Invented^Patient")
    for keyword in ("PatientID", "AccessionNumber", "StudyID", "ReferringPhysicianName"):
        del header[keyword]
    result = derived_from(header)
    for keyword in ("PatientID", "AccessionNumber", "StudyID", "ReferringPhysicianName"):
        assert keyword in result
        assert not result.get(keyword)


def test_issuer_and_procedure_codes_are_copied_in_the_declared_set():
    issuer, procedure = Dataset(), Dataset()
    issuer.LocalNamespaceEntityID = "Zürich"
    procedure.CodeValue, procedure.CodingSchemeDesignator, procedure.CodeMeaning = "MRLS", "99SITE", "MR Wirbelsäule"
    _, header = source_of(
        "ISO_IR 100", "A^B", IssuerOfAccessionNumberSequence=[issuer], ProcedureCodeSequence=[procedure]
    )
    result = derived_from(header)
    assert result.SpecificCharacterSet == "ISO_IR 192"
    assert result.IssuerOfAccessionNumberSequence[0].LocalNamespaceEntityID == "Zürich"
    assert result.ProcedureCodeSequence[0].CodeMeaning == "MR Wirbelsäule"


def test_a_stand_in_holds_no_identity():
    _, header = source_of("ISO_IR 192", NAMES["ISO_IR 192"], PatientComments="x")
    copy = stand_in(header, ("Modality",))
    assert copy.SOPInstanceUID == header.SOPInstanceUID
    assert [copy.get(k) or "" for k in ("PatientName", "PatientID", "PatientBirthDate", "AccessionNumber")] == [""] * 4
    assert "PatientComments" not in copy


def test_text_of_the_scanner_that_is_not_ascii_is_left_out():
    _, header = source_of("ISO_IR 192", "A^B", Manufacturer="Gerät", ManufacturerModelName="Plain")
    copy = stand_in(header)
    assert "Manufacturer" not in copy
    assert copy.ManufacturerModelName == "Plain"


def test_identity_is_written_without_a_context():
    _, header = source_of("ISO_IR 100", "A^B")
    dataset = Dataset()
    copy_identity(dataset, header)
    assert dataset.PatientID == header.PatientID


@pytest.mark.parametrize(
    ("offset", "time", "written"),
    [
        (None, "093015", "+0000"),
        ("+0900", "183015", "+0900"),
        ("-0330", "060015", "-0330"),
        ("nonsense", "093015", "+0000"),
    ],
)
def test_times_are_in_the_sources_zone(offset, time, written):
    _, header = source_of("ISO_IR 100", "A^B")
    if offset is not None:
        header.add_new("TimezoneOffsetFromUTC", "SH", offset)
    result = derived_from(header)
    assert (result.ContentDate, result.ContentTime, result.TimezoneOffsetFromUTC) == ("20261124", time, written)


def test_without_the_sources_zone_the_contexts_own_is_used():
    _, header = source_of("ISO_IR 100", "A^B")
    context = ReportContext(
        study_instance_uid=str(header.StudyInstanceUID),
        revision=1,
        software_version="0.1.0",
        created=datetime(2026, 11, 24, 23, 30, tzinfo=timezone(timedelta(hours=-5))),
        server_uid="2.25.5",
    )
    result = derived_from(header, context)
    assert (result.SeriesDate, result.SeriesTime, result.TimezoneOffsetFromUTC) == ("20261124", "233000", "-0500")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"created": datetime(2026, 1, 1)}, "created must have a time zone"),  # noqa: DTZ001 - the point of the test
        ({"revision": 0}, "revision must be 1 or more, got 0"),
    ],
)
def test_a_context_that_cannot_be_is_refused(change, sentence):
    values = {"study_instance_uid": "1.2", "revision": 1, "created": datetime(2026, 1, 1, tzinfo=UTC), **change}
    with pytest.raises(ValueError, match=sentence):
        ReportContext(software_version="0.1.0", server_uid="2.25.5", **values)


def test_every_object_says_that_it_is_research():
    _, header = source_of("ISO_IR 100", "A^B")
    result = derived_from(header)
    assert result.ContentQualification == "RESEARCH"
    assert result.SeriesDescription == "AI findings: unverified, research use only"
    later = derived_from(header, context_of(str(header.StudyInstanceUID), revision=12))
    assert later.SeriesDescription == "AI findings, revision 12: unverified, research use only"
    assert len(later.SeriesDescription) <= 64


def test_our_own_text_is_ascii():
    assert plain("slip ≥ 3 mm ± 0.5 mm at 41° – “L4”") == 'slip >= 3 mm +/- 0.5 mm at 41 deg - "L4"'
    assert plain("山") == "?"
