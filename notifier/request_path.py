"""Cleans the paths of requests of characters that PostgreSQL does not store."""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class PathCleaner:
    """ASGI middleware that replaces characters of a path that PostgreSQL does not store by U+FFFD.

    No name has U+FFFD in it, so the route answers as for every name that does not exist.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and _UNSTORABLE.search(scope["path"]):
            scope["path"] = _UNSTORABLE.sub("\ufffd", scope["path"])
        await self._app(scope, receive, send)
