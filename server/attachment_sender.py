"""Sending one submission to a payer: HTTPS, TLS 1.2 or newer, no redirect, no proxy; the answer as a verdict."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from http import HTTPStatus

import httpx

from claims.attachment import AttachmentRefusal
from claims.attachments.acknowledgement import NOTHING, Acknowledgement, Answer, read_acknowledgement
from claims.attachments.cdex import OPERATION
from claims.attachments.envelope import payload_of
from dicom_node.delivery import Verdict, rule_http
from inference.errors import SettingRefusal
from server.claim_destinations import ClaimDestination, DestinationKind, require_tls

LONGEST_ANSWER = 8 << 20
"""Octets of an answer that are read; no acknowledgement comes near."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What became of one try."""

    verdict: Verdict
    """Of the transport: whether the payer has it, will never take it, or may take it later."""
    acknowledgement: Acknowledgement
    sentence: str
    """For a person; no identity, and nothing that the payer wrote in words."""


def submit(name: str, destination: ClaimDestination, content_type: str, body: bytes, *, timeout_s: float) -> Submitted:
    """Post it once, whatever goes wrong at the other end.

    Raises:
        SettingRefusal: the address has no TLS, or a certificate, key or token cannot be read.
    """
    require_tls(name, destination.url)
    context, headers = _security(name, destination)
    url = destination.url
    if destination.kind is DestinationKind.CDEX:
        url = f"{url.rstrip('/')}/{OPERATION}"
    try:
        # No proxy and no credentials from the environment: patient data goes where the settings say, and nowhere else.
        with (
            httpx.Client(verify=context, timeout=timeout_s, trust_env=False) as client,
            client.stream("POST", url, content=body, headers={**headers, "Content-Type": content_type}) as response,
        ):
            return _judge(response.status_code, response.headers.get("content-type", ""), _read(response))
    except httpx.TimeoutException:
        return _failed("no answer in time; the payer may have it, the same is sent again")
    except httpx.ConnectError as error:
        trouble = "its TLS certificate is not trusted" if "CERTIFICATE_VERIFY" in str(error) else "no connection"
        return _failed(trouble)
    except httpx.HTTPError as error:
        return _failed(f"connection broke ({type(error).__name__})")


def _security(name: str, destination: ClaimDestination) -> tuple[ssl.SSLContext, dict[str, str]]:
    headers = {}
    try:
        context = ssl.create_default_context(cafile=destination.authorities)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if destination.certificate is not None:
            context.load_cert_chain(destination.certificate, destination.certificate_key)
        if destination.token_file is not None:
            headers["Authorization"] = f"Bearer {destination.token_file.read_text(encoding='ascii').strip()}"
    except (OSError, UnicodeDecodeError) as error:  # ssl.SSLError is an OSError
        raise SettingRefusal(
            f"Claim destination {name}: its certificate, key, authorities or token cannot be used: "
            f"{getattr(error, 'reason', None) or getattr(error, 'strerror', None) or type(error).__name__}."
        ) from None
    return context, headers


def _read(response: httpx.Response) -> bytes:
    """The answer, or nothing of one that is longer than any acknowledgement."""
    found = bytearray()
    for chunk in response.iter_bytes():
        found += chunk
        if len(found) > LONGEST_ANSWER:
            return b""
    return bytes(found)


def _judge(status: int, content_type: str, body: bytes) -> Submitted:
    ruling = rule_http(status)
    note = ""
    try:
        acknowledgement = read_acknowledgement(payload_of(content_type, body))
    except AttachmentRefusal:
        acknowledgement, note = NOTHING, "; its X12 answer is broken"
    is_known = acknowledgement is not NOTHING and acknowledgement.answer is not Answer.REFUSED
    has_it_already = status == HTTPStatus.CONFLICT and is_known
    verdict = Verdict.ACCEPTED if has_it_already else ruling.verdict
    said = f", {acknowledgement.kind}: {acknowledgement.code}" if acknowledgement is not NOTHING else ""
    return Submitted(
        verdict=verdict, acknowledgement=acknowledgement, sentence=f"{ruling.meaning} (HTTP {status}){said}{note}"
    )


def _failed(sentence: str) -> Submitted:
    return Submitted(verdict=Verdict.FAILED, acknowledgement=NOTHING, sentence=sentence)
