"""Lets signed-in people in: the cookie of a session, and the check before each page that is not open to all."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import wraps
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from notifier.auth import staff_session
from notifier.auth.staff_session import StaffSession
from notifier.console.context import get_console
from notifier.console.origin import RequestOrigin
from notifier.db.timed_change import open_timed_change
from notifier.errors import DatabaseUnavailableError

SECURE_COOKIE, LOOPBACK_COOKIE = "__Host-notifier", "notifier-on-this-machine"
"""The cookie over HTTPS, and the one over HTTP on this machine, where some browsers refuse `Secure`."""
SIGN_IN_PATH = "/console/sign-in"
Endpoint = Callable[[Request], Awaitable[Response]]


class SignedOutError(Exception):
    """The request has no session: unknown, too old or revoked."""


def get_request_origin(request: Request) -> RequestOrigin:
    """Get the address at which the browser reached the console."""
    origin: RequestOrigin = request.state.origin
    return origin


def set_session_cookie(request: Request, response: Response, token: str) -> None:
    """Send the browser the token of its new session."""
    is_secure = get_request_origin(request).is_secure
    response.set_cookie(_get_cookie_name(request), token, path="/", httponly=True, secure=is_secure, samesite="lax")


def delete_session_cookie(request: Request, response: Response) -> None:
    """Tell the browser to forget its token."""
    is_secure = get_request_origin(request).is_secure
    response.delete_cookie(_get_cookie_name(request), path="/", httponly=True, secure=is_secure, samesite="lax")


async def find_request_session(request: Request) -> StaffSession | None:
    """Find the session of a request; None if nobody is signed in."""
    token = request.cookies.get(_get_cookie_name(request))
    if not token:
        return None
    console = get_console(request)
    async with console.read_slots.open() as connection:
        return await staff_session.find_session(connection, token, console.clock.now(), console.authenticator.times)


def guard_endpoint(endpoint: Endpoint) -> Endpoint:
    """Wrap a handler so that it runs for signed-in people only, with their session in `request.state`."""

    @wraps(endpoint)
    async def run_signed_in(request: Request) -> Response:
        session = await find_request_session(request)
        if session is None:
            return _ask_to_sign_in(request)
        request.state.session = session
        request.state.flash = await _note_use(request, session)
        return await endpoint(request)

    return run_signed_in


def is_fragment(request: Request) -> bool:
    """True if htmx asks for a part of a page, or a stream is opened: neither counts as use of the session."""
    return "hx-request" in request.headers or "text/event-stream" in request.headers.get("accept", "")


async def _note_use(request: Request, session: StaffSession) -> str | None:
    """Note that the session is in use, and take what the last page left to say.

    A database that takes no writes at the moment shows its pages all the same.
    """
    if is_fragment(request):
        return None
    console, now = get_console(request), get_console(request).clock.now()
    takes_flash = session.flash is not None and request.method == "GET"
    if not takes_flash and not _is_due(session, now):
        return None
    try:
        async with open_timed_change(console.database) as connection:
            await staff_session.touch_session(connection, session.id, now)
            return await staff_session.take_flash(connection, session.id) if takes_flash else None
    except DatabaseUnavailableError:
        return None


def _is_due(session: StaffSession, now: datetime) -> bool:
    return now - session.seen_at > staff_session.SEEN_PRECISION


def _ask_to_sign_in(request: Request) -> Response:
    if is_fragment(request):
        raise SignedOutError
    query = f"?{request.url.query}" if request.url.query else ""
    here = request.scope["path"] + query if request.method == "GET" else ""
    next_part = f"?next={quote(here, safe='')}" if here not in {"", "/console/"} else ""
    return RedirectResponse(SIGN_IN_PATH + next_part, 303)


def _get_cookie_name(request: Request) -> str:
    return SECURE_COOKIE if get_request_origin(request).is_secure else LOOPBACK_COOKIE
