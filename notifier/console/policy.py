"""The response headers of the console: what its pages may load, and who may frame, keep or refer to them.

Scripts and styles of a page need its nonce. A frame with a mail has a policy of its own.
"""

import secrets

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FRAME_POLICY = (
    "default-src 'none'; img-src data: {images}; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none';"
    " frame-ancestors 'self'; sandbox"
)
"""The policy of a mail in a frame: it shows itself and does nothing."""
_PAGE_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; frame-src 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


class PageHeaders:
    """ASGI middleware that gives each response the headers that it does not set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        nonce = secrets.token_urlsafe(16)
        scope.setdefault("state", {})["nonce"] = nonce

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", _PAGE_POLICY.format(nonce=nonce))
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def get_nonce(request: Request) -> str:
    """Get the nonce of the page that answers this request."""
    return str(request.state.nonce)


def build_frame_headers(image_origin: str = "") -> dict[str, str]:
    """Build the headers of a mail in a frame. `image_origin`: from where it may load images, beside itself."""
    policy = " ".join(FRAME_POLICY.format(images=image_origin).replace(" ;", ";").split())
    return {"Content-Security-Policy": policy, "X-Frame-Options": "SAMEORIGIN"}
