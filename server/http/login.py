"""Signing in and out, and who one is."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from inference.errors import Failure
from server.auth.asked import COOKIE_PLAIN, COOKIE_TLS, Asked, asked
from server.auth.audit.record import AuditKind, Outcome, record_of
from server.auth.login import WRONG, Origin, admit, sign_in, sign_out
from server.auth.oidc import FLOW_S, LoginRefusal, Provider, decode_flow
from server.auth.pages import local_path, login_page
from server.auth.roles import NOBODY
from server.http.access import TheGuard, TheNode, ThePrincipal
from server.operations import NotThere

router = APIRouter(tags=["identity"])
_FLOW_COOKIE = "spine-login"
_MOST_FIELDS = 8


def _asked(request: Request) -> Asked:
    return asked(request.scope)


def _provider(request: Request) -> Provider:
    provider: Provider | None = request.app.state.provider
    if provider is None:
        raise NotThere("No identity provider is configured; the setting is http_authentication.")
    return provider


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form, each once."""
    body = (await request.body()).decode("utf-8", "replace")
    try:
        fields = parse_qs(body, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items() if "\0" not in values[0]}


def _authentication(node: TheNode) -> frozenset[str]:
    methods = frozenset(node.settings.http_authentication)
    if not methods:
        raise NotThere("This node is open on its own machine; the setting is http_authentication.")
    return methods


TheRequest = Annotated[Asked, Depends(_asked)]
TheProvider = Annotated[Provider, Depends(_provider)]
TheForm = Annotated[dict[str, str], Depends(_form)]
TheMethods = Annotated[frozenset[str], Depends(_authentication)]


@router.get("/login", include_in_schema=False)
def login_form(methods: TheMethods, next: str = "/") -> Response:  # noqa: A002 - the name in the address
    """The page."""
    return _page(methods, next)


@router.post("/login", include_in_schema=False)
def login(guard: TheGuard, methods: TheMethods, request: TheRequest, form: TheForm) -> Response:
    """Compare name and password; the browser is sent on with a session, or gets the page again with one sentence."""
    back_to = local_path(form.get("next"))
    if "local" not in methods:
        return _page(methods, back_to, message="This node signs nobody in by password.", status=403)
    name, password = form.get("name", ""), form.get("password", "")
    attempt = sign_in(guard, _origin(request), name=name, password=password)
    if attempt.wait_s > 0.0:
        page = _page(methods, back_to, message="Too many tries; wait some minutes.", status=429)
        page.headers["retry-after"] = str(int(attempt.wait_s) + 1)
        return page
    if attempt.token is None:
        return _page(methods, back_to, message=WRONG, status=401)
    return _with_session(RedirectResponse(back_to, status_code=303), request, attempt.token)


@router.post("/logout", include_in_schema=False)
def logout(guard: TheGuard, request: TheRequest, principal: ThePrincipal) -> Response:
    """End the session, and go to the login page."""
    token = request.session_token
    if token and principal is not NOBODY:
        sign_out(guard, principal, token, request.address)
    response = RedirectResponse("/login", status_code=303)
    response.delete_cookie(_session_cookie(request), secure=request.is_https, httponly=True, samesite="lax")
    return response


@router.get("/oidc/login", include_in_schema=False)
def oidc_login(provider: TheProvider, methods: TheMethods, request: TheRequest, next: str = "/") -> Response:  # noqa: A002
    """Send the browser to the identity provider."""
    back_to = local_path(next)
    try:
        address, flow = provider.begin(redirect_uri=_redirect_uri(request), back_to=back_to)
    except Failure as failure:
        return _page(methods, back_to, message=str(failure), status=503)
    response = RedirectResponse(address, status_code=303)
    response.set_cookie(
        _FLOW_COOKIE,
        flow.encode(),
        max_age=FLOW_S,
        path="/oidc",
        secure=request.is_https,
        httponly=True,
        samesite="lax",  # the provider sends the browser back from its own site
    )
    return response


@router.get("/oidc/callback", include_in_schema=False)
def oidc_callback(
    guard: TheGuard, provider: TheProvider, methods: TheMethods, request: TheRequest, http: Request
) -> Response:
    """Let in whom the identity provider signed in."""
    origin = _origin(request)
    try:
        flow = decode_flow(request.cookie(_FLOW_COOKIE))
        principal = provider.finish(dict(http.query_params), flow, redirect_uri=_redirect_uri(request))
    except (LoginRefusal, Failure) as error:
        failed = record_of(AuditKind.LOGIN, NOBODY, outcome=Outcome.MINOR_FAILURE, address=origin.address)
        guard.record(failed, once=True)
        return _page(methods, "/", message=str(error), status=403 if isinstance(error, LoginRefusal) else 503)
    response = RedirectResponse(local_path(flow.next), status_code=303)
    response.delete_cookie(_FLOW_COOKIE, path="/oidc", secure=request.is_https, httponly=True, samesite="lax")
    return _with_session(response, request, admit(guard, origin, principal))


@router.get("/api/v1/me", summary="Who asks, and what they may do.")
def me(principal: ThePrincipal) -> dict[str, Any]:
    """``role`` is null for a key, and for a user of this machine where the node is open."""
    return {
        "subject": principal.subject,
        "display_name": principal.display_name,
        "role": principal.role,
        "method": principal.method,
        "permissions": sorted(principal.permissions),
    }


def _page(methods: frozenset[str], back_to: str, *, message: str = "", status: int = 200) -> Response:
    return login_page(
        back_to=back_to,
        message=message,
        with_password="local" in methods,
        with_provider="oidc" in methods,
        status=status,
    )


def _origin(request: Asked) -> Origin:
    return Origin(address=request.address, network=request.network, former_token=request.session_token)


def _redirect_uri(request: Asked) -> str:
    """Where the provider sends the browser back to; ``Host`` is one of ours, as the gate has checked."""
    return f"{request.scheme}://{request.host}/oidc/callback"


def _session_cookie(request: Asked) -> str:
    return COOKIE_TLS if request.is_https else COOKIE_PLAIN


def _with_session(response: Response, request: Asked, token: str) -> Response:
    response.set_cookie(
        _session_cookie(request), token, path="/", secure=request.is_https, httponly=True, samesite="lax"
    )
    return response
