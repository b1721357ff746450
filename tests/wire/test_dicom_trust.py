"""Allow-list and users over real associations: reasons on the wire, words in the counts, what a witness hears."""

from __future__ import annotations

import ipaddress
import ssl
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE, build_context
from pynetdicom.pdu_primitives import UserIdentityNegotiation

from builders.authority import Authority
from builders.dicom import SeriesPlan, small_voxels, write_series
from builders.peers import LOOPBACK, wait_until
from builders.receiving import RawPeer, association, association_request, running_node, store_file
from dicom_node.admission import PeerRule
from dicom_node.tls import LiveContext, TlsFiles, server_context
from dicom_node.witness import AssociationEvent, AssociationEventKind

MR = (MRImageStorage, ExplicitVRLittleEndian)
NO_REASON, CALLING = (3, bytes((0, 1, 1, 1))), (3, bytes((0, 1, 1, 3)))


def test_each_part_of_a_rule_is_asked_for(tmp_path: Path) -> None:
    ours = Authority(tmp_path / "ours")
    own, known, unknown = ours.issue("spine"), ours.issue("pacs.example.org"), ours.issue("other.example.org")
    files = TlsFiles(certificate=own.certificate, key=own.key, authorities=ours.certificate)
    tls = LiveContext(files, lambda found: server_context(found, demands_certificate=True))
    here, elsewhere = ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("10.0.0.0/8")
    rules = (
        PeerRule(name="near", ae_titles=frozenset({"NEAR"}), networks=(here,)),
        PeerRule(name="far", ae_titles=frozenset({"FAR"}), networks=(elsewhere,)),
        PeerRule(name="print", ae_titles=frozenset({"PRINT"}), certificate_sha256=frozenset({known.sha256})),
        PeerRule(name="name", ae_titles=frozenset({"NAME"}), certificate_names=frozenset({"pacs.example.org"})),
    )
    heard: list[AssociationEvent] = []

    def context(shown) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=ours.certificate)
        made.load_cert_chain(shown.certificate, shown.key)
        return made

    with running_node(tmp_path / "node", tls=tls, peers=lambda: rules, witness=heard.append) as node:

        def answer(calling: str, shown=None) -> tuple[int, bytes] | None:
            port = node.port if shown is None else node.tls_port
            with RawPeer(port, tls=None if shown is None else context(shown)) as peer:
                peer.send(association_request(*MR, calling=calling))
                found = peer.read_pdu()
                return found if found is None or found[0] == 3 else (found[0], b"")

        assert answer("NEAR") == answer("NEAR", unknown) == (2, b"")
        assert answer("FAR") == NO_REASON
        assert answer("STRANGER") == CALLING
        for calling in ("PRINT", "NAME"):
            assert answer(calling) == answer(calling, unknown) == NO_REASON
            assert answer(calling, known) == (2, b"")
        wait_until(lambda: len(heard) == 6, timeout_s=5, what="what the witness hears")
        counts = node.receiver.metrics.snapshot()

    assert [counts[f"associations_rejected_{word}"] for word in ("address", "calling_ae_title", "certificate")] == [
        1,
        1,
        4,
    ]
    assert {event.kind for event in heard} == {AssociationEventKind.REFUSED}
    assert sorted({(event.calling_ae_title, event.reason) for event in heard}) == [
        ("FAR", "address"),
        ("NAME", "certificate"),
        ("PRINT", "certificate"),
        ("STRANGER", "calling_ae_title"),
    ]
    assert {event.origin.address for event in heard} == {LOOPBACK}


def user(kind: int, passcode: str = "") -> UserIdentityNegotiation:
    made = UserIdentityNegotiation()
    made.user_identity_type, made.primary_field = kind, b"ruth"
    made.positive_response_requested = True
    if kind == 2:
        made.secondary_field = passcode.encode()
    return made


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        (user(2, "wrong horse"), "user"),
        (user(1), "user"),
        (None, "user_missing"),
        (user(3), "user_identity_kerberos"),
        (user(4), "user_identity_saml"),
        (user(5), "user_identity_jwt"),
    ],
)
def test_users_who_are_refused(tmp_path: Path, asked: UserIdentityNegotiation | None, word: str) -> None:
    with running_node(tmp_path / "node", check_user=lambda *_: False) as node:
        with RawPeer(node.port) as peer:
            peer.send(association_request(*MR, user=asked))
            assert peer.read_pdu() == NO_REASON
        assert node.receiver.metrics.snapshot()[f"associations_rejected_{word}"] == 1


@pytest.mark.parametrize("is_checked", [True, False])
def test_a_user_is_confirmed_only_where_users_are_checked(tmp_path: Path, is_checked: bool) -> None:  # noqa: FBT001
    def check(name: str, passcode: str | None, _address: str) -> bool:
        return (name, passcode) == ("ruth", "correct horse")

    with running_node(tmp_path / "node", check_user=check if is_checked else None) as node:
        entity = AE(ae_title="PACS")
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 20
        peer = entity.associate(
            LOOPBACK,
            node.port,
            contexts=[build_context(*MR)],
            ae_title="SPINEAI",
            ext_neg=[user(2, "correct horse")],
        )
        assert peer.is_established
        confirmed = [i for i in peer.acceptor.primitive.user_information if isinstance(i, UserIdentityNegotiation)]
        assert len(confirmed) == is_checked
        peer.release()


def test_a_witness_hears_of_each_study_that_was_taken(tmp_path: Path) -> None:
    heard: list[AssociationEvent] = []
    first, second = SeriesPlan(voxels=small_voxels(3)), SeriesPlan(voxels=small_voxels(2), study="other")
    with running_node(tmp_path / "node", witness=heard.append) as node:
        with association(node.port, [MR], calling="PACS") as peer:
            for plan in (first, second):
                for path in write_series(tmp_path / plan.study_instance_uid, plan):
                    assert store_file(peer, path).Status == 0
        wait_until(lambda: len(heard) == 4, timeout_s=5, what="what the witness hears")

    assert [(e.kind.value, e.study_instance_uid, e.instances) for e in heard] == [
        ("begun", first.study_instance_uid, 0),
        ("begun", second.study_instance_uid, 0),
        ("transferred", first.study_instance_uid, 3),
        ("transferred", second.study_instance_uid, 2),
    ]
    assert {e.calling_ae_title for e in heard} == {"PACS"}
