"""MailHog's HTTP API, versions 1 and 2, for a message store.

MailHog's clients work with it unchanged. It differs only where MailHog fails or returns `null`: an unknown id is 404.
A message is released to loopback hosts only, and only to ports that the inbox was started with: a development inbox
must not send mail to real people, nor let a web page reach other services of this machine.
"""

import asyncio
import json
import re
import smtplib
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from notifier.inbox import mailhog_json
from notifier.inbox.message_search import SearchKind, find_messages
from notifier.inbox.message_store import MessageStore
from notifier.inbox.received_message import ReceivedMessage
from notifier.sse import EventStream, OpenStreams

_V1_LIMIT = 1_000
_V2_LIMIT = 50
_V2_MAX_LIMIT = 250
_POSITIVE = re.compile(r"0*[1-9][0-9]{0,8}", re.ASCII)
_RELEASE_TIMEOUT = 10.0  # seconds
_MAX_PORT = 65_535


class ReleaseRefusedError(ValueError):
    """The inbox does not allow this release."""


@dataclass(frozen=True, kw_only=True)
class ReleaseTarget:
    """The server and the recipient to which a message is released."""

    host: str
    port: int
    email: str  # the envelope recipient

    @classmethod
    def from_json(cls, body: Any, ports: Collection[int]) -> "ReleaseTarget":
        """Parse MailHog's JSON, with keys in any case and the port as number or text.

        `ports`: those to which mail may be released. Raises ReleaseRefusedError with a sentence for the caller.
        """
        if not isinstance(body, dict):
            raise ReleaseRefusedError('Send a JSON object with "email", "host" and "port".')
        fields = {str(key).lower(): str(value).strip() for key, value in body.items()}
        host, port, email = fields.get("host", ""), fields.get("port", ""), fields.get("email", "")
        if not _is_loopback(host):
            raise ReleaseRefusedError(f"The inbox releases to loopback hosts only, and {host!r} is not one of them.")
        if not (port.isascii() and port.isdigit() and 0 < int(port) <= _MAX_PORT):
            raise ReleaseRefusedError(f"{port!r} is not a port.")
        if "@" not in email or not email.isprintable() or set(email) & set("<> "):
            raise ReleaseRefusedError(f"{email!r} is not an e-mail address.")
        if int(port) not in ports:
            raise ReleaseRefusedError(
                f"Mail is not released to port {port}: start the inbox with --release-port {port}."
            )
        return cls(host=host, port=int(port), email=email)


class MailHogApi:
    """The routes and their handlers."""

    def __init__(self, store: MessageStore, streams: OpenStreams, release_ports: Collection[int]) -> None:
        self._store = store
        self._streams = streams
        self._release_ports = release_ports

    def routes(self) -> list[BaseRoute]:
        """MailHog's message routes, without Jim, the websocket and the list of outgoing servers."""
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
            await asyncio.to_thread(_send_message, message, target)
        except ReleaseRefusedError as refusal:
            return Response(str(refusal), 400, media_type="text/plain")
        except (ValueError, RecursionError):
            return Response("The body is not JSON.", 400, media_type="text/plain")
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


def _send_message(message: ReceivedMessage, target: ReleaseTarget) -> None:
    """Send the exact bytes to the target. Raises OSError (SMTPException is one) if it does not accept them."""
    with smtplib.SMTP(target.host, target.port, local_hostname="localhost", timeout=_RELEASE_TIMEOUT) as client:
        client.ehlo()
        options = ["BODY=8BITMIME"] if client.has_extn("8bitmime") else []
        if not (message.sender + target.email).isascii():
            options.append("SMTPUTF8")
        client.sendmail(message.sender, [target.email], message.raw, options)


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
