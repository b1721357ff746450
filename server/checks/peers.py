"""Destinations and sources: is the port reached, is our AE title taken, is C-ECHO answered, what may be stored."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping

from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    EnhancedSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from dicom_node import scu
from dicom_node.peer_answer import REJECTIONS, PeerAnswer, Rejection
from inference.errors import PeerFailure
from server.checks.answer import Answer, fail, ok, warn
from server.outbound import dicom_destination, probe
from server.peers import DicomPeer, StowPeer
from server.settings import SEND, Settings

ALWAYS_SENT = (str(Comprehensive3DSRStorage), str(SegmentationStorage))
LONGEST_CONNECT_S = 5.0


def sent_classes(settings: Settings) -> tuple[str, ...]:
    """SOP Class UIDs of what destinations get under these settings."""
    by_setting: Mapping[UID, bool] = {
        EnhancedSRStorage: settings.text_report == SEND,
        SecondaryCaptureImageStorage: settings.key_images == SEND,
        GrayscaleSoftcopyPresentationStateStorage: settings.presentation_states,
        KeyObjectSelectionDocumentStorage: settings.rejection_note != "none",
    }
    return (*ALWAYS_SENT, *(str(uid) for uid, is_sent in by_setting.items() if is_sent))


def check_peers(settings: Settings) -> Iterator[Answer]:
    """Every destination and every source that is asked for sizes."""
    peers = settings.destination_peers()
    if not peers:
        yield warn(
            "destinations",
            "There is no destination: results stay here.",
            "Set destinations, like PACS=PACS_AE@10.0.0.5:104.",
        )
    for peer in peers:
        name = f"destination {peer.name}"
        if isinstance(peer, StowPeer):
            yield _check_stow(name, peer, settings)
        else:
            yield _check_dicom(name, peer, settings, sent_classes(settings))
    for peer in settings.source_peers().values():
        classes = (str(StudyRootQueryRetrieveInformationModelFind),)
        yield _check_dicom(f"source {peer.ae_title}", peer, settings, classes)


def _check_dicom(name: str, peer: DicomPeer, settings: Settings, classes: tuple[str, ...]) -> Answer:
    unreached = _unreached(name, peer, settings)
    if unreached is not None:
        return unreached
    answer = scu.ask(dicom_destination(peer, settings), classes)
    if answer.rejection is not None:
        return _rejected(name, answer.rejection, peer, settings)
    if answer.problem is not None:
        return fail(
            name,
            f"{peer.host}:{peer.port} takes the connection, but no association.",
            "Is it a DICOM port? A firewall, or a peer that wants TLS, can also end what it does not understand.",
        )
    return _accepted(name, answer, classes)


def _unreached(name: str, peer: DicomPeer, settings: Settings) -> Answer | None:
    place = f"{peer.host}:{peer.port}"
    try:
        socket.create_connection((peer.host, peer.port), min(settings.delivery_timeout, LONGEST_CONNECT_S)).close()
    except socket.gaierror:
        return fail(name, f"The name {peer.host} is not known here.", "Correct it, or give the address in numbers.")
    except ConnectionRefusedError:
        return fail(name, f"Nothing listens on {place}.", "Is the PACS running, and is that its DICOM port?")
    except TimeoutError:
        return fail(name, f"{place} does not answer.", "A firewall between the two, or a wrong address.")
    except OSError as error:
        return fail(name, f"{place} is not reached: {error.strerror}.", "Look at the route and the firewall.")
    return None


def _rejected(name: str, rejection: Rejection, peer: DicomPeer, settings: Settings) -> Answer:
    unknown = (f"Rejected for reason {rejection.source}.{rejection.reason}.", "Look into the peer's log.")
    meaning, advice = REJECTIONS.get((rejection.source, rejection.reason), unknown)
    words = {"calling": settings.ae_title, "called": peer.ae_title, "host": peer.host, "port": peer.port}
    return fail(name, meaning, advice.format(**words))


def _accepted(name: str, answer: PeerAnswer, classes: tuple[str, ...]) -> Answer:
    missing = [uid for uid in classes if uid not in answer.accepted]
    names = ", ".join(UID(uid).name for uid in missing)
    if missing:
        what = (
            "Their objects go to the dead letter"
            if name.startswith("destination")
            else "It cannot be asked for sizes of studies"
        )
        return fail(name, f"It does not accept {names}.", f"{what}: have the PACS accept these SOP classes.")
    taken = f"It takes {', '.join(UID(uid).name for uid in classes)}"
    if answer.echo_status != 0:
        return warn(
            name, f"{taken}, but does not answer C-ECHO.", "Verification is a class that every node should have."
        )
    return ok(name, f"{taken}, and answers C-ECHO.")


def _check_stow(name: str, peer: StowPeer, settings: Settings) -> Answer:
    try:
        probe(peer, settings)
    except PeerFailure as failure:
        return fail(name, str(failure), "Does the address end in /studies, and may this node search there (QIDO-RS)?")
    return ok(name, "It answers a search (QIDO-RS); what it stores shows with the first result.")
