"""Settings become the gate's rules; apart from server.compose, because only the web process needs them."""

from __future__ import annotations

from inference.errors import SettingRefusal
from server.auth.guard import GuardRules
from server.auth.oidc import OidcRules
from server.auth.roles import Role
from server.auth.sessions import SessionRules
from server.exposure import host_names
from server.settings import Settings


def guard_rules(settings: Settings) -> GuardRules:
    """How HTTP is reached, and by whom."""
    return GuardRules(
        source=settings.ae_title,
        host_names=host_names(settings),
        is_open=not settings.http_authentication,
        demands_https=bool(settings.http_trusted_proxies),
        sessions=SessionRules(idle_s=settings.session_idle, lifetime_s=settings.session_lifetime),
        requests_per_minute=settings.http_requests_per_minute,
    )


def oidc_rules(settings: Settings) -> OidcRules | None:
    """How we are known to the identity provider; None without one.

    Raises:
        SettingRefusal: the file with the client's secret cannot be read.
    """
    if "oidc" not in settings.http_authentication:
        return None
    file = settings.oidc_client_secret_file
    try:
        secret = "" if file is None else file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingRefusal(f"The setting oidc_client_secret_file names {file}, which cannot be read.") from error
    pairs = (text.rpartition("=") for text in settings.oidc_roles)
    return OidcRules(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        client_secret=secret,
        scope=settings.oidc_scope,
        role_claim=settings.oidc_role_claim,
        roles=tuple((word, Role(role)) for word, _, role in pairs),
    )
