"""What a process says of its TLS files, from day to day."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from builders.authority import Authority
from dicom_node.certificates import Expiry, expiries
from dicom_node.tls import LiveContext, TlsFiles, client_context, server_context, service_context
from inference.errors import SettingRefusal
from server.trust_watch import TrustWatch

DAY_S = 86_400.0


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


def watch(files: TlsFiles, **live: LiveContext) -> TrustWatch:
    return TrustWatch(files={"dicom": files}, warning_days=30.0, live=live)


@pytest.mark.parametrize(
    ("days", "fault", "says"),
    [(90, None, None), (29, None, "ends on"), (0.5, None, "ends on"), (-0.5, "ended on", "ended on")],
)
def test_a_certificate_warns_before_it_ends_and_is_a_fault_after(
    ours: Authority,
    days: float,
    fault: str | None,
    says: str | None,
) -> None:
    own = ours.issue("spine", days=days)
    health = watch(TlsFiles(certificate=own.certificate, key=own.key))()

    assert (fault in str(health.fault)) if fault else health.fault is None
    assert (says in str(health.warning)) if says else health.warning is None
    assert health.expiries["dicom_certificate"] == pytest.approx(time.time() + days * DAY_S, abs=60)


def test_the_first_end_counts_and_a_file_of_authorities_is_no_fault(ours: Authority, tmp_path: Path) -> None:
    own, old = ours.issue("spine"), ours.issue("old", days=-3)
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(f"# ours\n{ours.certificate.read_text()}\n{old.certificate.read_text()}")
    files = TlsFiles(certificate=own.certificate, key=own.key, authorities=bundle, revocations=ours.revoke(days=5))
    health = watch(files)()

    assert health.fault is None
    assert str(health.warning).startswith(f"{bundle} ended on")
    assert {use: round((at - time.time()) / DAY_S) for use, at in health.expiries.items()} == {
        "dicom_certificate": 90,
        "dicom_authorities": -3,
        "dicom_revocations": 5,
    }
    assert "ended on" in str(watch(TlsFiles(revocations=ours.revoke(days=-1)))().fault)


def test_a_list_that_lives_for_a_week_does_not_warn_all_its_life() -> None:
    now = 1000 * DAY_S
    week = {
        days: Expiry(use="revocations", path=Path("a"), began_at=now - (7 - days) * DAY_S, ends_at=now + days * DAY_S)
        for days in (5.0, 1.5)
    }

    assert [end.is_near(now, 30.0) for end in week.values()] == [False, True]


def test_each_warning_is_logged_once(
    ours: Authority, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ours.issue("spine", days=10)
    files = TlsFiles(certificate=own.certificate, key=own.key, authorities=ours.certificate)
    looked = watch(files, tls_files_unusable=LiveContext(files, partial(server_context, demands_certificate=True)))
    for _ in range(3):
        looked()
    own.key.write_text("broken")
    for _ in range(3):
        assert "what was read before is still used" in str(looked().warning)
    said = "".join(capsys.readouterr())

    assert said.count("tls_file_ends_soon") == 1
    assert said.count("tls_files_unusable") == 1


def test_what_cannot_be_read_has_no_end(tmp_path: Path) -> None:
    for content in (b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", bytes(range(256))):
        (tmp_path / "a.pem").write_bytes(content)
        assert expiries(TlsFiles(certificate=tmp_path / "a.pem")) == ()
    assert expiries(TlsFiles(certificate=tmp_path / "missing.pem")) == ()


def broken(ours: Authority, tmp_path: Path, part: str) -> TlsFiles:
    own, other, empty = ours.issue("spine"), ours.issue("other"), tmp_path / "empty.pem"
    empty.write_text("")
    whole = {
        "certificate": own.certificate,
        "key": own.key,
        "authorities": ours.certificate,
        "revocations": ours.revoke(),
    }
    changed: dict[str, dict[str, Path | None]] = {
        "no key": {"key": None},
        "key of another": {"key": other.key},
        "missing": {"certificate": tmp_path / "missing.pem"},
        "empty authorities": {"authorities": empty},
        "no authority": {"authorities": own.certificate},
        "empty list": {"revocations": empty},
        "no list": {"revocations": ours.certificate},
        "list alone": {"authorities": None},
    }
    return TlsFiles(**(whole | changed[part]))


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ("no key", "needs both a certificate and its key"),
        ("key of another", "KEY_VALUES_MISMATCH"),
        ("missing", "No such file"),
        ("empty authorities", r"cannot use .*empty\.pem"),
        ("no authority", "holds no certificate of an authority"),
        ("empty list", r"cannot use .*empty\.pem"),
        ("no list", "holds no revocation list"),
        ("list alone", "dicom_tls_ca"),
    ],
)
def test_files_that_cannot_be_used_are_refused_by_name(ours: Authority, tmp_path: Path, part: str, says: str) -> None:
    with pytest.raises(SettingRefusal, match=says):
        server_context(broken(ours, tmp_path, part), demands_certificate=True)


def test_a_key_with_a_passphrase_is_refused(ours: Authority) -> None:
    own = ours.issue("spine")
    encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGbMFcGCSqGSIb3DQEFDTBK\n-----END ENCRYPTED PRIVATE KEY-----\n"
    own.key.write_text(encrypted)
    with pytest.raises(SettingRefusal, match="cannot use"):
        service_context(TlsFiles(certificate=own.certificate, key=own.key))


def test_nothing_older_than_tls_1_2_and_only_the_suites_of_the_profile(ours: Authority) -> None:
    own = ours.issue("spine")
    files = TlsFiles(certificate=own.certificate, key=own.key, authorities=ours.certificate)
    builders: list[Callable[[], object]] = [
        partial(server_context, files, demands_certificate=True),
        partial(client_context, files),
    ]
    for build in builders:
        context = build()
        assert context.minimum_version.name == "TLSv1_2"
        suites = {cipher["name"] for cipher in context.get_ciphers()}
        assert {name for name in suites if not name.startswith("TLS_")} == {
            "ECDHE-ECDSA-AES256-GCM-SHA384",
            "ECDHE-RSA-AES256-GCM-SHA384",
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            "ECDHE-RSA-AES128-GCM-SHA256",
        }
