"""The certificate that HTTP shows: readable, with its key, in force, for the names that browsers use."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from dicom_node.tls import TlsFiles, service_context
from inference.errors import SettingRefusal
from server.checks.answer import Answer, fail, ok, warn
from server.settings import Settings


def check_certificates(settings: Settings) -> Iterator[Answer]:
    """Nothing where HTTP speaks no TLS."""
    certificate, key = settings.http_tls_certificate, settings.http_tls_key
    if certificate is None or key is None:
        return
    name = "certificate of HTTP"
    try:
        service_context(TlsFiles(certificate=certificate, key=key))
        chain = x509.load_pem_x509_certificates(certificate.read_bytes())
    except (SettingRefusal, OSError, ValueError) as error:
        yield fail(
            name, str(error), "PEM files, the certificate before those that issued it, the key without passphrase."
        )
        return
    yield _check_time(name, chain, settings.tls_warning_days)
    yield _check_names(f"names of {name}", chain[0], settings.http_names)
    yield _check_chain(f"chain of {name}", chain)
    yield _check_key(f"key of {name}", key)


def _check_time(name: str, chain: list[x509.Certificate], few_days: float) -> Answer:
    now = datetime.now(UTC)
    first_end = min(one.not_valid_after_utc for one in chain)
    if chain[0].not_valid_before_utc > now:
        return fail(name, f"It is in force from {chain[0].not_valid_before_utc:%Y-%m-%d} on.", "Is the clock right?")
    days = (first_end - now).days
    words = f"It ends on {first_end:%Y-%m-%d} ({days} days)."
    if first_end <= now:
        return fail(
            name, f"It ended on {first_end:%Y-%m-%d}.", "Put a new one in its place; it is read without a restart."
        )
    return (
        ok(name, words)
        if days >= few_days
        else warn(name, words, "Get a new one in time; it is read without a restart.")
    )


def _check_names(name: str, leaf: x509.Certificate, wanted: tuple[str, ...]) -> Answer:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return fail(name, "It has no Subject Alternative Name, which browsers ask for.", "Have it issued with one.")
    held = {name.lower() for name in names.get_values_for_type(x509.DNSName)}
    held |= {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    missing = [one for one in wanted if one.lower() not in held and f"*.{one.partition('.')[2].lower()}" not in held]
    if missing:
        return fail(name, f"It is not for {', '.join(missing)}.", "Have it issued for every name of http_names.")
    return ok(name, f"It is for {', '.join(sorted(held))}.")


def _check_chain(name: str, chain: list[x509.Certificate]) -> Answer:
    for one, issuer in pairwise(chain):
        try:
            one.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            return fail(name, "A certificate of the file was not issued by the next one.", "Order them, ours first.")
    if len(chain) == 1 and chain[0].issuer != chain[0].subject:
        return warn(name, "The file holds one certificate only.", "Add those that issued it, but for the root.")
    return ok(name, f"{len(chain)} certificates, each issued by the next.")


def _check_key(name: str, key: Path) -> Answer:
    mode = stat.S_IMODE(key.stat().st_mode)
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        return warn(name, f"{key} (mode {mode:04o}) can be read by other users.", f"chmod 0600 {key}")
    return ok(name, f"{key} has mode {mode:04o}.")
