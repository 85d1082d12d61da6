"""MailHog's HTTP API, versions 1 and 2, for a message store.

MailHog's clients work with it unchanged. It differs where MailHog hides a mistake: an unknown id is 404 and not
`null`, and chaos that is not valid is 400. `docs/inbox.md` lists the differences.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from notifier.inbox import mailhog_json
from notifier.inbox.message_release import ReleaseRefusedError, ReleaseTarget, list_outgoing_servers, send_message
from notifier.inbox.message_search import SearchKind, find_messages
from notifier.inbox.message_store import MessageStore
from notifier.inbox.received_message import ReceivedMessage
from notifier.inbox.smtp_chaos import ChaosControl, ChaosSettings, InvalidChaosError
from notifier.sse import EventStream, OpenStreams

_V1_LIMIT = 1_000
_V2_LIMIT = 50
_V2_MAX_LIMIT = 250
_NOT_JSON = "The body is not JSON."
_CHAOS_IS_OFF = "Chaos is off: turn it on with POST /api/v2/jim."
_POSITIVE = re.compile(r"0*[1-9][0-9]{0,8}", re.ASCII)


class MailHogApi:
    """The routes and their handlers."""

    def __init__(
        self, store: MessageStore, chaos: ChaosControl, streams: OpenStreams, release_ports: Collection[int]
    ) -> None:
        self._store = store
        self._chaos = chaos
        self._streams = streams
        self._release_ports = release_ports

    def routes(self) -> list[BaseRoute]:
        """MailHog's routes, without the websocket."""
        message = "/api/v1/messages/{id}"
        return [
            Route("/api/v1/messages", self.list_all, methods=["GET"]),
            Route("/api/v1/messages", self.delete_all, methods=["DELETE"]),
            Route("/api/v1/events", self.events, methods=["GET"]),
            Route(message, self.get_message, methods=["GET"]),
            Route(message, self.delete_message, methods=["DELETE"]),
            Route(message + "/download", self.download, methods=["GET"]),
            Route(message + "/mime/part/{part:int}/download", self.download_part, methods=["GET"]),
            Route(message + "/release", self.release, methods=["POST"]),
            Route("/api/v2/messages", self.list_window, methods=["GET"]),
            Route("/api/v2/search", self.search, methods=["GET"]),
            Route("/api/v2/outgoing-smtp", self.list_outgoing, methods=["GET"]),
            Route("/api/v2/jim", self.get_chaos, methods=["GET"]),
            Route("/api/v2/jim", self.start_chaos, methods=["POST"]),
            Route("/api/v2/jim", self.change_chaos, methods=["PUT"]),
            Route("/api/v2/jim", self.stop_chaos, methods=["DELETE"]),
        ]

    async def list_all(self, _request: Request) -> Response:
        """GET /api/v1/messages: the newest 1,000, as a bare array."""
        return await _reply_json(mailhog_json.build_items, self._store.list_newest_first()[:_V1_LIMIT])

    async def delete_all(self, _request: Request) -> Response:
        """DELETE /api/v1/messages."""
        self._store.clear()
        return Response(media_type="text/json")

    async def get_message(self, request: Request) -> Response:
        """GET /api/v1/messages/{id}."""
        message = self._find(request)
        return await _reply_json(mailhog_json.build_item, message) if message else _reply_missing()

    async def delete_message(self, request: Request) -> Response:
        """DELETE /api/v1/messages/{id}."""
        removed = self._store.remove(request.path_params["id"])
        return Response(media_type="text/json") if removed else _reply_missing()

    async def download(self, request: Request) -> Response:
        """GET /api/v1/messages/{id}/download: the exact bytes, to open in a mail program."""
        message = self._find(request)
        if message is None:
            return _reply_missing()
        return Response(message.raw, media_type="message/rfc822", headers=build_download_header(f"{message.id}.eml"))

    async def download_part(self, request: Request) -> Response:
        """GET /api/v1/messages/{id}/mime/part/{n}/download: only base64 is decoded, as in MailHog."""
        message = self._find(request)
        mime = (await asyncio.to_thread(mailhog_json.build_item, message))["MIME"] if message else None
        number: int = request.path_params["part"]
        if message is None or mime is None or number >= len(mime["Parts"]):
            return _reply_missing("There is no such part.")
        part = mime["Parts"][number]
        headers = build_download_header(f"{message.id}-part-{number}") | mailhog_json.build_part_headers(part)
        return Response(mailhog_json.decode_part(part), headers=headers)

    async def release(self, request: Request) -> Response:
        """POST /api/v1/messages/{id}/release: send the message to a loopback SMTP server."""
        message = self._find(request)
        if message is None:
            return _reply_missing()
        try:
            target = ReleaseTarget.from_json(await request.json(), self._release_ports)
            await asyncio.to_thread(send_message, message, target)
        except ReleaseRefusedError as refusal:
            return Response(str(refusal), 400, media_type="text/plain")
        except (ValueError, RecursionError):
            return Response(_NOT_JSON, 400, media_type="text/plain")
        except OSError as failure:
            # MailHog's status for a release that did not work.
            return Response(f"The server did not take the message: {failure}", 500, media_type="text/plain")
        return Response(media_type="text/json")

    async def events(self, _request: Request) -> StreamingResponse:
        """GET /api/v1/events: each new message as one server-sent event."""
        arrivals = self._store.iterate_arrivals()
        return EventStream(_items(arrivals), self._streams, "inbox")

    async def list_window(self, request: Request) -> Response:
        """GET /api/v2/messages?start=&limit=: newest first."""
        return await _reply_json(mailhog_json.build_page, self._store.list_newest_first(), *_parse_window(request))

    async def search(self, request: Request) -> Response:
        """GET /api/v2/search?kind=from|to|containing&query=&start=&limit=: newest first."""
        kind, query = request.query_params.get("kind", ""), request.query_params.get("query", "")
        if kind not in set(SearchKind) or not query:
            return Response('"kind" is from, to or containing, and "query" is not empty.', 400, media_type="text/plain")
        matches = await asyncio.to_thread(find_messages, self._store.list_newest_first(), SearchKind(kind), query)
        return await _reply_json(
            mailhog_json.build_page, matches, *_parse_window(request), media_type="application/json"
        )

    async def list_outgoing(self, _request: Request) -> Response:
        """GET /api/v2/outgoing-smtp: the servers to which mail may be released, by name."""
        return Response(json.dumps(list_outgoing_servers(self._release_ports)), media_type="application/json")

    async def get_chaos(self, _request: Request) -> Response:
        """GET /api/v2/jim: the settings of chaos; 404 while it is off."""
        if self._chaos.settings is None:
            return _reply_missing(_CHAOS_IS_OFF)
        return Response(json.dumps(self._chaos.settings.to_json()), media_type="application/json")

    async def start_chaos(self, request: Request) -> Response:
        """POST /api/v2/jim: turn chaos on, without a body with MailHog's default chances."""
        if self._chaos.settings is not None:
            return Response("Chaos is on already: change it with PUT.", 400, media_type="text/plain")
        if not await request.body():
            return self._set_chaos(ChaosSettings(), 201)
        return await self._take_chaos(request, 201)

    async def change_chaos(self, request: Request) -> Response:
        """PUT /api/v2/jim: replace the settings of chaos."""
        if self._chaos.settings is None:
            return _reply_missing(_CHAOS_IS_OFF)
        return await self._take_chaos(request, 200)

    async def stop_chaos(self, _request: Request) -> Response:
        """DELETE /api/v2/jim: turn chaos off."""
        if self._chaos.settings is None:
            return _reply_missing(_CHAOS_IS_OFF)
        return self._set_chaos(None, 200)

    async def _take_chaos(self, request: Request, status: int) -> Response:
        try:
            return self._set_chaos(ChaosSettings.from_json(await request.json()), status)
        except InvalidChaosError as error:
            return Response(str(error), 400, media_type="text/plain")
        except (ValueError, RecursionError):
            return Response(_NOT_JSON, 400, media_type="text/plain")

    def _set_chaos(self, settings: ChaosSettings | None, status: int) -> Response:
        self._chaos.settings = settings
        self._store.announce_change()  # the page says whether chaos is on
        return Response(status_code=status)

    def _find(self, request: Request) -> ReceivedMessage | None:
        return self._store.get(request.path_params["id"])


def build_download_header(filename: str) -> dict[str, str]:
    """Build the header that makes a browser save a response instead of showing it (RFC 6266)."""
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(filename, safe='')}"}


async def _items(arrivals: AsyncIterator[ReceivedMessage]) -> AsyncIterator[str]:
    async for message in arrivals:
        yield await asyncio.to_thread(lambda: json.dumps(mailhog_json.build_item(message)))  # noqa: B023 - awaited here


def _parse_window(request: Request) -> tuple[int, int]:
    """Read `start` and `limit`; like MailHog, ignore what is not a positive number."""
    start = _parse_positive(request.query_params.get("start", ""), 0)
    return start, min(_parse_positive(request.query_params.get("limit", ""), _V2_LIMIT), _V2_MAX_LIMIT)


def _parse_positive(text: str, default: int) -> int:
    return int(text) if _POSITIVE.fullmatch(text) else default


async def _reply_json(build: Callable[..., Any], *arguments: Any, media_type: str = "text/json") -> Response:
    """Build JSON in a thread: decoding mail takes seconds, and the SMTP server runs in this event loop."""
    return Response(await asyncio.to_thread(lambda: json.dumps(build(*arguments))), media_type=media_type)


def _reply_missing(detail: str = "There is no message with this id.") -> Response:
    return Response(detail, 404, media_type="text/plain")
