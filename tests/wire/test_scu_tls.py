"""Sending, asking and probing over TLS: DCMTK's storescp and Orthanc with TLS, and peers that are not whom they say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builders.authority import Authority, Issued
from builders.dicom import SeriesPlan, small_voxels, write_series
from builders.orthanc import Orthanc
from builders.peers import LOOPBACK, StoreScp, wait_until
from dicom_node.delivery import Verdict
from dicom_node.scu import Destination, count_instances, echo, send
from dicom_node.tls import TlsFiles
from inference.errors import PeerFailure

# pynetdicom 3.0.4 leaves the socket of a connection that failed to the garbage collector
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <(socket|dicom_node):pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


def reached(
    ours: Authority, port: int, *, ae_title: str = "ARCHIVE", shown: Issued | None = None, **changed: Any
) -> Destination:
    own = shown or ours.issue("spine")
    files = TlsFiles(certificate=own.certificate, key=own.key, authorities=ours.certificate)
    values = {"tls": files, "host": LOOPBACK, "timeout_s": 10.0} | changed
    return Destination(name="PACS", ae_title=ae_title, port=port, calling_ae_title="SPINEAI", **values)


def with_tls(ours: Authority, shown: Issued) -> list[str]:
    return ["+xa", "+tls", str(shown.key), str(shown.certificate), "+cf", str(ours.certificate)]


@pytest.mark.peer("dcmtk")
def test_storescp_takes_a_study_over_tls(ours: Authority, tmp_path: Path, storescp: Callable[..., StoreScp]) -> None:
    files = write_series(tmp_path / "sent", SeriesPlan(voxels=small_voxels()))
    peer = storescp(options=with_tls(ours, ours.issue("archive")))
    destination = reached(ours, peer.port)

    echo(destination)
    outcomes = send(files, destination)

    assert {outcome.verdict for outcome in outcomes} == {Verdict.ACCEPTED}
    assert len(peer.wait_for(len(files))) == len(files)


@pytest.mark.peer("dcmtk")
@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("stranger", "its certificate is not believed: unable to get local issuer certificate"),
        ("old", "its certificate is not believed: certificate has expired"),
        ("revoked", "its certificate is not believed: certificate revoked"),
        ("name", "its certificate is not believed: Hostname mismatch"),
        ("plain", "no TLS with it"),
        ("ours", "PACS is not reached: TLS cannot use"),
    ],
)
def test_who_is_not_whom_it_should_be_gets_nothing(
    ours: Authority, tmp_path: Path, storescp: Callable[..., StoreScp], case: str, says: str
) -> None:
    issuer = Authority(tmp_path / "theirs", name="Somebody else") if case == "stranger" else ours
    shown = issuer.issue("archive", days=-1 if case == "old" else 90)
    peer = storescp(options=["+xa"] if case == "plain" else with_tls(ours, shown))
    files = write_series(tmp_path / "sent", SeriesPlan(voxels=small_voxels(1)))
    destination = reached(ours, peer.port, certificate_name="pacs.example.org" if case == "name" else "")
    if case == "revoked":
        assert destination.tls is not None
        listed = TlsFiles(authorities=destination.tls.authorities, revocations=ours.revoke(shown))
        destination = reached(ours, peer.port, tls=listed)
    if case == "ours":
        destination = reached(ours, peer.port, tls=TlsFiles(authorities=tmp_path / "missing.pem"))

    with pytest.raises(PeerFailure, match=says):
        echo(destination)
    (outcome,) = send(files, destination)
    assert outcome.verdict is Verdict.FAILED, "tried again: somebody has to put a file in order"
    assert says in outcome.sentence
    assert peer.received() == []


@pytest.mark.peer("orthanc")
def test_orthanc_with_tls_says_how_many_instances_it_has(
    ours: Authority, tmp_path: Path, orthanc: Callable[..., Orthanc]
) -> None:
    shown = ours.issue("archive")
    peer = orthanc(
        settings={
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": str(shown.certificate),
            "DicomTlsPrivateKey": str(shown.key),
            "DicomTlsTrustedCertificates": str(ours.certificate),
            "DicomCheckModalityHost": False,
            "DicomAlwaysAllowFind": True,
        }
    )
    plan = SeriesPlan(voxels=small_voxels(3))
    destination = reached(ours, peer.dicom_port, ae_title=peer.ae_title)

    outcomes = send(write_series(tmp_path / "sent", plan), destination)

    assert {outcome.verdict for outcome in outcomes} == {Verdict.ACCEPTED}
    wait_until(
        lambda: count_instances(destination, plan.study_instance_uid) == 3, timeout_s=10, what="the count of the study"
    )
