"""``spine-node check`` against real peers: what it finds, and what it tells the person at the PACS."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage
from pynetdicom import AE
from sqlalchemy import text

from builders.archive import archive
from builders.orthanc import Orthanc
from builders.peers import LOOPBACK, StoreScp, free_tcp_port
from server.checks.certificates import check_certificates
from server.checks.data_folder import check_data_folder, file_system_of
from server.checks.database import check_database
from server.checks.models import check_models
from server.checks.peers import check_peers
from server.checks.site import check_ports, check_settings
from server.cli import run
from server.database import HEAD, make_engine, prepare
from server.settings import Settings

BOTH = [Comprehensive3DSRStorage, SegmentationStorage]


def found(answers: Any) -> list[tuple[str, str, str, str]]:
    return [(a.name, a.level.value, a.sentence, a.advice) for a in answers]


def of_destination(address: str, **values: Any) -> tuple[str, str, str]:
    settings = Settings(destinations=(f"PACS={address}",), delivery_timeout=5, **values)
    ((name, level, sentence, advice),) = found(check_peers(settings))
    assert name == "destination PACS"
    return level, sentence, advice


@pytest.mark.peer("dcmtk")
def test_a_dcmtk_archive_takes_everything(storescp: Callable[..., StoreScp]) -> None:
    level, sentence, advice = of_destination(storescp().destination, text_report="send", key_images="send")

    assert (level, advice) == ("ok", "")
    assert sentence == (
        "It takes Comprehensive 3D SR Storage, Segmentation Storage, Enhanced SR Storage, "
        "Secondary Capture Image Storage, and answers C-ECHO."
    )


@pytest.mark.peer("orthanc")
def test_orthanc_by_the_right_and_by_a_wrong_title(orthanc: Callable[..., Orthanc]) -> None:
    server = orthanc(settings={"DicomCheckCalledAet": True})

    assert of_destination(f"ORTHANC@{LOOPBACK}:{server.dicom_port}")[0] == "ok"
    assert of_destination(f"WRONG@{LOOPBACK}:{server.dicom_port}") == (
        "fail",
        "Called AE title not recognised.",
        "The PACS does not call itself WRONG: correct the destination's AE title to the one that it has.",
    )
    level, sentence, advice = of_destination(f"ORTHANC@{LOOPBACK}:{server.http_port}")
    assert (level, sentence) == ("fail", f"{LOOPBACK}:{server.http_port} takes the connection, but no association.")
    assert "Is it a DICOM port?" in advice


def test_a_pacs_that_does_not_know_us_has_to_be_told_our_title() -> None:
    entity = AE(ae_title="PACS")
    entity.require_calling_aet = ["SOMEBODY"]
    entity.add_supported_context(Comprehensive3DSRStorage)
    server = entity.start_server((LOOPBACK, 0), block=False)
    assert server is not None
    try:
        assert of_destination(f"PACS@{LOOPBACK}:{server.server_address[1]}") == (
            "fail",
            "Calling AE title not recognised.",
            "The PACS must know SPINEAI: add it there as a remote node, with this machine's address.",
        )
    finally:
        server.shutdown()


def test_a_class_that_is_not_taken_is_named_before_it_is_a_dead_letter() -> None:
    port = free_tcp_port()
    with archive(port, [Comprehensive3DSRStorage]):
        level, sentence, advice = of_destination(f"ARCHIVE@{LOOPBACK}:{port}")

    assert (level, sentence) == ("fail", "It does not accept Segmentation Storage.")
    assert advice == "Their objects go to the dead letter: have the PACS accept these SOP classes."


def test_a_peer_without_verification_is_a_warning() -> None:
    port = free_tcp_port()
    with archive(port, BOTH):
        level, sentence, _ = of_destination(f"ARCHIVE@{LOOPBACK}:{port}")

    assert level == "warning"
    assert sentence.endswith("but does not answer C-ECHO.")


@pytest.mark.parametrize(
    ("address", "says"),
    [
        (f"PACS@{LOOPBACK}:1", f"Nothing listens on {LOOPBACK}:1."),
        ("PACS@no-such-host.invalid:104", "The name no-such-host.invalid is not known here."),
    ],
)
def test_a_peer_that_is_not_there(address: str, says: str) -> None:
    assert of_destination(address)[:2] == ("fail", says)


def test_a_source_that_is_not_asked_for_sizes_is_named() -> None:
    port = free_tcp_port()
    with archive(port, BOTH):
        answers = found(check_peers(Settings(query_peers=(f"ARCHIVE@{LOOPBACK}:{port}",), delivery_timeout=5)))

    assert answers[0][:2] == ("destinations", "warning")
    assert answers[1][0] == "source ARCHIVE"
    assert answers[1][3].startswith("It cannot be asked for sizes of studies")


def test_the_command_prints_a_table_and_json_and_leaves_the_folder_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.chmod(0o700)
    port = free_tcp_port()
    options = ["check", "--data-dir", str(tmp_path), "--model", "mr_axial_canal", "--http-port", str(free_tcp_port())]
    options += ["--dicom-port", str(free_tcp_port()), "--inference-engine", "onnxruntime"]
    options += ["--disk-reserve-percent", "0", "--disk-reserve-gib", "0.001", "--allowed-calling-ae-title", "PACS"]
    with archive(port, BOTH):
        assert run([*options, "--json", "--destination", f"PACS=ARCHIVE@{LOOPBACK}:{port}"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["ok"] is True
    levels = {check["name"]: check["level"] for check in said["checks"]}
    assert levels.pop("destination PACS") == "warning"
    assert set(levels.values()) == {"ok"}

    assert run([*options, "--destination", f"PACS=ARCHIVE@{LOOPBACK}:1"]) == 1
    shown = capsys.readouterr()
    assert "│ FAIL │ destination PACS " in shown.out
    assert shown.err == "Not in order: destination PACS.\n"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_open_to_others_or_not_there(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    by_name = {
        name: (level, advice) for name, level, _, advice in found(check_data_folder(Settings(data_dir=tmp_path)))
    }
    assert by_name["data folder"] == ("warning", f"chmod 0700 {tmp_path}")
    assert by_name["fsync"][0] in {"ok", "warning"}
    assert by_name["file system"][0] == "ok"

    ((_, level, sentence, _),) = found(check_data_folder(Settings(data_dir=tmp_path / "a" / "b")))
    assert (level, sentence) == ("fail", f"{tmp_path / 'a' / 'b'} is not there.")
    (tmp_path / "file").touch()
    ((_, level, sentence, _),) = found(check_data_folder(Settings(data_dir=tmp_path / "file")))
    assert (level, sentence) == ("fail", f"{tmp_path / 'file'} is not a folder.")
    assert file_system_of(Path("/proc/self")) == "proc"


def test_a_disk_beyond_its_reserve(tmp_path: Path) -> None:
    answers = found(check_data_folder(Settings(data_dir=tmp_path, disk_reserve_gib=1e6)))
    assert [level for name, level, _, _ in answers if name == "disk"] == ["fail"]


def test_a_port_of_somebody_else_and_one_of_this_node(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path / 'spine.sqlite'}")
    with ExitStack() as stack:
        taken = stack.enter_context(socket.create_server((LOOPBACK, 0)))
        port = taken.getsockname()[1]
        settings = Settings(dicom_host=LOOPBACK, dicom_port=port, http_port=0, hl7_port=free_tcp_port())
        answers = found(check_ports(settings, engine))
        assert [a[1] for a in answers] == ["fail", "warning", "ok"]
        assert answers[0][2] == f"{LOOPBACK}:{port} cannot be opened: Address already in use."
        prepare(engine)
        with engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO processes (name, role, pid, port, started_at, last_seen, counters) "
                    "VALUES (:name, 'receive', :pid, :port, 0, 0, '{}')"
                ),
                {"name": f"{socket.gethostname()}:receive:0", "pid": os.getpid(), "port": port},
            )
        answer = found(check_ports(settings, engine))[0]
    engine.dispose()
    assert answer[1:3] == ("ok", f"{port} is held by process {os.getpid()} of this node.")


def test_a_database_of_another_version_or_of_nobody_or_not_one(tmp_path: Path) -> None:
    file = tmp_path / "spine.sqlite"
    engine = make_engine(f"sqlite:///{file}")
    assert [a[1] for a in found(check_database(engine))] == ["ok"]
    assert not file.exists()
    prepare(engine)
    assert [(a[0], a[1]) for a in found(check_database(engine))] == [
        ("database", "ok"),
        ("database writes", "ok"),
        ("database clock", "ok"),
    ]
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    assert found(check_database(engine))[0][1:3] == (
        "warning",
        f"The tables are of version 0001, this program's of {HEAD}.",
    )
    engine.dispose()
    file.write_bytes(b"no database at all" * 100)
    ((_, level, sentence, _),) = found(check_database(engine))
    assert level == "fail"
    assert sentence.endswith("file is not a database.")
    engine.dispose()


def test_the_password_of_a_database_is_not_shown() -> None:
    engine = make_engine("postgresql+psycopg://spine:hush@127.0.0.1:1/spine?connect_timeout=2")
    ((_, level, sentence, _),) = found(check_database(engine))
    assert level == "fail"
    assert "hush" not in sentence


def test_models_that_are_not_there() -> None:
    ((_, level, sentence, _),) = found(check_models(Settings(models=("nothing",))))
    assert level == "fail"
    assert sentence.startswith("no bundle 'nothing'; installed: ")


def test_what_is_seldom_meant_is_said(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path,
        destinations=("PACS=SPINEAI@127.0.0.1:11112",),
        quiet_period=1,
        workers=64,
        threads=8,
        database_url="postgresql://u@db/spine",
        log_level="DEBUG",
    )
    assert [level for _, level, _, _ in found(check_settings(settings))] == ["ok", *["warning"] * 7]


@pytest.fixture
def certificate(tmp_path: Path) -> Callable[..., Settings]:
    """Settings with a certificate of a private authority."""

    def make(*names: str, until: datetime = datetime(2040, 1, 1, tzinfo=UTC), is_alone: bool = False) -> Settings:
        issued = trustme.CA().issue_cert(*names, not_after=until)
        chain = issued.cert_chain_pems[:1] if is_alone else issued.cert_chain_pems
        (tmp_path / "cert.pem").write_bytes(b"".join(pem.bytes() for pem in chain))
        issued.private_key_pem.write_to_path(tmp_path / "key.pem")
        (tmp_path / "key.pem").chmod(0o600)
        return Settings(
            http_tls_certificate=tmp_path / "cert.pem",
            http_tls_key=tmp_path / "key.pem",
            http_names=("spine.example",),
            http_authentication=("local",),
        )

    return make


def test_a_certificate_in_order(certificate: Callable[..., Settings]) -> None:
    levels = {name: level for name, level, _, _ in found(check_certificates(certificate("spine.example")))}
    assert levels.pop("chain of certificate of HTTP") == "warning"  # trustme's file has no issuer in it
    assert set(levels.values()) == {"ok"}
    assert found(check_certificates(Settings())) == []


def test_certificates_that_are_not_in_order(certificate: Callable[..., Settings], tmp_path: Path) -> None:
    ended = certificate("spine.example", until=datetime(2020, 1, 1, tzinfo=UTC))
    assert found(check_certificates(ended))[0][1:3] == ("fail", "It ended on 2020-01-01.")
    other = found(check_certificates(certificate("other.example")))
    assert other[1][1:3] == ("fail", "It is not for spine.example.")
    assert found(check_certificates(certificate("*.example")))[1][1] == "ok"

    mixed = certificate("spine.example")
    theirs = trustme.CA().cert_pem.bytes()
    (tmp_path / "cert.pem").write_bytes((tmp_path / "cert.pem").read_bytes() + theirs)
    (tmp_path / "key.pem").chmod(0o644)
    by_name = {name: level for name, level, _, _ in found(check_certificates(mixed))}
    assert by_name["chain of certificate of HTTP"] == "fail"
    assert by_name["key of certificate of HTTP"] == "warning"
    (tmp_path / "key.pem").write_text("no key")
    ((_, level, _, advice),) = found(check_certificates(mixed))
    assert level == "fail"
    assert "PEM files" in advice
