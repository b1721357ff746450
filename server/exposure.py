"""Where this node may listen. HTTP and the report feed: open on loopback; elsewhere only with authentication and TLS.

The rules of these settings together, as one table of refusals, each one sentence that says what would be right.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from inference.errors import SettingRefusal
from server.auth.roles import Role

if TYPE_CHECKING:
    from server.settings import Settings  # which calls check_exposure

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
METHODS = frozenset({"local", "oidc"})


def check_exposure(settings: Settings) -> None:
    """Refuse what would let anybody in, or let anybody listen.

    Raises:
        SettingRefusal: the settings do not go together.
    """
    if settings.receivers > 1 and 0 in (settings.dicom_port, settings.dicom_tls_port):
        raise SettingRefusal("Several receivers share each port, so dicom_port and dicom_tls_port have numbers; got 0.")
    if bool(settings.http_tls_certificate) != bool(settings.http_tls_key):
        raise SettingRefusal("TLS needs both http_tls_certificate and http_tls_key.")
    _check_networks("http_trusted_proxies", settings.http_trusted_proxies)
    _check_report_feed(settings)
    _check_methods(settings)
    if not settings.http_authentication:
        _check_closed(settings)
    elif not is_loopback(settings.http_host):
        _check_tls(settings)


def _check_closed(settings: Settings) -> None:
    """Without authentication nothing but this machine, by its own name."""
    if not is_loopback(settings.http_host):
        raise SettingRefusal(
            f"HTTP listens on loopback only where nobody signs in; got http_host {settings.http_host!r}: "
            f"set http_authentication and TLS (http_tls_certificate, http_tls_key), or use 127.0.0.1."
        )
    if settings.http_trusted_proxies or set(settings.http_names) - LOOPBACK_NAMES:
        raise SettingRefusal(
            "Behind a proxy, or by another name than localhost, HTTP needs http_authentication: "
            "got http_trusted_proxies or http_names without it."
        )


def _check_tls(settings: Settings) -> None:
    if not settings.http_tls_certificate and not settings.http_trusted_proxies:
        raise SettingRefusal(
            f"HTTP on {settings.http_host!r} needs TLS: set http_tls_certificate and http_tls_key, or "
            f"http_trusted_proxies where a reverse proxy in front ends TLS."
        )
    if not settings.http_names:
        raise SettingRefusal(
            f"HTTP on {settings.http_host!r} needs http_names: the names by which browsers call this node."
        )


def _check_report_feed(settings: Settings) -> None:
    """HL7 v2 over MLLP knows no login: who may send is said by address, and by certificate where it is asked for."""
    _check_networks("hl7_senders", settings.hl7_senders)
    if bool(settings.hl7_tls_certificate) != bool(settings.hl7_tls_key):
        raise SettingRefusal("TLS of the report feed needs both hl7_tls_certificate and hl7_tls_key.")
    if settings.hl7_tls_authorities and not settings.hl7_tls_certificate:
        raise SettingRefusal("hl7_tls_authorities needs TLS: hl7_tls_certificate and hl7_tls_key.")
    if settings.hl7_port and not is_loopback(settings.hl7_host):
        if not settings.hl7_tls_certificate:
            raise SettingRefusal(
                f"The report feed on {settings.hl7_host!r} needs TLS (hl7_tls_certificate, hl7_tls_key): PHI would be "
                f"sent unprotected; or use 127.0.0.1, where a proxy in front ends TLS."
            )
        if not settings.hl7_senders:
            raise SettingRefusal(
                f"The report feed on {settings.hl7_host!r} needs hl7_senders: the addresses that may send reports."
            )


def _check_networks(setting: str, networks: Collection[str]) -> None:
    for text in networks:
        try:
            ipaddress.ip_network(text, strict=True)
        except ValueError:
            raise SettingRefusal(
                f"{setting} are addresses or networks, like 10.0.0.5 or 10.0.1.0/24; got {text!r}."
            ) from None


def _check_methods(settings: Settings) -> None:
    unknown = sorted(set(settings.http_authentication) - METHODS)
    if unknown:
        raise SettingRefusal(f"http_authentication is local, oidc or both, got {unknown[0]!r}.")
    for text in settings.oidc_roles:
        word, _, role = text.rpartition("=")
        if not word or role not in set(Role):
            raise SettingRefusal(f"oidc_roles are VALUE=ROLE with a role of {', '.join(Role)}; got {text!r}.")
    if "oidc" not in settings.http_authentication:
        return
    parts = urlsplit(settings.oidc_issuer)
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    if not is_safe or not settings.oidc_client_id:
        raise SettingRefusal(
            "OpenID Connect needs oidc_issuer, which begins with https://, and oidc_client_id; "
            f"got {settings.oidc_issuer!r} and {settings.oidc_client_id!r}."
        )


def host_names(settings: Settings) -> frozenset[str]:
    """By which names ``Host`` may call this node, in lower case without the port."""
    listens = settings.http_host if ":" not in settings.http_host else f"[{settings.http_host.strip('[]')}]"
    own = {listens.lower()} if is_loopback(settings.http_host) else set()
    return LOOPBACK_NAMES | own | {name.lower() for name in settings.http_names}


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
