"""Whom DICOM believes, from settings and files: what does not protect is refused, and a user's file is read anew."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from builders.authority import Authority
from dicom_node.admission import PeerRule
from inference.errors import SettingRefusal
from server.auth.passwords import hash_password
from server.cli import run
from server.dicom_trust import peer_rules, user_check
from server.outbound import dicom_destination
from server.peers import DicomPeer, parse_destination, parse_dicom_peer
from server.settings import Settings

Make = Callable[..., Settings]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"dicom_tls_certificate": "a.pem"}, "both dicom_tls_certificate and dicom_tls_key"),
        ({"dicom_tls_port": 2762}, "dicom_tls_port needs dicom_tls_certificate"),
        ({"dicom_tls_crl": "c.pem"}, "needs their file, dicom_tls_ca"),
        (
            {"dicom_tls_port": 2762, "dicom_tls_certificate": "a", "dicom_tls_key": "b"},
            "dicom_tls_demand_certificate = false where peers have none",
        ),
        (
            {
                "dicom_port": 104,
                "dicom_tls_port": 104,
                "dicom_tls_certificate": "a",
                "dicom_tls_key": "b",
                "dicom_tls_ca": "c",
            },
            "are two ports, got 104 for both",
        ),
        ({"dicom_host": "0.0.0.0", "dicom_users_file": "u"}, "dicom_users_file needs dicom_tls_port"),
        ({"dicom_tls_required": True, "destinations": ["PACS=P@10.0.0.5:104"]}, "PACS would be reached without TLS"),
        ({"dicom_tls_required": True, "query_peers": ["P@pacs:104"]}, "P would be reached without TLS"),
        ({"dicom_tls_required": True, "destinations": ["W=http://pacs/studies"]}, "W would be reached without TLS"),
    ],
)
def test_settings_that_protect_less_than_they_seem_to_are_refused(
    settings: Make, given: dict[str, object], says: str
) -> None:
    with pytest.raises(SettingRefusal, match=says):
        settings(**given)


def test_with_tls_required_what_is_safe_is_left_alone(settings: Make) -> None:
    safe = ["A=dicoms://P@10.0.0.5:2762", "B=P@127.0.0.1:104", "C=https://pacs/studies", "D=http://localhost:1/studies"]

    assert len(settings(dicom_tls_required=True, destinations=safe).destination_peers()) == 4


def test_a_destination_by_tls(settings: Make) -> None:
    peer = parse_destination("PACS=dicoms://ORTHANC@10.0.0.5:2762?name=pacs.example.org")
    assert isinstance(peer, DicomPeer)
    made = dicom_destination(peer, settings(dicom_tls_ca="ca.pem"))

    assert (peer.is_tls, peer.certificate_name, peer.port) == (True, "pacs.example.org", 2762)
    assert made.tls is not None
    assert (made.tls.authorities, made.certificate_name) == (Path("ca.pem"), "pacs.example.org")
    assert dicom_destination(parse_dicom_peer("A@h:1"), settings()).tls is None


@pytest.mark.parametrize(
    "text", ["dicoms:/A@h:1", "A@h:1?name=x", "dicoms://A@h", "dicom://A@h:1", "dicoms://A@h:1?x=y"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(SettingRefusal, match=r"AET@HOST:PORT or dicoms://AET@HOST:PORT"):
        parse_dicom_peer(text)


def test_the_table_of_peers(settings: Make, tmp_path: Path) -> None:
    path = tmp_path / "peers.toml"
    fingerprint = ":".join(["AB"] * 32)
    path.write_text(
        f'[PACS]\nae_titles = ["PACS", "PACS2"]\naddresses = ["10.0.0.5", "10.0.1.0/24"]\n'
        f'certificate_sha256 = ["{fingerprint}"]\ncertificate_names = ["PACS.example.org"]\n'
        f"[MR1]\nneeds_user = false\n"
    )
    assert peer_rules(settings(dicom_peers_file=path)) == (
        PeerRule(
            name="PACS",
            ae_titles=frozenset({"PACS", "PACS2"}),
            networks=(ipaddress.ip_network("10.0.0.5/32"), ipaddress.ip_network("10.0.1.0/24")),
            certificate_sha256=frozenset({"ab" * 32}),
            certificate_names=frozenset({"pacs.example.org"}),
        ),
        PeerRule(name="MR1", needs_user=False),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names no peer, so that nobody could associate"),
        ("[A\n", "is not TOML"),
        ('[A]\nae_titel = ["X"]\n', "DICOM peer A: ae_titel: Extra inputs are not permitted"),
        ('[A]\naddresses = ["10.0.0.5/24"]\n', "DICOM peer A: addresses: .* has host bits set"),
        ('[A]\ncertificate_sha256 = ["12"]\n', "64 hexadecimal digits"),
        ('[A]\nae_titles = ["SEVENTEEN LETTERS"]\n', "DICOM peer A: An AE title has 1 to 16"),
        ("A = 1\n", "DICOM peer A: the table"),
    ],
)
def test_a_table_at_fault_is_refused_by_name(settings: Make, tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "peers.toml"
    path.write_text(text)
    with pytest.raises(SettingRefusal, match=says):
        peer_rules(settings(dicom_peers_file=path))
    with pytest.raises(SettingRefusal, match="cannot be read: No such file"):
        peer_rules(settings(dicom_peers_file=tmp_path / "missing.toml"))


def test_users_come_and_go_with_their_file(settings: Make, tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text(f"# of the archive\nruth:{hash_password('correct horse battery')}\nguest:\n")
    check = user_check(settings(dicom_users_file=path))
    assert check is not None

    assert check("ruth", "correct horse battery", "10.0.0.5")
    assert check("guest", None, "10.0.0.5")
    assert not check("ruth", None, "10.0.0.6"), "a user with a passcode gives it"
    assert not check("guest", "", "10.0.0.6"), "a user without one has none to give"
    assert not check("nobody", "correct horse battery", "10.0.0.6")
    path.write_text("guest:\n")
    assert not check("ruth", "correct horse battery", "10.0.0.5")
    path.unlink()
    assert not check("guest", None, "10.0.0.5"), "without the file nobody is let in"


def test_guessing_is_slowed_down(settings: Make, tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text(f"ruth:{hash_password('correct horse battery')}\n")
    check = user_check(settings(dicom_users_file=path))
    assert check is not None

    assert not any(check("ruth", f"guess {number}", "10.0.0.6") for number in range(5))
    assert not check("ruth", "correct horse battery", "10.0.0.6"), "has to wait now, whatever it says"
    assert check("ruth", "correct horse battery", "10.0.0.5"), "others do not"


@pytest.mark.parametrize("line", ["ruth", ":x", "ruth:password", "ruth:scrypt$ln=30,r=8,p=5$AA==$AA=="])
def test_a_line_that_is_none_is_refused_without_its_content(settings: Make, tmp_path: Path, line: str) -> None:
    path = tmp_path / "users"
    path.write_text(f"guest:\n{line}\n")
    with pytest.raises(SettingRefusal, match="Line 2 of the DICOM users' file") as refused:
        user_check(settings(dicom_users_file=path))
    assert line.partition(":")[2] not in str(refused.value) or ":" not in line[1:]


def test_the_command_makes_a_line(
    settings: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "typed").write_text("correct horse battery\n")
    with (tmp_path / "typed").open() as typed:
        monkeypatch.setattr("sys.stdin", typed)
        assert run(["users", "dicom", "ruth", "--password-stdin"]) == 0
    path = tmp_path / "users"
    path.write_text(capsys.readouterr().out)
    check = user_check(settings(dicom_users_file=path))

    assert check is not None
    assert check("ruth", "correct horse battery", "10.0.0.5")
    assert run(["users", "dicom", "a:b", "--password-stdin"]) == 2


def test_check_names_what_ends_and_what_cannot_be_used(
    settings: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = Authority(tmp_path / "ours")
    own = ours.issue("spine", days=10)
    options = {
        "data-dir": tmp_path / "data",
        "disk-reserve-gib": 0,
        "disk-reserve-percent": 0,
        "dicom-tls-port": 2762,
        "dicom-tls-certificate": own.certificate,
        "dicom-tls-key": own.key,
        "dicom-tls-ca": ours.certificate,
        "audit-repository": "127.0.0.1:1",
    }
    words = ["check", "--json", *(word for name, value in options.items() for word in (f"--{name}", str(value)))]

    def answers() -> dict[str, tuple[str, str]]:
        assert run(words) == 1
        return {one["name"]: (one["level"], one["sentence"]) for one in json.loads(capsys.readouterr().out)["checks"]}

    found = answers()
    assert found["dicom certificate"][0] == "warning"
    assert found["dicom certificate"][1].startswith(f"{own.certificate} ends on")
    assert found["dicom authorities"][0] == "ok"
    assert found["dicom tls"] == ("ok", "Port 2762, certificates are demanded.")
    assert found["senders"] == ("ok", "Anyone who reaches the port.")
    assert found["audit repository"][0] == "fail"
    assert "127.0.0.1:1 does not take records: Connection refused" in found["audit repository"][1]
    own.key.write_text("nothing")
    assert answers()["dicom tls"][1].startswith(f"TLS cannot use {own.certificate} with {own.key}")
