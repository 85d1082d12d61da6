"""Signing in at an OpenID provider: the way there, and the way back."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from notifier.auth.oidc_request import REQUEST_LIFETIME, OidcProviderError, OidcRefusedError
from notifier.auth.oidc_sign_in import CALLBACK_PATH, OidcAnswer, OidcSignIn
from notifier.auth.password_hasher import TooManySignInsError
from notifier.console.context import get_console
from notifier.console.form import FormErrors
from notifier.console.page import find_next_path
from notifier.console.pages.sign_in import REFUSED, begin_session, find_origin, show_form
from notifier.console.session_gate import get_request_origin
from notifier.errors import NotFoundError

SECURE_COOKIE, LOOPBACK_COOKIE = "__Host-notifier-oidc", "notifier-oidc-on-this-machine"
UNAVAILABLE = 503


async def start_oidc(request: Request) -> Response:
    """Send the browser to the provider. Its cookie says later that it is the browser that began."""
    oidc, next_path = _require_oidc(request), request.query_params.get("next", "")
    try:
        start = await oidc.begin(_get_redirect_uri(request), find_next_path(next_path))
    except (OidcProviderError, TooManySignInsError) as error:
        return await _show_refusal(request, str(error), UNAVAILABLE)
    response = RedirectResponse(start.url, 303)
    is_secure = get_request_origin(request).is_secure
    # Lax, because the browser comes back from another site.
    response.set_cookie(
        _get_cookie_name(request),
        start.browser_token,
        max_age=int(REQUEST_LIFETIME.total_seconds()),
        path="/",
        httponly=True,
        secure=is_secure,
        samesite="lax",
    )
    return response


async def finish_oidc(request: Request) -> Response:
    """Sign in whom the provider sends back."""
    oidc, query, cookie_name = _require_oidc(request), request.query_params, _get_cookie_name(request)
    answer = OidcAnswer(
        state=query.get("state", ""),
        code=query.get("code", ""),
        browser_token=request.cookies.get(cookie_name, ""),
        redirect_uri=_get_redirect_uri(request),
    )
    if "error" in query:
        return await _show_refusal(request, "The provider has not signed you in. Try again, or ask an admin.", REFUSED)
    try:
        signed_in, next_path = await oidc.finish(answer, find_origin(request))
    except OidcRefusedError as error:
        response = await _show_refusal(request, str(error), REFUSED)
    except OidcProviderError as error:
        response = await _show_refusal(request, str(error), UNAVAILABLE)
    else:
        response = begin_session(request, signed_in, find_next_path(next_path))
    is_secure = get_request_origin(request).is_secure
    response.delete_cookie(cookie_name, path="/", httponly=True, secure=is_secure, samesite="lax")
    return response


def _require_oidc(request: Request) -> OidcSignIn:
    """Get the provider of the settings. Raises `NotFoundError` if there is none."""
    oidc = get_console(request).oidc
    if oidc is None:
        raise NotFoundError
    return oidc


async def _show_refusal(request: Request, message: str, status: int) -> Response:
    return await show_form(request, "", FormErrors(values={}, messages={"": message}), status=status)


def _get_redirect_uri(request: Request) -> str:
    """Get the address to which the provider sends the browser back: the one at which it reached the console."""
    scheme, host, port = get_request_origin(request).origin
    name = f"[{host}]" if ":" in host else host
    has_own_port = (scheme, port) not in {("http", 80), ("https", 443)}
    return f"{scheme}://{name}{f':{port}' if has_own_port else ''}{CALLBACK_PATH}"


def _get_cookie_name(request: Request) -> str:
    return SECURE_COOKIE if get_request_origin(request).is_secure else LOOPBACK_COOKIE


open_routes = [Route("/oidc/start", start_oidc), Route("/oidc/callback", finish_oidc)]
