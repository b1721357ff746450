"""Files that are damaged, hostile or no DICOM: each a named outcome, and the rest of the study is still read."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import dcmread, uid
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from builders.dicom import SeriesPlan, slice_dataset, small_voxels, write_series
from dicom_node.reader import index_studies, index_study, read_volume, source_headers
from inference.errors import ReasonCode, UsageRefusal
from inference.series.role import SeriesRole, role_of

PLAN = SeriesPlan(voxels=small_voxels(4))


@pytest.fixture
def study(tmp_path):
    """Four good slices in a folder."""
    write_series(tmp_path, PLAN)
    return tmp_path


def only_rejected(folder):
    index = index_study([folder])
    (rejected,) = index.rejected
    assert str(folder) not in rejected.reason
    return index, rejected


@pytest.mark.parametrize("content", [b"", b"not DICOM at all" * 40, b"\0" * 5000, b"\xff" * 300, b"DICM" * 99])
def test_a_file_that_is_no_dicom_is_listed_and_the_rest_read(study, content):
    (study / "notes.txt").write_bytes(content)
    index, rejected = only_rejected(study)
    assert rejected.code is ReasonCode.NOT_DICOM
    assert rejected.path == study / "notes.txt"
    assert read_volume(index.series[0]).shape == (4, 32, 24)


@pytest.mark.parametrize("keep", [0.02, 0.1, 0.2, 0.3, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_listed_wherever_it_was_cut(study, keep):
    path = study / "001-0003.dcm"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    index, rejected = only_rejected(study)
    assert rejected.code in (ReasonCode.NOT_DICOM, ReasonCode.PIXEL_DATA)
    assert read_volume(index.series[0]).shape == (3, 32, 24)


def test_truncation_at_any_byte_never_escapes(tmp_path):
    write_series(tmp_path, SeriesPlan(voxels=small_voxels(1)))
    (good,) = tmp_path.iterdir()
    whole = good.read_bytes()
    pixels = len(whole) - 32 * 24 * 2
    for cut in range(0, pixels + 50, 29):
        good.write_bytes(whole[:cut])
        with pytest.raises(UsageRefusal, match="no DICOM instance can be read among 1 file"):
            index_study([tmp_path])


@pytest.mark.parametrize(
    ("offset", "value"), [(132, 0x03), (136, 0xFF), (144, 0x05), (148, 0xFF), (160, 0xFF), (131, 0)]
)
def test_damaged_meta_information_is_listed(study, offset, value):
    """pydicom raises errors of its own family on some of these bytes."""
    path = study / "001-0003.dcm"
    content = bytearray(path.read_bytes())
    content[offset] = value
    path.write_bytes(content)
    index = index_study([study])
    assert sum(series.facts.frame_count for series in index.series) + len(index.rejected) == 4


def test_a_truncated_middle_slice_is_a_gap_and_not_a_thicker_stack(study):
    path = study / "001-0001.dcm"
    path.write_bytes(path.read_bytes()[:-100])
    series = index_study([study]).series[0]
    assert series.facts.fault is None or series.facts.fault[0] is ReasonCode.SPACING
    write_series(study, SeriesPlan(voxels=small_voxels(6), series="six", number=6))
    path = study / "006-0002.dcm"
    path.write_bytes(path.read_bytes()[:-100])
    faults = {s.facts.frame_count: s.facts.fault for s in index_study([study]).series}
    assert faults[5][0] is ReasonCode.SPACING
    assert "1 slice(s) are missing" in faults[5][1]


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"])
def test_missing_identifiers_are_named(study, keyword):
    dataset = dcmread(study / "001-0000.dcm")
    del dataset[keyword]
    dataset.save_as(study / "001-0000.dcm", enforce_file_format=False)
    _, rejected = only_rejected(study)
    assert rejected.code is ReasonCode.NOT_DICOM
    assert f"no {keyword}" in rejected.reason


def test_no_preamble_is_read_when_the_data_set_names_itself(tmp_path):
    for index in range(3):
        dataset = slice_dataset(PLAN, index)
        del dataset.file_meta
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = True, True
        write_dataset(buffer, dataset)
        (tmp_path / f"{index}.dcm").write_bytes(buffer.getvalue())
    index = index_study([tmp_path])
    assert index.rejected == ()
    volume = read_volume(index.series[0])
    assert np.array_equal(volume.voxels[::-1], PLAN.voxels[:3].astype(np.float32))
    assert len(source_headers(index.series[0])) == 3


def test_dicomdir_is_ignored(study):
    directory = slice_dataset(PLAN, 0)
    directory.SOPClassUID = directory.file_meta.MediaStorageSOPClassUID = uid.MediaStorageDirectoryStorage
    directory.save_as(study / "index", enforce_file_format=True)
    (study / "DICOMDIR").write_bytes((study / "001-0000.dcm").read_bytes())
    index = index_study([study])
    assert index.rejected == ()
    assert len(index.series[0].files) == 4


def test_a_file_that_is_not_there_is_listed(study):
    index = index_study([study, study / "gone.dcm"])
    (rejected,) = index.rejected
    assert "cannot be opened (FileNotFoundError)" in rejected.reason


def test_a_damaged_functional_group_is_no_crash(tmp_path):
    """pydicom parses sequences late, and raises OSError for an item that is none."""
    dataset = slice_dataset(PLAN, 0)
    dataset.add_new(0x5200_9230, "OB", b"\xfe\xff\x00\xe1\x08\x00\x00\x00" + bytes(8))
    path = tmp_path / "0.dcm"
    dataset.save_as(path, enforce_file_format=True)
    content = path.read_bytes().replace(b"\x00\x52\x30\x92OB", b"\x00\x52\x30\x92SQ")
    path.write_bytes(content)
    assert index_study([tmp_path]).series[0].facts.frame_count == 1


def test_empty_folder_and_no_dicom_are_refused(tmp_path):
    with pytest.raises(UsageRefusal, match=r"among 0 file\(s\)$"):
        index_study([tmp_path])
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(UsageRefusal, match=r"among 1 file\(s\): the first says that the file is not a DICOM instance"):
        index_study([tmp_path])


def test_two_studies_are_refused_together_and_read_apart(tmp_path):
    write_series(tmp_path / "a", SeriesPlan(voxels=small_voxels(2), study="one"))
    write_series(tmp_path / "b", SeriesPlan(voxels=small_voxels(2), study="two"))
    with pytest.raises(UsageRefusal, match="2 studies"):
        index_study([tmp_path])
    assert len(index_studies([tmp_path])) == 2
    assert index_study([tmp_path / "a"]).series[0].facts.frame_count == 2


def test_the_same_path_given_twice_counts_once(study):
    paths = sorted(study.iterdir())
    assert index_study([study, *paths, study]).series[0].facts.notes == ()


def test_wrong_value_representations_do_not_matter(study):
    """TR as text in a binary VR, positions as LO, rows as a decimal string."""
    for path in sorted(study.iterdir()):
        dataset = dcmread(path)
        position = [str(v) for v in dataset.ImagePositionPatient]
        del dataset["ImagePositionPatient"]
        dataset.add_new(0x0020_0032, "LO", position)
        del dataset["RepetitionTime"]
        dataset.add_new(0x0018_0080, "FD", 3500.0)
        dataset.save_as(path, enforce_file_format=True)
    facts = index_study([study]).series[0].facts
    assert (facts.fault, facts.repetition_time_ms) == (None, 3500.0)


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [(0x0018_0080, "LO", "long"), (0x0018_0080, "OB", b"\x01\x02\x03\x04"), (0x0018_0080, "SQ", [])],
)
def test_a_value_that_cannot_be_understood_is_unknown(study, tag, vr, value):
    for path in sorted(study.iterdir()):
        dataset = dcmread(path)
        del dataset[tag]
        dataset.add_new(tag, vr, value)
        dataset.save_as(path, enforce_file_format=True)
    facts = index_study([study]).series[0].facts
    assert facts.repetition_time_ms is None
    assert facts.fault is None


@pytest.mark.parametrize("text", ["1.0\\2.0\\nan", "1.0\\2.0", "a\\b\\c", "inf\\0\\0"])
def test_a_position_that_is_none_is_refused(study, text):
    for path in sorted(study.iterdir()):
        dataset = dcmread(path)
        del dataset["ImagePositionPatient"]
        dataset.add_new(0x0020_0032, "LT", text)
        dataset.save_as(path, enforce_file_format=True)
    fault = index_study([study]).series[0].facts.fault
    assert fault == (ReasonCode.GEOMETRY, "4 of 4 frames have no valid ImagePositionPatient")


def test_huge_private_elements_are_skipped(study):
    for path in sorted(study.iterdir()):
        dataset = dcmread(path)
        block = dataset.private_block(0x0029, "BUILDER", create=True)
        block.add_new(0x10, "OB", bytes(3_000_000))
        block.add_new(0x11, "UN", bytes(1_000_000))
        dataset.save_as(path, enforce_file_format=True)
    series = index_study([study]).series[0]
    held = sum(len(frame.header.dataset) for frame in series.stacks[0].frames)
    assert held < 4 * 60
    assert all(0x0029_1010 not in frame.header.dataset for frame in series.stacks[0].frames)
    assert read_volume(series).shape == (4, 32, 24)


CHARACTER_SETS = [
    (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう", "腰椎"),
    (["GB18030"], "Wang^XiaoDong=王^小东", "腰椎 矢状位"),
    (["ISO_IR 192"], "Hong^Gildong=洪^吉洞=홍^길동", "요추 Wirbelsäule"),
    (["ISO_IR 100"], "Müller^Jürgen", "LWS sagittal Ü"),
    (["ISO_IR 144"], "Люкceмбypг", "Поясничный"),
]


@pytest.mark.parametrize(("terms", "name", "description"), CHARACTER_SETS)
def test_character_sets(tmp_path, terms, name, description):
    for index in range(2):
        dataset = slice_dataset(PLAN, index)
        dataset.SpecificCharacterSet = terms
        dataset.PatientName = name
        dataset.SeriesDescription = description
        dataset.save_as(tmp_path / f"{index}.dcm", enforce_file_format=True)
    series = index_study([tmp_path]).series[0]
    assert series.facts.series_description == description
    assert read_volume(series).shape == (2, 32, 24)
    assert str(source_headers(series)[0].PatientName) == name


def test_bytes_outside_the_declared_character_set_are_replaced(tmp_path):
    dataset = slice_dataset(PLAN, 0)
    del dataset["SpecificCharacterSet"]
    dataset.add_new(0x0008_103E, "UN", b"LWS \xff\xfe sag")
    dataset.save_as(tmp_path / "0.dcm", enforce_file_format=True)
    assert index_study([tmp_path]).series[0].facts.series_description.startswith("LWS ")


@pytest.mark.parametrize(
    ("sop_class", "modality"),
    [
        (uid.ComprehensiveSRStorage, "SR"),
        (uid.EncapsulatedPDFStorage, "DOC"),
        (uid.KeyObjectSelectionDocumentStorage, "KO"),
        (uid.GrayscaleSoftcopyPresentationStateStorage, "PR"),
        (uid.SegmentationStorage, "SEG"),
    ],
)
def test_objects_that_are_no_images_are_in_the_index_with_a_fault(study, sop_class, modality):
    dataset = slice_dataset(PLAN, 0)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "2.25.5"
    dataset.SeriesInstanceUID = "2.25.4"
    dataset.Modality = modality
    if modality != "SEG":
        for keyword in ("PixelData", "Rows", "Columns"):
            del dataset[keyword]
    dataset.save_as(study / "object.dcm", enforce_file_format=True)
    index = index_study([study])
    assert index.rejected == ()
    (series,) = [s for s in index.series if s.facts.series_instance_uid == "2.25.4"]
    assert role_of(series.facts) is SeriesRole.DERIVED_OBJECT
    assert series.facts.fault[0] is ReasonCode.MODALITY
    assert series.files == (study / "object.dcm",)


@pytest.mark.parametrize(
    "attributes",
    [
        {"BurnedInAnnotation": "YES"},
        {"ConversionType": "WSD"},
        {"SOPClassUID": uid.SecondaryCaptureImageStorage},
    ],
)
def test_burned_in_text_is_flagged(tmp_path, attributes):
    write_series(tmp_path, SeriesPlan(voxels=small_voxels(2), attributes=attributes))
    assert index_study([tmp_path]).series[0].facts.burned_in


@pytest.mark.parametrize(
    ("attributes", "years"),
    [
        ({"PatientAge": "017Y"}, 17),
        ({"PatientAge": "006M"}, 0.5),
        ({"PatientAge": None, "PatientBirthDate": "20100102"}, 10),
        ({"PatientAge": None, "PatientBirthDate": ""}, None),
        ({"PatientAge": None, "PatientBirthDate": "20300101"}, None),
    ],
)
def test_age(tmp_path, attributes, years):
    write_series(tmp_path, SeriesPlan(voxels=small_voxels(2), attributes=attributes))
    assert index_study([tmp_path]).series[0].facts.patient_age_years == pytest.approx(years, abs=0.02)


@pytest.mark.parametrize(
    ("attributes", "given"),
    [({}, False), ({"ContrastBolusAgent": "Gadovist"}, True), ({"ContrastBolusAgent": "NONE"}, False)],
)
def test_contrast_agent(tmp_path, attributes, given):
    write_series(tmp_path, SeriesPlan(voxels=small_voxels(2), attributes=attributes))
    assert index_study([tmp_path]).series[0].facts.contrast_agent is given


def test_contrast_agent_by_sequence(tmp_path):
    agent = Dataset()
    agent.CodeValue, agent.CodingSchemeDesignator, agent.CodeMeaning = "C-B03CA", "SRT", "Gadolinium"
    write_series(tmp_path, SeriesPlan(voxels=small_voxels(2), attributes={"ContrastBolusAgentSequence": [agent]}))
    assert index_study([tmp_path]).series[0].facts.contrast_agent
