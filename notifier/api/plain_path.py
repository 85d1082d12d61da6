"""Nothing has a name with NUL in it: such a path is answered before a route, its key or a database sees it.

PostgreSQL takes no text with NUL, and a driver's error is no answer.
"""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from notifier.api import problems


class PlainPath:
    """ASGI around the application: answers 404 to a path that cannot name anything."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or is_plain(scope["path"]):
            await self._app(scope, receive, send)
            return
        kind = problems.Kind(problems.NOT_FOUND, "not_found", "Not found")
        reply = problems.problem(Request(scope), kind, "the path has NUL, or half a character, in it")
        await reply(scope, receive, send)


def is_plain(path: str) -> bool:
    """Whether a database takes every part of the path as text: it has no NUL and no lone surrogate."""
    if path.isascii():
        return "\x00" not in path
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in path
