"""Replaces characters in paths that no database stores: NUL and lone surrogates.

No name has U+FFFD in it, so the route answers as for every name that does not exist.
"""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class PathCleaner:
    """ASGI middleware that replaces what PostgreSQL does not store by U+FFFD."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and _UNSTORABLE.search(scope["path"]):
            scope = {**scope, "path": _UNSTORABLE.sub("\ufffd", scope["path"])}
        await self._app(scope, receive, send)
