"""How this node reaches others: sending results, and asking a source how much it holds.

Apart from server.compose, because the receiver does without pynetdicom and an HTTP client.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

from dicom_node import commitment_scu, scu, stow
from dicom_node.commitment import CommitmentReport, CommitmentRequest
from dicom_node.delivery import OPEN_GATE, Gate, SendOutcome
from inference.errors import PeerFailure
from server.dicom_trust import tls_files
from server.events import fault
from server.peers import DestinationPeer, DicomPeer, StowPeer, parse_dicom_peer
from server.settings import Settings


class Send(Protocol):
    """Sends files to one destination; one outcome per file, whatever goes wrong at the peer."""

    def __call__(self, files: Sequence[Path], gate: Gate = OPEN_GATE, /) -> tuple[SendOutcome, ...]:
        """The gate is asked before each file, and told each answer."""
        ...


AskCommitment: TypeAlias = Callable[[CommitmentRequest, Callable[[CommitmentReport], bool]], None]
"""Asks one destination to answer for instances; raises PeerFailure (dicom_node.commitment_scu.request_commitment)."""
TellCommitment: TypeAlias = Callable[[CommitmentReport], None]
"""Tells one peer what this node answers for; raises PeerFailure."""


def destinations(settings: Settings) -> Mapping[str, Send]:
    """How to send to each destination, by name."""
    return {peer.name: sender(peer, settings) for peer in settings.destination_peers()}


def sender(peer: DestinationPeer, settings: Settings) -> Send:
    """How to send to one peer."""
    if isinstance(peer, StowPeer):
        archive = stow_destination(peer, settings)
        return lambda files, gate=OPEN_GATE: stow.send(files, archive, gate)
    destination = dicom_destination(peer, settings)
    return lambda files, gate=OPEN_GATE: scu.send(files, destination, gate)


def probe(peer: DestinationPeer, settings: Settings) -> None:
    """Ask a destination whether it is there.

    Raises:
        PeerFailure: it did not answer, or not as it should.
    """
    if isinstance(peer, StowPeer):
        stow.check(stow_destination(peer, settings))
    else:
        scu.echo(dicom_destination(peer, settings))


def expected_count(settings: Settings) -> Callable[[str, str], int | None]:
    """How to ask a source (AE title, Study Instance UID) for the size of a study; None where it does not say."""
    peers = settings.source_peers()

    def ask(source_ae_title: str, study_instance_uid: str) -> int | None:
        peer = peers.get(source_ae_title)
        if peer is None:
            return None
        try:
            return scu.count_instances(dicom_destination(peer, settings), study_instance_uid)
        except PeerFailure as error:
            fault("source_not_asked", error, ae_title=source_ae_title, study_instance_uid=study_instance_uid)
            return None

    return ask


def dicom_destination(peer: DicomPeer, settings: Settings) -> scu.Destination:
    """A peer as dicom_node.scu wants it, with our AE title as the calling one."""
    return scu.Destination(
        name=peer.name,
        ae_title=peer.ae_title,
        host=peer.host,
        port=peer.port,
        calling_ae_title=settings.ae_title,
        timeout_s=settings.delivery_timeout,
        tls=tls_files(settings) if peer.is_tls else None,
        certificate_name=peer.certificate_name,
    )


def stow_destination(peer: StowPeer, settings: Settings) -> stow.StowDestination:
    """An archive as dicom_node.stow wants it."""
    return stow.StowDestination(name=peer.name, url=peer.url, timeout_s=settings.delivery_timeout)


def committing_destinations(settings: Settings) -> Mapping[str, AskCommitment]:
    """How to ask each destination that is asked for storage commitment, by name."""
    peers = {peer.name: peer for peer in settings.destination_peers() if isinstance(peer, DicomPeer)}
    return {
        name: functools.partial(commitment_scu.request_commitment, dicom_destination(peers[name], settings))
        for name in settings.commitment_destinations
    }


def commitment_peers(settings: Settings) -> Mapping[str, TellCommitment]:
    """How to tell each peer that may ask this node for storage commitment, by AE title."""
    peers = (parse_dicom_peer(text) for text in settings.commitment_peers)
    return {
        peer.ae_title: functools.partial(commitment_scu.report_commitment, dicom_destination(peer, settings))
        for peer in peers
    }
