"""What the receiver witnesses, as rows of the trail: one for one transfer, and none lost at an orderly stop."""

from __future__ import annotations

import pytest

from builders.peers import wait_until
from dicom_node.admission import Origin, PeerCertificate
from dicom_node.witness import AssociationEvent, AssociationEventKind
from server import dicom_audit
from server.auth.audit.trail import entries_after
from server.compose import Node
from server.database import reading
from server.dicom_audit import DicomAudit

ORIGIN = Origin(address="10.0.0.5")


def told(kind: AssociationEventKind, **changed: object) -> AssociationEvent:
    values = {"kind": kind, "origin": ORIGIN, "calling_ae_title": "CT1", "study_instance_uid": "1.2.3"} | changed
    return AssociationEvent(**values)


def rows(node: Node) -> list[tuple[str, str, tuple[str, ...], int, str]]:
    with reading(node.engine) as connection:
        records = [entry.record for entry in entries_after(connection, 0, limit=100)]
    return [(r.kind.value, r.subject, r.studies, r.instances, r.object) for r in records]


def test_an_association_for_each_image_is_one_transfer(node: Node) -> None:
    audit = DicomAudit(node.engine)
    audit.start()
    for _ in range(50):
        audit(told(AssociationEventKind.BEGUN))
        audit(told(AssociationEventKind.TRANSFERRED, instances=1))
    audit(told(AssociationEventKind.TRANSFERRED, instances=4, study_instance_uid="1.2.4"))
    audit.stop()

    assert rows(node) == [
        ("receiving_begun", "CT1", ("1.2.3",), 0, ""),
        ("instances_received", "CT1", ("1.2.3",), 50, ""),
        ("instances_received", "CT1", ("1.2.4",), 4, ""),
    ]


def test_a_transfer_that_has_settled_is_written_while_the_node_runs(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dicom_audit, "SETTLE_S", 0.3)
    audit = DicomAudit(node.engine)
    audit.start()
    audit(told(AssociationEventKind.TRANSFERRED, instances=2))
    wait_until(lambda: len(rows(node)) == 1, timeout_s=10, what="the row")
    audit(told(AssociationEventKind.TRANSFERRED, instances=3))
    audit.stop()

    assert [row[3] for row in rows(node)] == [2, 3]


def test_a_refusal_is_told_once_in_a_while_with_its_reason(node: Node) -> None:
    audit = DicomAudit(node.engine)
    audit.start()
    shown = Origin(address="10.0.0.5", is_tls=True, certificate=PeerCertificate(sha256="a" * 64, names=frozenset()))
    for _ in range(20):
        audit(told(AssociationEventKind.REFUSED, reason="user", study_instance_uid=""))
    audit(told(AssociationEventKind.REFUSED, reason="address", study_instance_uid="", origin=shown))
    audit(told(AssociationEventKind.REFUSED, reason="plain_bytes", study_instance_uid="", calling_ae_title=""))
    audit.stop()

    assert [(subject, about) for _, subject, _, _, about in rows(node)] == [
        ("CT1", "association: user"),
        ("CT1", "association: address"),
        ("unknown", "association: plain_bytes"),
    ]
