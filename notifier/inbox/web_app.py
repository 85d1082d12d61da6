"""The web application of the inbox: MailHog's API, the page and the page's API, under strict response headers.

It accepts requests by its own host names only, and changes from its own page only. A web page can resolve its own name
to this machine (DNS rebinding); the Host header then still has that name.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from email.utils import formatdate
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Match, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from notifier.head_request import HeadAsGet
from notifier.inbox.mailhog_api import MailHogApi
from notifier.inbox.message_store import MessageStore
from notifier.inbox.page_api import PageApi
from notifier.inbox.smtp_chaos import ChaosControl
from notifier.sse import RETRY_SECONDS, OpenStreams, TooManyStreamsError

_STATIC = Path(__file__).parent / "static"
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_STRICT = {
    # Mail comes from anywhere, so a browser must show it without any rights.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
MAX_INBOX_STREAMS = 100
"""The most event streams that an inbox keeps open."""
SAFE_METHODS = {"GET", "HEAD"}
_EVERYWHERE = {"", "0.0.0.0", "::"}  # noqa: S104 - listens on every address
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]/@\s]+)(?::[0-9]{1,5})?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Access:
    """The names by which an inbox may be reached, and the ports to which it may release mail."""

    bound_to: str = "127.0.0.1"  # the address that it listens on
    hosts: Collection[str] = ()  # other names by which it may be reached, such as that of a proxy
    release_ports: Collection[int] = ()  # of loopback, to which mail may be released

    def find_refusal(self, scope: Scope) -> str | None:
        """The reason why this request is refused, as a sentence for its sender; None if it is accepted."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_own(hosts[0]):
            return (
                "This inbox does not answer to this host name. Open it as localhost or 127.0.0.1, or start it with"
                " --allow-host and the name."
            )
        if scope["method"] not in SAFE_METHODS and _is_foreign(headers, hosts[0]):
            return "Another site may not change this inbox."
        return None

    def _is_own(self, value: str) -> bool:
        match = _HOST.fullmatch(value)
        if match is None:
            return False
        host = match[1].lower().rstrip(".")
        if host == "localhost" or host.endswith(".localhost") or host in {name.lower() for name in self.hosts}:
            return True
        try:
            address = ip_address(host.strip("[]"))
        except ValueError:
            return host == self.bound_to.lower()
        # An IP address cannot come from DNS rebinding.
        return address.is_loopback or self.bound_to in _EVERYWHERE or str(address) == self.bound_to.lower()


def _is_foreign(headers: Headers, host: str) -> bool:
    """True if a page of another site sends this request, by Sec-Fetch-Site and Origin, which only browsers send."""
    if headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
        return True
    origins = headers.getlist("origin")
    return any(_parse_origin(origin) != host.lower() for origin in origins)


def _parse_origin(origin: str) -> str | None:
    """The host and port of an origin; None if it has none."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return None
    return parts.netloc.lower() if parts.scheme in {"http", "https"} else None


def create_app(
    store: MessageStore, chaos: ChaosControl, *, smtp_address: str, access: Access, console_url: str = ""
) -> ASGIApp:
    """Build the ASGI application. The page names `smtp_address` as the address to send mail to."""
    streams = OpenStreams(max_streams=MAX_INBOX_STREAMS, max_per_owner=MAX_INBOX_STREAMS)
    routes = [
        Route("/", _serve_page, methods=["GET"]),
        Mount("/static", StaticFiles(directory=_STATIC)),
        *PageApi(store, chaos, streams, smtp_address=smtp_address, console_url=console_url).routes(),
        *MailHogApi(store, chaos, streams, access.release_ports).routes(),
    ]
    handlers: dict[Any, Any] = {
        404: _reply_not_found,
        405: _reply_wrong_method,
        TooManyStreamsError: _reply_too_many_streams,
    }
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return HeadAsGet(_StrictHeaders(app, access))


async def _reply_not_found(_request: Request, _error: Exception) -> Response:
    return PlainTextResponse("There is nothing at this path of the inbox.", 404)


async def _reply_too_many_streams(_request: Request, _error: Exception) -> Response:
    return PlainTextResponse("Too many pages watch this inbox: close one.", 429, {"Retry-After": str(RETRY_SECONDS)})


async def _reply_wrong_method(request: Request, _error: Exception) -> Response:
    routes: list[BaseRoute] = request.app.routes  # several may have this path, each for one method
    methods: set[str] = set()
    for route in routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    allowed = ", ".join(sorted(methods or SAFE_METHODS))
    if request.method == "OPTIONS":  # as MailHog answers; without CORS headers, so no other site may go on
        return Response(status_code=200, headers={"Allow": allowed})
    return PlainTextResponse(f"This path takes {allowed}.", 405, {"Allow": allowed})


async def _serve_page(_request: Request) -> Response:
    headers = {"Content-Security-Policy": _PAGE_POLICY, "Cache-Control": "no-cache"}
    return FileResponse(_STATIC / "index.html", headers=headers)


class _StrictHeaders:
    """Adds the strict headers that a response does not set itself, and refuses what the access policy refuses."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_strictly(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _STRICT.items():
                    headers.setdefault(name, value)
                headers.setdefault("Date", formatdate(usegmt=True))
            await send(message)

        refusal = self._access.find_refusal(scope)
        answer = self._app if refusal is None else PlainTextResponse(refusal, 403)
        await answer(scope, receive, send_strictly)
