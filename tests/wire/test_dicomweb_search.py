"""QIDO-RS through a socket: what matches, what is returned, what is refused, and where the index comes from."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, func, select

from builders.dicom import SeriesPlan, small_voxels, write_series
from builders.dicomweb import take_in
from dicom_node.tables import web_instances, web_series, web_studies

PATIENT = {"PatientName": "Müller^Jörg", "PatientID": "P-1", "StudyDate": "20210304", "StudyTime": "101500"}
OTHER = {"PatientName": "Doe^Jane", "PatientID": "P-2", "StudyDate": "20230102", "StudyTime": "235959.5"}


@pytest.fixture(scope="module")
def filled(shared_web, tmp_path_factory):
    """Two studies: MR with two series of two and three slices, CT with one slice."""
    plans = [
        SeriesPlan(voxels=small_voxels(2), study="a", series="t2", number=1, attributes=PATIENT),
        SeriesPlan(voxels=small_voxels(3), study="a", series="t1", number=2, attributes=PATIENT),
        SeriesPlan(voxels=small_voxels(1), study="b", series="ct", modality="CT", attributes=OTHER),
    ]
    for number, plan in enumerate(plans):
        take_in(shared_web.node, write_series(tmp_path_factory.mktemp(str(number)), plan))
    return shared_web, plans


def value(entry, tag):
    return entry[tag].get("Value", [None])[0]


def values(entries, tag):
    return [value(entry, tag) for entry in entries]


def test_the_study_list_of_a_viewer(filled):
    web, plans = filled
    query = "limit=101&offset=0&fuzzymatching=false&includefield=00081030,00080060,00080090,00100030"
    newest, oldest = web.json(f"/studies?{query}")
    assert values([newest, oldest], "0020000D") == [plans[2].study_instance_uid, plans[0].study_instance_uid]
    assert value(oldest, "00100010") == {"Alphabetic": "Müller^Jörg"}
    assert value(oldest, "00080005") == "ISO_IR 192"
    assert (oldest["00080061"]["Value"], value(oldest, "00201206"), value(oldest, "00201208")) == (["MR"], 2, 5)
    assert value(oldest, "00081190") == f"{web.url}/studies/{plans[0].study_instance_uid}"
    assert value(oldest, "00081030") == "Spine"
    assert value(oldest, "00080056") == "ONLINE"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["P-2", "P-1"]),
        ("PatientID=P-1", ["P-1"]),
        ("00100020=P-1", ["P-1"]),
        ("00100020=p-1", []),
        ("PatientID=P-*", ["P-2", "P-1"]),
        ("PatientID=P-?", ["P-2", "P-1"]),
        ("PatientID=", ["P-2", "P-1"]),
        ("PatientName=m%C3%BCller*", ["P-1"]),
        ("PatientName=DOE^JANE", ["P-2"]),
        ("PatientName=Doe", []),
        ("StudyDate=20210304", ["P-1"]),
        ("StudyDate=20210101-20211231", ["P-1"]),
        ("StudyDate=20220101-", ["P-2"]),
        ("StudyDate=-20220101", ["P-1"]),
        ("StudyTime=1015", ["P-1"]),
        ("StudyTime=200000-235959", ["P-2"]),
        ("ModalitiesInStudy=CT", ["P-2"]),
        ("ModalitiesInStudy=CT,MR", ["P-2", "P-1"]),
        ("00080061=US", []),
        ("PatientID=P-1&StudyDate=20230102", []),
        ("limit=1", ["P-2"]),
        ("limit=1&offset=1", ["P-1"]),
        ("limit=0", []),
        ("offset=7", []),
        ("PatientID=P-1'%20OR%20'1'='1", []),
        ("PatientID=%25", []),
        ("PatientID=*****************************************b", []),
    ],
)
def test_what_matches(filled, query, found):
    assert values(filled[0].json(f"/studies?{query}"), "00100020") == found


def test_studies_by_uid(filled):
    web, plans = filled
    first, second = plans[0].study_instance_uid, plans[2].study_instance_uid
    assert len(web.json(f"/studies?StudyInstanceUID={first}")) == 1
    assert len(web.json(f"/studies?0020000D={first},{second}")) == 2
    assert len(web.json(f"/studies?0020000D={first}%5C{second}")) == 2
    assert web.json("/studies?StudyInstanceUID=1.2.3") == []


def test_series_and_instances_of_a_study(filled):
    web, plans = filled
    study, series = plans[0].study_instance_uid, plans[1].series_instance_uid
    found = web.json(f"/studies/{study}/series?includefield=00080021,0008103E")
    assert values(found, "00200011") == [1, 2]
    assert values(found, "00201209") == [2, 3]
    assert values(found, "00080021") == ["20200102", "20200102"]
    assert values(web.json(f"/studies/{study}/series?SeriesNumber=2"), "0020000E") == [series]
    assert values(web.json(f"/studies/{study}/series/{series}/instances"), "00200013") == [1, 2, 3]
    assert len(web.json(f"/studies/{study}/instances")) == 5
    (one,) = web.json(f"/studies/{study}/instances?SOPInstanceUID={plans[0].sop_instance_uid(1)}")
    assert (value(one, "00280010"), value(one, "00280011"), value(one, "0020000E")) == (
        32,
        24,
        plans[0].series_instance_uid,
    )
    assert web.json(f"/studies/{plans[2].study_instance_uid}/series/{series}/instances") == []
    assert web.json("/studies/1.2.3/series") == []


def test_series_and_instances_of_all_studies_match_by_every_level(filled):
    web, plans = filled
    assert len(web.json("/series")) == 3
    assert values(web.json("/series?Modality=CT"), "0020000E") == [plans[2].series_instance_uid]
    assert len(web.json("/series?PatientID=P-1")) == 2
    assert len(web.json("/instances?PatientID=P-1&SeriesNumber=2")) == 3
    assert len(web.json("/instances?ModalitiesInStudy=CT")) == 1
    assert values(web.json("/instances?InstanceNumber=3"), "00080018") == [plans[1].sop_instance_uid(2)]


def test_any_attribute_may_be_included(filled):
    web, plans = filled
    study = plans[0].study_instance_uid
    (entry, _) = web.json(f"/studies/{study}/series?includefield=EchoTime&includefield=00181314,PatientAge")
    assert (value(entry, "00180081"), value(entry, "00181314"), value(entry, "00101010")) == (110.0, 90.0, "060Y")
    assert "00080070" not in entry
    assert "00080070" in web.json(f"/studies/{study}/series?includefield=all")[0]


def test_what_is_left_out_is_said(filled):
    answer = filled[0].get("/studies?limit=1&fuzzymatching=true")
    said = answer.headers.get_list("warning")
    assert any("additional results" in text for text in said)
    assert any("Only literal matching" in text for text in said)
    assert "warning" not in filled[0].get("/studies?limit=2").headers


@pytest.mark.parametrize(
    "query",
    [
        "Nonsense=1",
        "00000000=1",
        "StudyDate=yesterday",
        "StudyDate=-",
        "limit=-1",
        "limit=1e9",
        "limit=99999999999999999999",
        "offset=x",
        "fuzzymatching=perhaps",
        "includefield=Nonsense",
        "StudyInstanceUID=../../etc/passwd",
        "StudyInstanceUID=1'--",
        "PixelData=1",
        "SeriesNumber=1",
        "PatientID=" + "x" * 2000,
    ],
)
def test_a_query_that_is_none_is_a_problem(filled, query):
    answer = filled[0].get(f"/studies?{query}")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) == {"type", "title", "status", "detail"}


def test_a_path_that_is_no_uid_is_a_problem(filled):
    for path in ("/studies/..%2F..%2Fetc/series", "/studies/1'/series", "/studies/" + "1" * 65 + "/series"):
        assert filled[0].get(path).status_code in {400, 404}, path


def test_only_json_is_made(filled):
    web, _ = filled
    assert web.get("/studies", {"Accept": "application/dicom+xml"}).status_code == 406
    assert web.get("/studies", {"Accept": "application/json"}).headers["content-type"] == "application/json"
    assert web.get("/studies", {"Accept": "*/*"}).headers["content-type"] == "application/dicom+json"
    assert web.get("/studies?accept=application/dicom%2Bjson", {"Accept": "text/html"}).status_code == 200
    head = web.get("/studies", method="HEAD")
    assert (head.status_code, head.content) == (200, b"")


def test_the_index_is_made_again_when_it_is_lost(filled):
    """Rows may go at any time, wholly or in part; what is received later is found as well."""
    web, plans = filled
    before = web.json("/instances")
    with web.node.engine.begin() as connection:
        for table in (web_instances, web_series, web_studies):
            connection.execute(delete(table))
    study = plans[0].study_instance_uid
    assert len(web.json(f"/studies/{study}/instances")) == 5
    with web.node.engine.begin() as connection:
        assert connection.execute(select(func.count()).select_from(web_instances)).scalar() == 5
        connection.execute(delete(web_instances).where(web_instances.c.number == 1))
    assert len(web.json(f"/studies/{study}/instances")) == 5
    assert [entry for entry in before if value(entry, "0020000D") == study] == web.json(f"/studies/{study}/instances")


def test_what_is_received_later_is_found(web, tmp_path):
    first = SeriesPlan(voxels=small_voxels(1), study="b", series="ct", modality="CT", attributes=OTHER)
    take_in(web.node, write_series(tmp_path / "first", first))
    assert len(web.json("/instances")) == 1
    late = SeriesPlan(voxels=small_voxels(4), study="b", series="late", number=9, attributes=OTHER)
    take_in(web.node, write_series(tmp_path / "late", late))
    assert len(web.json("/instances")) == 5
    (study,) = web.json(f"/studies?StudyInstanceUID={first.study_instance_uid}")
    assert (study["00080061"]["Value"], value(study, "00201206"), value(study, "00201208")) == (["CT", "MR"], 2, 5)
