"""What is taken as a workitem's data set, and what is refused by name."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicom_node.dicomweb.refusals import WebRefusal
from dicom_node.ups.elements import dataset, element, parse
from dicom_node.ups.query import parse_query

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["vr", "Value", "00741000", "00404018", "Alphabetic", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


def body(*elements: tuple[str, dict]) -> bytes:
    return json.dumps(dataset(*elements)).encode()


@given(JSON)
@settings(max_examples=300, deadline=None)
def test_any_json_is_taken_or_refused(document: object) -> None:
    try:
        taken = parse(json.dumps(document).encode("utf-8", "surrogatepass"))
    except WebRefusal:
        return
    json.dumps(taken, allow_nan=False).encode()
    Dataset.from_json(taken)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"[{},{}]",
        b"null",
        b"[" * 100_000,
        b'{"x":{"vr":"LO"}}',
        b'{"00741204":"x"}',
        b'{"00741204":{"vr":"LO","BulkDataURI":"http://elsewhere"}}',
        b'{"00741204":{"vr":"UI","Value":["1"]}}',
        b'{"00741204":{"vr":"LO","Value":"x"}}',
        b'{"00741204":{"vr":"LO","Value":["\\u0000"]}}',
        b'{"00741204":{"vr":"LO","Value":["\\ud800"]}}',
        b'{"00741204":{"vr":"LO","Value":[7]}}',
        b'{"00741204":{"vr":"LO","Value":["' + b"x" * 65 + b'"]}}',
        b'{"00081195":{"vr":"UI","Value":["1..2"]}}',
        b'{"00741000":{"vr":"CS","Value":["done"]}}',
        b'{"00404005":{"vr":"DT","Value":["yesterday"]}}',
        b'{"00741004":{"vr":"DS","Value":[NaN]}}',
        b'{"00741004":{"vr":"DS","Value":[1e999]}}',
        b'{"00741004":{"vr":"DS","Value":[' + b"9" * 400 + b"]}}",
        b'{"00741004":{"vr":"DS","Value":[true]}}',
        b'{"00100010":{"vr":"PN","Value":["DOE"]}}',
        b'{"00100010":{"vr":"PN","Value":[{"Alphabetic":"a\\u001bb"}]}}',
        b'{"00404018":{"vr":"SQ","Value":[null]}}',
        b'{"00404018":{"vr":"SQ","Value":["DOE^JOHN"]}}',
        b'{"7FE00010":{"vr":"OW","Value":["AAAA"]}}',
    ],
)
def test_what_is_no_data_set_is_refused_without_repeating_it(data: bytes) -> None:
    with pytest.raises(WebRefusal) as caught:
        parse(data)

    assert caught.value.status == 400
    assert "DOE" not in str(caught.value)


def test_sequences_nest_only_so_deep() -> None:
    deep = {"00741204": {"vr": "LO", "Value": ["x"]}}
    for _ in range(20):
        deep = {"00404018": {"vr": "SQ", "Value": [deep]}}

    with pytest.raises(WebRefusal, match="nest"):
        parse(json.dumps(deep).encode())


def test_an_array_of_one_and_small_letters_are_taken() -> None:
    assert parse(b'[{"0074100a":{"vr":"UR","Value":["tel:1"]}}]') == {"0074100A": {"vr": "UR", "Value": ["tel:1"]}}


@pytest.mark.parametrize(
    "words",
    [
        {"TransactionUID": "1.2"},
        {"00081195": "*"},
        {"NoSuchThing": "1"},
        {"limit": "-1"},
        {"offset": "9" * 30},
        {"ScheduledWorkitemCodeSequence": "x"},
        {"PatientName.CodeValue": "x"},
        {"ScheduledProcedureStepStartDateTime": "a-b"},
        {"includefield": "nonsense"},
    ],
)
def test_a_search_that_cannot_be_is_refused(words: dict[str, str]) -> None:
    with pytest.raises(WebRefusal) as caught:
        parse_query(words.items())

    assert caught.value.status == 400


def test_a_search_reaches_into_sequences_and_over_ranges() -> None:
    item = dataset(element("CodeValue", "110004"))
    data = dataset(
        element("ScheduledWorkitemCodeSequence", item),
        element("ScheduledProcedureStepStartDateTime", "20261130101500+0000"),
    )

    def fits(**words: str) -> bool:
        return parse_query((name.replace("__", "."), value) for name, value in words.items()).fits(data)

    assert fits(ScheduledWorkitemCodeSequence__CodeValue="110004")
    assert not fits(ScheduledWorkitemCodeSequence__CodeValue="110003")
    assert not fits(ScheduledStationNameCodeSequence__CodeValue="110003")
    assert fits(ScheduledProcedureStepStartDateTime="20261130-20261201")
    assert fits(ScheduledProcedureStepStartDateTime="-202611301015")
    assert not fits(ScheduledProcedureStepStartDateTime="20261201-")
