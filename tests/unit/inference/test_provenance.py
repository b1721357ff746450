import re
import uuid

from inference.provenance import deterministic_uid, tracking_uid


def test_uids_are_valid_and_repeat():
    uid = deterministic_uid("sr", "1.2.3", "0.1.0")
    assert uid == deterministic_uid("sr", "1.2.3", "0.1.0")
    assert re.fullmatch(r"2\.25\.[1-9][0-9]{0,38}", uid)
    assert uuid.UUID(int=int(uid[5:])).version == 8


def test_parts_are_not_confused_with_each_other():
    assert deterministic_uid("a", "bc") != deterministic_uid("ab", "c")


def test_a_lesion_keeps_its_uid_whatever_model_sees_it():
    assert tracking_uid("1.2", "modic", "L4-L5") == tracking_uid("1.2", "modic", "L4-L5")
    assert tracking_uid("1.2", "modic", "L4-L5") != tracking_uid("1.2", "modic", "L5-S1")
