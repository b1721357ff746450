"""Contrast and role from physics and geometry, never from the description."""

from __future__ import annotations

import csv

import pytest

from builders.series_facts import facts
from inference.geometry import Plane
from inference.series.facts import Contrast
from inference.series.role import SeriesRole, contrast_of, role_of


def times(repetition, echo, inversion=None):
    return {"repetition_time_ms": repetition, "echo_time_ms": echo, "inversion_time_ms": inversion}


CONTRASTS = [
    ("T1 TSE", times(600.0, 10.0), Contrast.T1),
    ("T1 at 3 T with a long TR", times(1200.0, 9.0), Contrast.T1),
    ("T2 TSE", times(3500.0, 110.0), Contrast.T2),
    ("T2 SPACE with restore pulse", {**times(1000.0, 124.0), "flip_angle_deg": 150.0}, Contrast.T2),
    ("PD", times(2500.0, 30.0), Contrast.PD),
    ("T2 with fat saturation", {**times(3500.0, 80.0), "scan_options": ("PFP", "FS")}, Contrast.T2_FAT_SAT),
    ("T1 with fat saturation", {**times(650.0, 12.0), "scan_options": ("FS",)}, Contrast.T1_FAT_SAT),
    ("STIR at 1.5 T", {**times(4000.0, 50.0, 160.0), "scanning_sequence": ("SE", "IR")}, Contrast.STIR),
    ("STIR at 3 T", {**times(4500.0, 40.0, 230.0), "scanning_sequence": ("IR",)}, Contrast.STIR),
    ("STIR whose sequence is called SE", times(4000.0, 60.0, 150.0), Contrast.STIR),
    ("T1 FLAIR", {**times(2200.0, 20.0, 850.0), "scanning_sequence": ("SE", "IR")}, Contrast.T1),
    ("T2 FLAIR", {**times(9000.0, 110.0, 2500.0), "scanning_sequence": ("SE", "IR")}, Contrast.OTHER),
    ("inversion without TI", {**times(4000.0, 60.0), "scanning_sequence": ("SE", "IR")}, Contrast.UNKNOWN),
    ("TI written as 0", times(3500.0, 110.0, 0.0), Contrast.T2),
    ("T2* gradient echo", {**times(600.0, 18.0), "scanning_sequence": ("GR",)}, Contrast.OTHER),
    ("T1 gradient echo", {**times(300.0, 4.0), "scanning_sequence": ("GR",)}, Contrast.OTHER),
    ("balanced SSFP", {**times(5.0, 2.5), "scanning_sequence": ("GR",)}, Contrast.OTHER),
    ("GRASE", {**times(3000.0, 100.0), "scanning_sequence": ("GR", "SE")}, Contrast.OTHER),
    ("echo planar", {**times(4000.0, 90.0), "scanning_sequence": ("EP", "SE")}, Contrast.OTHER),
    ("diffusion", {**times(4000.0, 90.0), "diffusion_b": 600.0}, Contrast.OTHER),
    (
        "gradient echo that does not name itself",
        {**times(600.0, 18.0), "scanning_sequence": (), "flip_angle_deg": 25.0},
        Contrast.OTHER,
    ),
    ("only TR and TE known", {**times(600.0, 10.0), "scanning_sequence": ()}, Contrast.T1),
    ("no TE", times(600.0, None), Contrast.UNKNOWN),
    ("no TR", times(None, 100.0), Contrast.UNKNOWN),
    ("between T1 and T2", times(1400.0, 20.0), Contrast.OTHER),
    ("short TR, long TE", times(500.0, 90.0), Contrast.OTHER),
    ("Dixon water of T2", {"image_type": ("DERIVED", "PRIMARY", "WATER")}, Contrast.T2_FAT_SAT),
    ("Dixon in-phase of T2", {"image_type": ("DERIVED", "PRIMARY", "IN_PHASE")}, Contrast.T2),
    ("Dixon fat", {"image_type": ("DERIVED", "PRIMARY", "FAT")}, Contrast.OTHER),
    ("Dixon opposed-phase", {"image_type": ("DERIVED", "PRIMARY", "OUT_PHASE")}, Contrast.OTHER),
    ("phase image", {"image_type": ("ORIGINAL", "PRIMARY", "P")}, Contrast.OTHER),
    ("CT", {"modality": "CT"}, Contrast.NOT_APPLICABLE),
]


@pytest.mark.parametrize(("changes", "expected"), [c[1:] for c in CONTRASTS], ids=[c[0] for c in CONTRASTS])
def test_contrast(changes, expected):
    assert contrast_of(facts(**changes)) is expected


@pytest.mark.parametrize("description", ["T1 sagittal", "STIR", "t2_tse_fs", "localizer", "LWS ax", None, ""])
def test_the_description_decides_nothing(description):
    found = facts(series_description=description)
    assert contrast_of(found) is Contrast.T2
    assert role_of(found) is SeriesRole.MR_SAGITTAL_T2
    unknown = facts(series_description=description, repetition_time_ms=None)
    assert contrast_of(unknown) is Contrast.UNKNOWN


ROLES = [
    ({}, SeriesRole.MR_SAGITTAL_T2),
    (times(600.0, 10.0), SeriesRole.MR_SAGITTAL_T1),
    ({**times(600.0, 10.0), "scan_options": ("FS",)}, SeriesRole.MR_SAGITTAL_T1_FS),
    ({"scan_options": ("FS",)}, SeriesRole.MR_SAGITTAL_T2_FS),
    (times(4000.0, 50.0, 160.0), SeriesRole.MR_SAGITTAL_STIR),
    (times(None, None), SeriesRole.MR_SAGITTAL_OTHER),
    (times(2500.0, 20.0), SeriesRole.MR_SAGITTAL_OTHER),
    ({"plane": Plane.AXIAL}, SeriesRole.MR_AXIAL_T2),
    ({"plane": Plane.AXIAL, **times(600.0, 10.0)}, SeriesRole.MR_AXIAL_T1),
    ({"plane": Plane.AXIAL, **times(None, None)}, SeriesRole.MR_AXIAL_OTHER),
    ({"plane": Plane.CORONAL}, SeriesRole.MR_OTHER),
    ({"plane": Plane.OBLIQUE}, SeriesRole.MR_OTHER),
    ({"plane": Plane.UNKNOWN}, SeriesRole.MR_OTHER),
    ({"image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, SeriesRole.LOCALIZER),
    ({"modality": "CT", "image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, SeriesRole.LOCALIZER),
    ({"image_type": ("DERIVED", "SECONDARY", "MPR")}, SeriesRole.DERIVED_IMAGE),
    ({"image_type": ("DERIVED", "PRIMARY", "ADC")}, SeriesRole.DERIVED_IMAGE),
    ({"image_type": ("DERIVED", "PRIMARY", "M")}, SeriesRole.MR_SAGITTAL_T2),
    ({"modality": "CT", "plane": Plane.AXIAL, "image_type": ("ORIGINAL", "PRIMARY", "AXIAL")}, SeriesRole.CT_AXIAL),
    ({"modality": "CT", "plane": Plane.SAGITTAL}, SeriesRole.CT_OTHER),
    ({"modality": "CT", "plane": Plane.AXIAL, "image_type": ("A", "B", "P")}, SeriesRole.CT_AXIAL),
    ({"modality": "DX", "plane": Plane.UNKNOWN, "view_position": "LL"}, SeriesRole.XRAY_LATERAL),
    ({"modality": "CR", "plane": Plane.UNKNOWN, "view_position": "AP"}, SeriesRole.XRAY_OTHER),
    ({"modality": "CR", "plane": Plane.UNKNOWN}, SeriesRole.XRAY_OTHER),
    ({"modality": "XA", "plane": Plane.UNKNOWN}, SeriesRole.FLUOROSCOPY),
    ({"modality": "RF", "plane": Plane.UNKNOWN}, SeriesRole.FLUOROSCOPY),
    ({"modality": "SR", "frame_count": 0, "rows": None}, SeriesRole.DERIVED_OBJECT),
    ({"modality": "SEG"}, SeriesRole.DERIVED_OBJECT),
    ({"modality": "US"}, SeriesRole.OTHER),
    ({"modality": ""}, SeriesRole.OTHER),
]


@pytest.mark.parametrize(("changes", "expected"), ROLES)
def test_role(changes, expected):
    assert role_of(facts(**changes)) is expected


def number(text):
    return float(text) if text else None


def test_every_spider_series_has_the_contrast_of_its_name(shared_folder):
    """360 real series of two makers; the one T2 that is a STIR (inversion, TI not published) is not guessed."""
    with (shared_folder("mr_spider_midsagittal") / "overview.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = {}
    for row in rows:
        sequence = tuple(row["ScanningSequence"].strip("[]'").split("', '"))
        series = facts(
            repetition_time_ms=number(row["RepetitionTime"]),
            echo_time_ms=number(row["EchoTime"]),
            flip_angle_deg=number(row["FlipAngle"]),
            scanning_sequence=sequence,
        )
        name = "T1" if row["new_file_name"].lower().endswith("t1") else "T2"
        found.setdefault((name, contrast_of(series).value), []).append(row["new_file_name"])
    assert {key: len(value) for key, value in found.items()} == {
        ("T1", "T1"): 158,
        ("T2", "T2"): 201,
        ("T2", "UNKNOWN"): 1,
    }
