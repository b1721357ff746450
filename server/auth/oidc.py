"""Signing in with the site's identity provider: OpenID Connect, authorization-code flow with PKCE.

Any provider that publishes ``/.well-known/openid-configuration``. The flow's secrets travel in a cookie of the user's
own browser, so that nothing is kept here for somebody who never comes back. The ID token is checked as OpenID Connect
Core 3.1.3.7 says: signature by a published key with an asymmetric algorithm, issuer, audience, time, nonce.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from inference.errors import PeerFailure, Refusal
from server.auth.roles import Method, Principal, Role, person

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""Asymmetric ones only: with HS256 a published key, or the client's secret, would be a signing key."""
FLOW_S = 600
"""How long a person may take at the provider."""
_TIMEOUT_S = 10.0
_LEEWAY_S = 60
_FRESH_S = 3600.0
_REFRESH_S = 30.0
"""Keys are read again when a token names an unknown one, but not more often than this."""
_KEY_TYPES = frozenset({"RSA", "EC"})
_LONGEST_NAME = 128
_LONGEST_SUBJECT = 255


class LoginRefusal(Refusal):
    """The provider's word is not one that lets somebody in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcRules:
    """How this node is known to the provider, and what the provider's words mean here."""

    issuer: str
    client_id: str
    client_secret: str
    """Empty for a public client."""
    scope: str
    role_claim: str
    """Where the role is in the ID token; a dot leads into an object, like ``realm_access.roles``."""
    roles: tuple[tuple[str, Role], ...]
    """What a value of the claim stands for; the first that the claim holds is the one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One login on its way, kept in a cookie of the browser that began it."""

    state: str
    nonce: str
    verifier: str
    next: str

    def encode(self) -> str:
        """As a cookie's value."""
        return base64.urlsafe_b64encode(json.dumps(asdict(self)).encode()).decode().rstrip("=")


def decode_flow(text: str | None) -> Flow:
    """The flow of a cookie.

    Raises:
        LoginRefusal: there is none, or it is none of ours.
    """
    try:
        values = json.loads(base64.urlsafe_b64decode((text or "") + "==="))
        return Flow(**{name: str(values[name]) for name in ("state", "nonce", "verifier", "next")})
    except (ValueError, KeyError, TypeError):
        raise LoginRefusal("This login was not begun in this browser, or took too long; begin again.") from None


class Provider:
    """The identity provider, as its published configuration describes it."""

    def __init__(self, rules: OidcRules) -> None:
        """Nothing is asked yet."""
        self._rules = rules
        self._lock = threading.Lock()
        self._configuration: Mapping[str, Any] = {}
        self._keys = KeySet([])
        self._read_at = float("-inf")

    def begin(self, *, redirect_uri: str, back_to: str) -> tuple[str, Flow]:
        """Where to send the browser, and the flow that it keeps.

        Raises:
            PeerFailure: the provider does not answer as one.
        """
        flow = Flow(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            next=back_to,
        )
        challenge = base64.urlsafe_b64encode(hashlib.sha256(flow.verifier.encode()).digest()).decode().rstrip("=")
        asked = {
            "response_type": "code",
            "client_id": self._rules.client_id,
            "redirect_uri": redirect_uri,
            "scope": self._rules.scope,
            "state": flow.state,
            "nonce": flow.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        endpoint = str(self._read()["authorization_endpoint"])
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}", flow

    def finish(self, answer: Mapping[str, str], flow: Flow, *, redirect_uri: str) -> Principal:
        """Who came back.

        Raises:
            LoginRefusal: the provider refused, the token is not for us or not now, or gives no role.
            PeerFailure: the provider does not answer as one.
        """
        if not hmac.compare_digest(answer.get("state", "").encode(), flow.state.encode()):
            raise LoginRefusal("This login was not begun in this browser; begin again.")
        if answer.get("iss", self._rules.issuer) != self._rules.issuer:  # RFC 9207
            raise LoginRefusal("Another identity provider answered than the one that was asked.")
        if "code" not in answer:
            raise LoginRefusal("The identity provider did not sign this person in.")
        claims = self._claims(self._exchange(answer["code"], flow, redirect_uri), flow.nonce)
        return self._principal(claims)

    def _exchange(self, code: str, flow: Flow, redirect_uri: str) -> str:
        rules = self._rules
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": flow.verifier,
        }
        form |= {} if rules.client_secret else {"client_id": rules.client_id}
        auth = httpx.BasicAuth(rules.client_id, rules.client_secret) if rules.client_secret else None
        try:
            endpoint = str(self._read()["token_endpoint"])
            answer = httpx.post(endpoint, data=form, auth=auth, timeout=_TIMEOUT_S, trust_env=False)
            body = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise _silent(error) from None
        if not answer.is_success or not isinstance(body, dict) or not isinstance(body.get("id_token"), str):
            raise LoginRefusal("The identity provider gave no ID token for this login.")
        return str(body["id_token"])

    def _claims(self, token: str, nonce: str) -> Mapping[str, Any]:
        claims = self._verified(token)
        now, audience = time.time(), claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        is_ours = self._rules.client_id in audiences and (
            len(audiences) == 1 or claims.get("azp") == self._rules.client_id
        )
        expiry, issued = claims.get("exp"), claims.get("iat")
        is_now = (
            isinstance(expiry, int | float)
            and isinstance(issued, int | float)
            and issued - _LEEWAY_S <= now < expiry + _LEEWAY_S
        )
        is_bound = hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode())
        if claims.get("iss") != self._rules.issuer or not is_ours or not is_now or not is_bound:
            raise LoginRefusal("The identity provider's token is not for this node and this login, or not for now.")
        return claims

    def _verified(self, token: str) -> dict[str, Any]:
        self._read()
        for is_last in (False, True):
            try:
                return dict(jwt.decode(token, self._keys, algorithms=list(ALGORITHMS)).claims)
            except (JoseError, ValueError):
                if is_last or time.monotonic() - self._read_at < _REFRESH_S:
                    break
                self._read(again=True)  # the provider may have changed its keys
        raise LoginRefusal("The identity provider's token is not signed by one of its keys.")

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        subject = claims.get("sub")
        if not isinstance(subject, str) or not subject:
            raise LoginRefusal("The identity provider's token names nobody.")
        value: Any = claims
        for step in self._rules.role_claim.split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
        held = {value} if isinstance(value, str) else {v for v in value or () if isinstance(v, str)}
        role = next((role for word, role in self._rules.roles if word in held), None)
        if role is None:
            raise LoginRefusal("The identity provider gives this person no role of this node.")
        name = next((str(claims[n]) for n in ("name", "preferred_username") if claims.get(n)), subject)
        host = urlsplit(self._rules.issuer).netloc
        shown = "".join(character for character in name if character.isprintable())[:_LONGEST_NAME]
        return person(_printable(f"{subject}@{host}"), shown, role, Method.OIDC)

    def _read(self, *, again: bool = False) -> Mapping[str, Any]:
        """The provider's configuration and keys, not older than an hour."""
        with self._lock:
            if not again and time.monotonic() - self._read_at < _FRESH_S:
                return self._configuration
            url = f"{self._rules.issuer.rstrip('/')}/.well-known/openid-configuration"
            try:
                configuration = httpx.get(url, timeout=_TIMEOUT_S, trust_env=False).raise_for_status().json()
                keys = httpx.get(configuration["jwks_uri"], timeout=_TIMEOUT_S, trust_env=False)
                published = [key for key in keys.raise_for_status().json()["keys"] if key["kty"] in _KEY_TYPES]
                key_set = KeySet.import_key_set({"keys": published})
                is_it = configuration["issuer"] == self._rules.issuer and {
                    "authorization_endpoint",
                    "token_endpoint",
                } <= set(configuration)
            except (httpx.HTTPError, ValueError, KeyError, TypeError, JoseError) as error:
                raise _silent(error) from None
            if not is_it:
                raise PeerFailure("The identity provider calls itself by another name than the setting oidc_issuer.")
            self._configuration, self._keys, self._read_at = configuration, key_set, time.monotonic()
            return self._configuration


def _silent(error: Exception) -> PeerFailure:
    return PeerFailure(f"The identity provider does not answer as one ({type(error).__name__}).")


def _printable(subject: str) -> str:
    """Refuse what could look like another subject in a list or a log."""
    if not subject.isprintable() or len(subject) > _LONGEST_SUBJECT:
        raise LoginRefusal("The identity provider's name for this person cannot be kept.")
    return subject
