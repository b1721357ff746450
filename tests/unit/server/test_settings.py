from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from inference.errors import SettingRefusal
from inference.marrow_findings import MarrowPolicy
from inference.spine_findings import FracturePolicy
from inference.stenosis import StenosisPolicy
from server.detectors import config_digest, detector_settings
from server.exposure import is_loopback
from server.peers import DicomPeer, StowPeer, parse_destination, parse_dicom_peer
from server.settings import Settings
from server.settings_file import environment_of, load


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "spine-node.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_are_the_contract() -> None:
    made = load()

    assert (made.ae_title, made.dicom_port, made.http_port, made.http_host) == ("SPINEAI", 11112, 8080, "127.0.0.1")
    assert made.resolved_database_url().endswith("/spine-data/spine.sqlite")


def test_command_line_wins_over_environment_over_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write(tmp_path, 'ae_title = "FILE"\ndicom_port = 1\nhttp_port = 2\n')
    monkeypatch.setenv("SPINE_DICOM_PORT", "10")
    monkeypatch.setenv("SPINE_AE_TITLE", "ENVIRONMENT")

    made = load({"ae_title": "OPTION"}, config=config)

    assert (made.ae_title, made.dicom_port, made.http_port) == ("OPTION", 10, 2)


def test_what_archives_do_not_expect_is_sent_to_none_unless_it_is_asked_for() -> None:
    assert load().kept_roles() == {"text_sr", "verified_text", "key_image"}
    assert load({"text_report": "send"}).kept_roles() == {"key_image"}


@pytest.mark.parametrize("text", ["A=X@h:1,B=Y@h:2", '["A=X@h:1", "B=Y@h:2"]'])
def test_lists_in_the_environment_by_commas_or_as_json(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SPINE_DESTINATIONS", text)

    assert load().destinations == ("A=X@h:1", "B=Y@h:2")


def test_settings_survive_the_environment_of_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    made = load({"destinations": ["A=X@h:1", "B=https://h/studies"], "quiet_period": 2.5, "overlays": True})
    for name, value in environment_of(made).items():
        monkeypatch.setenv(name, value)

    assert load() == made


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('colour = "red"', "Unknown setting 'colour'"),
        ('key_images = "yes"', "off, keep or send, got 'yes'"),
        ("dicom_port = 70000", "'dicom_port'"),
        ("dicom_port =", "is not TOML"),
        ('http_host = "0.0.0.0"', "loopback only"),
        ('http_host = "hospital.example"', "loopback only"),
        ('ae_title = "LONGER_THAN_SIXTEEN"', "1 to 16"),
        (r'ae_title = "A\\B"', "backslash"),
        ('destinations = ["PACS"]', "NAME=AET@HOST:PORT"),
        ('destinations = ["PACS=AE@host:0"]', "between 1 and 65535"),
        ('destinations = ["P=A@h:1", "P=B@h:2"]', "a name of its own"),
        ('query_peers = ["host:104"]', "AET@HOST:PORT"),
        ('database_url = "mysql://user:secret@host/db"', "got 'mysql'"),
        ("lease_ttl = 10", "three times"),
        ("receivers = 2\ndicom_port = 0", "have numbers; got 0"),
        ('log_level = "LOUD"', "log_level is"),
        ('inference_engine = "tensorrt"', "inference_engine is auto, onnxruntime, openvino or remote, got 'tensorrt'"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SettingRefusal) as refused:
        load(config=write(tmp_path, text))

    assert says in refused.value.sentence
    assert ":secret" not in refused.value.sentence


def test_an_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINE_QUIET_PERIODE", "5")

    with pytest.raises(SettingRefusal, match="SPINE_QUIET_PERIODE"):
        load()


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingRefusal, match="cannot be read"):
        load(config=tmp_path / "absent.toml")


def test_postgresql_is_driven_by_psycopg() -> None:
    made = Settings(database_url="postgresql://u@h/db")

    assert made.resolved_database_url() == "postgresql+psycopg://u@h/db"


@pytest.mark.parametrize(
    ("text", "peer"),
    [
        ("PACS=ARCHIVE@10.0.0.5:4242", DicomPeer(name="PACS", ae_title="ARCHIVE", host="10.0.0.5", port=4242)),
        ("P-1=A B@[::1]:104", DicomPeer(name="P-1", ae_title="A B", host="::1", port=104)),
        ("WEB=https://h/dicom-web/studies/", StowPeer(name="WEB", url="https://h/dicom-web/studies")),
    ],
)
def test_a_destination_is_read(text: str, peer: DicomPeer | StowPeer) -> None:
    assert parse_destination(text) == peer


def test_a_peer_without_a_name_has_its_ae_title() -> None:
    assert parse_dicom_peer("ORTHANC@localhost:4242").name == "ORTHANC"


@pytest.mark.parametrize(
    ("host", "answer"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("pacs", False)]
)
def test_loopback_is_told(host: str, *, answer: bool) -> None:
    assert is_loopback(host) is answer


def test_settings_that_change_an_answer_change_the_digest_and_the_policies_of_the_detectors() -> None:
    fracture, marrow = Settings(fracture_loss=0.3), Settings(marrow_ratio=2.5, marrow_quiet=0.1)
    both = Settings(fracture_loss=0.3, marrow_ratio=2.5, marrow_quiet=0.1)
    stenosis = Settings(stenosis_mm=9)
    digests = {config_digest(made) for made in (fracture, marrow, both, stenosis)}
    assert len(digests) == 4
    assert config_digest(Settings()) == ""
    assert detector_settings(marrow).policies.marrow == MarrowPolicy(ratio=2.5, quiet=0.1)
    assert detector_settings(stenosis).policies.stenosis == StenosisPolicy(absolute_mm=9)
    assert config_digest(fracture) == hashlib.sha256(FracturePolicy(loss=0.3).statement.encode()).hexdigest()
