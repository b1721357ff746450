"""A real OpenID Connect provider on loopback: Authlib's authorization server, run as a program of its own.

It demands PKCE, knows one confidential client, and signs in whoever comes. ``PUT /test`` says which claims the next
ID tokens get, and whether they are signed with the published key.
"""

# ruff: noqa: ARG002, ARG005 - the signatures are Authlib's
from __future__ import annotations

import base64
import hmac
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from builders.peers import LOOPBACK, free_tcp_port, running, wait_until

TESTS = str(Path(__file__).parents[1])
START = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module('builders.oidc', run_name='__main__')"
"""Runs this file as a program that finds its neighbours."""
CLIENT_ID, CLIENT_SECRET = "spine-node", "of-this-test-only"


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcProvider:
    """A running provider."""

    issuer: str

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Iterator[OidcProvider]:
        """Run it until the block ends."""
        port = free_tcp_port()
        made = cls(issuer=f"http://{LOOPBACK}:{port}")
        with running([sys.executable, "-c", START, TESTS, str(port)], log=folder / "oidc.log"):
            wait_until(made.is_ready, timeout_s=60, what="the identity provider")
            yield made

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            return httpx.get(f"{self.issuer}/.well-known/openid-configuration").is_success
        except httpx.TransportError:
            return False

    def gives(self, claims: Mapping[str, Any], *, key: str = "published") -> None:
        """Decide about the next ID tokens; `key`: ``published``, ``other``, ``none``, or ``public`` (HS256 with it)."""
        httpx.put(f"{self.issuer}/test", json={"claims": dict(claims), "key": key}).raise_for_status()

    def rotates_its_key(self) -> None:
        """Publish and use another key from now on."""
        httpx.post(f"{self.issuer}/test").raise_for_status()


def _signed_with(public: bytes, claims: Mapping[str, Any]) -> str:
    """HS256 with a public key as the secret, which no library would write: the classic confusion of algorithms."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "HS256"}, claims)]
    signature = hmac.digest(public, b".".join(parts), "sha256")
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def _serve(port: int) -> None:  # noqa: C901 - a whole program, that only the tests run
    from authlib.integrations.flask_oauth2 import AuthorizationServer  # noqa: PLC0415
    from authlib.oauth2.rfc6749 import ClientMixin, grants  # noqa: PLC0415
    from authlib.oauth2.rfc7636 import CodeChallenge  # noqa: PLC0415
    from authlib.oidc.core import AuthorizationCodeMixin, OpenIDCode  # noqa: PLC0415
    from flask import Flask, Response, jsonify, request  # noqa: PLC0415
    from joserfc import jwt  # noqa: PLC0415
    from joserfc.jwk import RSAKey  # noqa: PLC0415

    issuer = f"http://{LOOPBACK}:{port}"
    keys = {name: RSAKey.generate_key(2048, {"kid": name, "use": "sig"}) for name in ("first", "second", "other")}
    state: dict[str, Any] = {"claims": {}, "key": "published", "kid": "first"}
    codes: dict[str, Any] = {}

    class Client(ClientMixin):
        client_id = CLIENT_ID

        def get_client_id(self):
            return CLIENT_ID

        def get_allowed_scope(self, scope):
            return scope

        def check_redirect_uri(self, redirect_uri):
            return redirect_uri.endswith("/oidc/callback")

        def check_client_secret(self, client_secret):
            return client_secret == CLIENT_SECRET

        def check_endpoint_auth_method(self, method, endpoint):
            return method == "client_secret_basic"

        def check_response_type(self, response_type):
            return response_type == "code"

        def check_grant_type(self, grant_type):
            return grant_type == "authorization_code"

    @dataclass
    class Code(AuthorizationCodeMixin):
        redirect_uri: str
        scope: str
        nonce: str
        code_challenge: str
        code_challenge_method: str

        def get_redirect_uri(self):
            return self.redirect_uri

        def get_scope(self):
            return self.scope

        def get_nonce(self):
            return self.nonce

        def get_auth_time(self):
            return int(time.time())

        def get_acr(self):
            return None

        def get_amr(self):
            return None

    class CodeGrant(grants.AuthorizationCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)

        def save_authorization_code(self, code, request):
            data = request.payload.data
            names = ("redirect_uri", "scope", "nonce", "code_challenge", "code_challenge_method")
            codes[code] = Code(**{name: data[name] for name in names})

        def query_authorization_code(self, code, client):
            return codes.get(code)

        def delete_authorization_code(self, authorization_code):
            for code in [code for code, kept in codes.items() if kept is authorization_code]:
                del codes[code]

        def authenticate_user(self, authorization_code):
            return "somebody"

    class IdToken(OpenIDCode):
        def exists_nonce(self, nonce, request):
            return any(code.nonce == nonce for code in codes.values())

        def encode_id_token(self, token, request):
            now = int(time.time())
            claims = {"iss": issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300}
            claims |= self.get_authorization_code_claims(request.authorization_code) | state["claims"]
            if state["key"] == "none":
                return jwt.encode({"alg": "none"}, claims, None, ["none"])
            if state["key"] == "public":
                return _signed_with(keys[state["kid"]].as_pem(private=False), claims)
            key = keys["other" if state["key"] == "other" else state["kid"]]
            return jwt.encode({"alg": "RS256", "kid": state["kid"]}, claims, key)

    application = Flask("provider")
    server = AuthorizationServer(
        application,
        query_client=lambda identifier: Client() if identifier == CLIENT_ID else None,
        save_token=lambda token, request: None,
    )
    server.register_grant(CodeGrant, [IdToken(require_nonce=True), CodeChallenge(required=True)])

    @application.get("/.well-known/openid-configuration")
    def configuration():
        ends = {
            "authorization_endpoint": "authorize",
            "token_endpoint": "token",
            "jwks_uri": "keys",
        }
        return jsonify({"issuer": issuer} | {name: f"{issuer}/{path}" for name, path in ends.items()})

    @application.get("/keys")
    def published():
        return jsonify(keys=[keys[state["kid"]].as_dict(private=False), {"kty": "AKP", "kid": "of a later day"}])

    @application.get("/authorize")
    def authorize() -> Response:
        grant = server.get_consent_grant(end_user="somebody")
        return server.create_authorization_response(grant_user="somebody", grant=grant)

    @application.post("/token")
    def token() -> Response:
        return server.create_token_response()

    @application.put("/test")
    def decide():
        state.update(request.get_json())
        return "", 204

    @application.post("/test")
    def rotate():
        state["kid"] = "second"
        return "", 204

    application.run(LOOPBACK, port, threaded=True)


if __name__ == "__main__":
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
    _serve(int(sys.argv[1]))
