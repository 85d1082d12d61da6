"""Answers HEAD requests like GET, but without the body (RFC 9110 §9.3.2)."""

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """ASGI middleware for an application without HEAD. All other requests pass unchanged.

    A response without an end, such as an event stream, is cancelled after its head.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        is_answered = asyncio.Event()
        get_scope = {**scope, "method": "GET"}

        async def send_head(message: Message) -> None:
            scope["route"] = get_scope.get("route")  # for the layers outside of this one
            if message["type"] == "http.response.start":
                await send(message)
                if "content-length" not in Headers(raw=message["headers"]):
                    await send({"type": "http.response.body"})
                    is_answered.set()
                    await asyncio.get_running_loop().create_future()  # until this task is cancelled
            elif not message.get("more_body", False):
                await send({"type": "http.response.body"})

        # A task, because a stream that waits for its first event can only be stopped by cancelling it.
        answering = asyncio.ensure_future(self._app(get_scope, receive, send_head))
        noticing = asyncio.create_task(is_answered.wait())
        try:
            await asyncio.wait({answering, noticing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            noticing.cancel()
            answering.cancel()  # does nothing if it is done
        await asyncio.gather(answering, return_exceptions=is_answered.is_set())
