"""Retained views read from the headers of received images, of every kind and with every fault."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, SecondaryCaptureImageStorage
from sqlalchemy import delete

from builders.fluoroscopy import FRONTAL, LATERAL, Shot, write_selection, write_shots
from builders.posted_claims import claim_json, patient_json
from builders.reviews import record_file
from builders.web import serving
from claims.study import RetainedView, Study, ViewPlane
from dicom_node.dicomweb.held import Holdings
from dicom_node.dicomweb.index import SearchIndex
from dicom_node.tables import web_headers
from server.claims.documents import from_text
from server.claims.views import views_of
from server.compose import Node
from server.database import reading

PER_FRAME = "PerFrameFunctionalGroupsSequence"
UID = Shot(angles_deg=None).study_instance_uid


def views(node: Node, paths: list[Path]) -> tuple[RetainedView, ...]:
    """The views of what was received."""
    for number, path in enumerate(paths):
        record_file(node, path, float(number))
    SearchIndex(node.engine, Holdings(reading=partial(reading, node.engine), spool=node.spool)).refresh()
    with reading(node.engine) as connection:
        return views_of(connection, UID)


def one(node: Node, folder: Path, angles: tuple[float, float] | None = None, **attributes: Any) -> RetainedView:
    (view,) = views(node, write_shots(folder, [Shot(angles_deg=angles, attributes=attributes)]))
    return view


def nested(angles: tuple[float, float]) -> Dataset:
    """A functional group with an X-Ray Positioner macro (PS3.3 C.8.19.6.10)."""
    position, group = Dataset(), Dataset()
    position.PositionerPrimaryAngle, position.PositionerSecondaryAngle = angles
    group.PositionerPositionSequence = Sequence([position])
    return group


@pytest.mark.parametrize(
    ("angles", "attributes", "plane"),
    [
        (FRONTAL, {}, ViewPlane.FRONTAL),
        (LATERAL, {"PatientOrientation": ["A", "F"]}, ViewPlane.LATERAL),
        ((35.0, 0.0), {}, ViewPlane.OBLIQUE),
        (None, {"ViewPosition": "AP"}, ViewPlane.FRONTAL),
        (None, {"PatientOrientation": ["P", "F"]}, ViewPlane.LATERAL),
        (FRONTAL, {"ViewPosition": "LL"}, None),
        (FRONTAL, {"PositionerMotion": "DYNAMIC"}, None),
        (None, {PER_FRAME: Sequence([nested(LATERAL), nested((91.0, 1.0))])}, ViewPlane.LATERAL),
        (None, {PER_FRAME: Sequence([nested(LATERAL), nested(FRONTAL)])}, None),
        (None, {}, None),
    ],
)  # fmt: skip
def test_the_direction(
    node: Node, tmp_path: Path, angles: tuple[float, float] | None, attributes: dict[str, Any], plane: ViewPlane | None
) -> None:
    assert one(node, tmp_path, angles, **attributes).plane is plane


@pytest.mark.parametrize(("agent", "kept"), [("Iohexol 180", "Iohexol 180"), ("NONE", ""), ("", "")])
def test_contrast_agent_and_time(node: Node, tmp_path: Path, agent: str, kept: str) -> None:
    view = one(node, tmp_path, ContrastBolusAgent=agent)
    assert view.contrast_agent == kept
    assert f"{view.acquired_at:%Y-%m-%d %H:%M}" == "2026-06-01 10:15"


def test_no_time_is_no_time(node: Node, tmp_path: Path) -> None:
    assert one(node, tmp_path, AcquisitionDate="", ContentDate="").acquired_at is None


def test_a_time_that_is_none_is_no_time(node: Node, tmp_path: Path) -> None:
    (path,) = write_shots(tmp_path, [Shot(angles_deg=FRONTAL)])
    path.write_bytes(path.read_bytes().replace(b"20260601", b"20269999"))
    (view,) = views(node, [path])
    assert (view.acquired_at, view.plane) == (None, ViewPlane.FRONTAL)


def test_the_last_of_each_direction_is_final_unless_key_objects_name_others(node: Node, tmp_path: Path) -> None:
    times = ((FRONTAL, "100100"), (FRONTAL, "101000"), (LATERAL, "100500"))
    paths = write_shots(tmp_path, [Shot(angles_deg=angles, time=time) for angles, time in times])
    assert [view.is_final for view in views(node, paths)] == [False, True, True]
    assert [view.is_final for view in views(node, [write_selection(tmp_path / "ko.dcm", paths[:1])])] == [
        True,
        False,
        False,
    ]


def test_what_a_rejection_note_takes_back_is_no_view(node: Node, tmp_path: Path) -> None:
    paths = write_shots(tmp_path, [Shot(angles_deg=FRONTAL), Shot(angles_deg=LATERAL)])
    note = write_selection(tmp_path / "ko.dcm", paths[1:], codes.DCM.RejectedForQualityReasons)
    assert [view.plane for view in views(node, [*paths, note])] == [ViewPlane.FRONTAL]


@pytest.mark.parametrize(
    ("description", "plane"), [("CT GUIDED INJECTION L4", ViewPlane.CROSS_SECTION), ("Lumbar spine", None)]
)
def test_a_ct_is_one_view_and_a_slice_only_where_it_is_of_an_intervention(
    node: Node, tmp_path: Path, description: str, plane: ViewPlane | None
) -> None:
    changes = {"SOPClassUID": CTImageStorage, "Modality": "CT", "StudyDescription": description}
    paths = write_shots(
        tmp_path, [Shot(angles_deg=None, time=time, attributes=changes) for time in ("100000", "100100")]
    )
    (view,) = views(node, paths)
    assert (view.plane, f"{view.acquired_at:%H%M}") == (plane, "1001")


def test_screenshots_count_where_the_c_arm_sent_them(node: Node, tmp_path: Path) -> None:
    changes = {"SOPClassUID": SecondaryCaptureImageStorage}
    shots = [Shot(angles_deg=None, attributes=changes | {"Modality": modality}) for modality in ("XA", "OT")]
    assert len(views(node, write_shots(tmp_path, shots))) == 1


@pytest.mark.parametrize("is_stated", [True, False])
def test_a_claim_with_studies_of_its_own_is_kept_and_gets_their_views(
    node: Node, tmp_path: Path, *, is_stated: bool
) -> None:
    views(node, write_shots(tmp_path, [Shot(angles_deg=FRONTAL), Shot(angles_deg=LATERAL)]))
    own = {"study_instance_uid": UID, "date": "2026-06-01", "modality": "XA", "patient": patient_json("procedure")}
    line = {"number": 1, "procedure": "64635", "units": 1, "diagnoses": ["M47.816"], "bodies": ["L4"]}
    stated = {"views": [{"sop_instance_uid": "1.2.3", "plane": "oblique", "shows_needle": True}]} if is_stated else {}
    claim = claim_json("procedure", policy="medicare-facet-ablation", lines=[line], studies=[own | stated])
    with serving(node) as url, httpx.Client(base_url=f"{url}/api/v1", timeout=60) as http:
        made = http.post("/claims", json=claim, headers={"Idempotency-Key": "one"})
        assert made.status_code == 201, made.text
        found = http.get(f"/claims/{made.json()['claims'][0]['id']}/evidence").json()["evidence"]
    (planes,) = [one["sentence"] for one in found["criteria"] if one["criterion"] == "two_planes"]
    assert ("(1 oblique)" if is_stated else "(1 frontal, 1 lateral)") in planes


def test_a_study_that_was_kept_before_views_had_times_reads_back() -> None:
    view = '{"sop_instance_uid":"2","plane":"frontal"}'
    text = f'{{"uid":"1","date":null,"modality":"XA","patient_identifiers":[],"views":[{view}]}}'
    assert from_text(Study, text).views == (RetainedView(sop_instance_uid="2", plane=ViewPlane.FRONTAL),)


def test_an_image_whose_header_is_not_kept_is_a_view_of_which_nothing_is_known(node: Node, tmp_path: Path) -> None:
    paths = write_shots(tmp_path, [Shot(angles_deg=FRONTAL)])
    views(node, paths)
    with node.engine.begin() as connection:
        connection.execute(delete(web_headers))
        (view,) = views_of(connection, UID)
    assert view == RetainedView(sop_instance_uid=str(dcmread(paths[0]).SOPInstanceUID))
