"""The benchmark's arithmetic; its timings are never a test."""

from __future__ import annotations

import io

import pytest

pytest.importorskip("monai", reason="comparing engines needs the extra train (torch, monai, onnx)")

from rich.console import Console

from benchmarks.dicomweb import WebResult
from benchmarks.ingest import CASES, IngestResult
from benchmarks.reading import Reading
from benchmarks.receivers import RECEIVERS
from benchmarks.report import as_json, show

RATES = {"this node": (90.0, 300.0, 100.0), "Orthanc": (50.0, 50.0, 40.0), "storescp --fork": (200.0, 200.0, 200.0)}

ENGINES = {"ONNX Runtime": (0.2, 0.3, 0.9), "OpenVINO f32": (0.15, 0.1, 0.2)}
WEB = {
    name: WebResult(**dict.fromkeys(WebResult.__slots__, (s, 9.0, s)))
    for name, s in {"this node": 0.5, "Orthanc": 1.5}.items()
}
SENDING = {CASES[0]: {"this node": 400.0, "pynetdicom": 100.0, "storescu": 800.0}}
CLAIMS = {
    "load_s": 0.05,
    "checks": 500,
    "p50_ms": 5.5,
    "p95_ms": 7.5,
    "bulk": 10_000,
    "claims_per_s": 180.0,
    "resident_mib_early": 100.0,
    "resident_mib_end": 100.0,
}
READING = Reading(load_s=0.5, stages_s={"segmenting": 7.25}, read_s=11.5, peak_mib=700.0)


@pytest.fixture
def results():
    ingest = [
        IngestResult(
            case=case,
            receiver=receiver.name,
            images_per_s=RATES[receiver.name],
            start_s=(1.0, 2.0, 4.0),
            restart_s=(0.5,),
            resident_mib_idle=(10.0,),
            resident_mib_after=(20.0,),
        )
        for case in CASES
        for receiver in RECEIVERS
    ]
    return as_json(ingest, {"generated": [4.567]}, ENGINES, [READING], WEB, claims=CLAIMS, sending=SENDING)


def test_sending_is_compared_with_both_peers(results):
    (row,) = results["sending"]
    assert row["ratio"] == {"pynetdicom": 4.0, "storescu": 0.5}


def test_ratios_are_of_medians(results):
    for row in results["ingest"]:
        assert row["images_per_s"]["this node"] == 100.0
        assert row["ratio_to_orthanc"] == 2.0
        assert row["ratio_to_storescp"] == 0.5


def test_engines_are_compared_by_slices_in_the_same_time(results):
    assert results["engines"]["ONNX Runtime"]["ratio"] == 1.0
    assert results["engines"]["OpenVINO f32"] == {"seconds": [0.15, 0.1, 0.2], "median_s": 0.15, "ratio": 2.0}


def test_dicomweb_is_compared_by_speed(results):
    assert set(results["dicomweb"]["ratio_to_orthanc"].values()) == {3.0}
    assert results["dicomweb"]["series_mib_per_s"] == {"this node": 300, "Orthanc": 100}


def test_every_case_and_round_is_kept(results):
    assert [row["case"] for row in results["ingest"]] == [case.name for case in CASES]
    assert results["ingest"][0]["rounds"]["this node"] == [90.0, 300.0, 100.0]
    assert results["receivers"]["Orthanc"]["start_s"] == 2.0
    assert results["receivers"]["Orthanc"]["restart_s"] == 0.5
    assert results["latency_s"] == {"generated": [4.57]}


def test_the_table_shows_ratios_and_seconds(results):
    written = io.StringIO()
    show(results, Console(file=written, width=120))
    assert "2.00 x" in written.getvalue()
    assert "0.50 x" in written.getvalue()
    assert "4.6" in written.getvalue()
    assert "11.5" in written.getvalue()


def test_images_divide_evenly_among_associations():
    assert not [case.name for case in CASES if case.images % case.associations]
