"""Tables of the conformance statement (PS3.2), from dicom_node's own tables."""

from __future__ import annotations

import ssl

from pydicom.uid import UID

from dicom_node import code_table, commitment, delivery, file_meta, verdicts
from dicom_node.storage_classes import ACCEPTED_TRANSFER_SYNTAXES, STORAGE_CLASSES, StorageClass
from dicom_node.tls import SUITES_OF_TLS_1_2
from dicom_node.tls_socket import HandshakeReason
from docs.blocks.markdown import table
from docs.blocks.sentences import member_sentences


def storage_classes() -> str:
    """Every SOP class that is accepted, with the groups of transfer syntaxes."""
    rows = [
        (UID(entry.uid).name, f"`{entry.uid}`", entry.kind.value, len(entry.transfer_syntaxes), _excluded(entry))
        for entry in STORAGE_CLASSES.values()
    ]
    return table(("SOP class", "UID", "kind", "transfer syntaxes", "not accepted"), rows)


def transfer_syntaxes() -> str:
    """Every transfer syntax, in the order in which the listener prefers them."""
    longest = max(STORAGE_CLASSES.values(), key=lambda entry: len(entry.transfer_syntaxes)).transfer_syntaxes
    order = [*longest, *sorted(ACCEPTED_TRANSFER_SYNTAXES - set(longest))]
    return table(("transfer syntax", "UID"), [(UID(uid).name, f"`{uid}`") for uid in order])


def receive_status() -> str:
    """What a sender is told, for everything that can become of a C-STORE."""
    sentences = member_sentences(verdicts.Verdict)
    rows = [
        (f"0x{response.status:04X}", sentences[verdict.name], response.comment or "none")
        for verdict, response in verdicts.RESPONSES.items()
    ]
    return table(("status", "when", "error comment"), rows)


def send_status() -> str:
    """What the status of a peer means for an object of ours."""
    rows = [(f"0x{status:04X}", r.meaning, r.verdict.value) for status, r in delivery.STORE_STATUS.items()]
    rows += [(f"0x{a:04X}-0x{b:04X}", r.meaning, r.verdict.value) for a, b, r in delivery.STORE_STATUS_RANGES]
    return table(("status", "meaning", "outcome"), rows)


def commitment_reasons() -> str:
    """Why an instance is not committed to."""
    rows = [(f"0x{reason:04X}", reason.name.replace("_", " ").lower()) for reason in commitment.FailureReason]
    return table(("failure reason", "meaning"), rows)


def implementation() -> str:
    """How this implementation names itself on the wire and in files."""
    rows = [
        ("Implementation Class UID", f"`{file_meta.IMPLEMENTATION_CLASS_UID}`"),
        ("Implementation Version Name", f"`{file_meta.IMPLEMENTATION_VERSION_NAME}`"),
    ]
    return table(("item", "value"), rows)


def tls_suites() -> str:
    """What is negotiated, in the order of preference."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    newest = [str(cipher["name"]) for cipher in context.get_ciphers() if cipher["protocol"] == "TLSv1.3"]
    rows = [("1.3", f"`{name}`") for name in newest] + [("1.2", f"`{name}`") for name in SUITES_OF_TLS_1_2]
    return table(("TLS", "suite (OpenSSL's name)"), rows)


def handshake_reasons() -> str:
    """Every word for a handshake that came to nothing."""
    sentences = member_sentences(HandshakeReason)
    return table(("reason", "meaning"), [(f"`{reason}`", sentences[reason.name]) for reason in HandshakeReason])


def private_codes() -> str:
    """The codes of the private scheme."""
    rows = [
        (concept.value, concept.meaning, concept.radelement or "")
        for concept in code_table.ALL_CONCEPTS
        if concept.scheme == code_table.PRIVATE_SCHEME
    ]
    return table(("code", "meaning", "RadElement (documentation only)"), rows)


def _excluded(entry: StorageClass) -> str:
    missing = ACCEPTED_TRANSFER_SYNTAXES - set(entry.transfer_syntaxes)
    if not missing:
        return "none"
    names = sorted(UID(uid).name for uid in missing)
    return f"{len(names)} compressed" if len(names) > 4 else ", ".join(names)  # noqa: PLR2004 - a cell that is read
