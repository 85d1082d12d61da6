"""What no database takes as text does not reach a route by its path: NUL, and half a character.

Nothing has a name with U+FFFD in it, so that the route answers as it does for every name that is not there.
"""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class PathCleaner:
    """ASGI around the application: puts U+FFFD in place of what PostgreSQL does not take."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] == "http" and _UNSTORABLE.search(scope["path"]):
            scope = {**scope, "path": _UNSTORABLE.sub("\ufffd", scope["path"])}
        await self._app(scope, receive, send)
