"""Derived UIDs: equal for equal origins, different for everything that makes another object."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders.findings import MODEL
from dicom_node.file_meta import IMPLEMENTATION_CLASS_UID
from dicom_node.uids import (
    ObjectRole,
    Origin,
    device_uid,
    measurement_tracking_uid,
    server_device_uid,
)

ORIGIN = Origin(
    study_instance_uid="1.2.3", revision=1, inputs=("1.2.3.1", "1.2.3.2"), software_version="0.1.0", models=(MODEL,)
)


def test_order_and_repetition_of_inputs_change_nothing():
    other = replace(ORIGIN, inputs=("1.2.3.2", "1.2.3.1", "1.2.3.2"))
    assert other.uid(ObjectRole.REPORT) == ORIGIN.uid(ObjectRole.REPORT)


@pytest.mark.parametrize(
    "change",
    [
        {"study_instance_uid": "1.2.4"},
        {"revision": 2},
        {"inputs": ("1.2.3.1",)},
        {"software_version": "0.1.1"},
        {"models": ()},
        {"models": (replace(MODEL, sha256="cd" * 32),)},
        {"models": (replace(MODEL, version="1.2.1"),)},
        {"models": (replace(MODEL, engine="onnxruntime 1.32.0 cpu"),)},
        {"config_digest": "x"},
    ],
)
def test_what_makes_another_object_makes_another_uid(change):
    assert replace(ORIGIN, **change).uid(ObjectRole.REPORT) != ORIGIN.uid(ObjectRole.REPORT)


def test_another_engine_makes_another_object_by_the_same_device():
    one, other = (replace(MODEL, engine=engine) for engine in ("onnxruntime 1.32.0 cpu", "openvino 2026.4.1 cpu f32"))
    assert replace(ORIGIN, models=(one,)).uid("sr") != replace(ORIGIN, models=(other,)).uid("sr")
    assert device_uid(one) == device_uid(other) == device_uid(MODEL)


def test_roles_differ():
    uids = {ORIGIN.uid(*role) for role in (("sr",), ("sr", "series"), ("seg",), ("seg", "1.2.3.9"), ("seg", "1.2.3.8"))}
    assert len(uids) == 5


@pytest.mark.parametrize(
    "uid",
    [
        ORIGIN.uid(ObjectRole.SEGMENTATION),
        device_uid(MODEL),
        server_device_uid("SPINEAI"),
        measurement_tracking_uid("2.25.1", "anterior_height"),
        IMPLEMENTATION_CLASS_UID,
    ],
)
def test_every_uid_is_of_the_uuid_form(uid):
    """PS3.5 B.2: 2.25. and a UUID as a decimal number."""
    root, number = uid.rsplit(".", 1)
    assert root == "2.25"
    assert 0 < int(number) < 2**128
    assert number == str(int(number))


def test_a_retrained_model_is_another_device():
    assert device_uid(replace(MODEL, sha256="cd" * 32)) != device_uid(MODEL)
    assert server_device_uid("A") != server_device_uid("B")
