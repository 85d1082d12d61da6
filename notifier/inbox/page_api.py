"""The API of the inbox page: summaries for the list, and the details of one mail.

The page inserts everything as text. Only the frame route returns HTML, under a policy in which nothing runs, and only
images of a few raster formats are shown; every other attachment is saved.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from notifier.inbox.html_check import CheckFailedError, check_html
from notifier.inbox.html_frame import build_frame, build_frame_headers, has_remote_content, list_inline_content_ids
from notifier.inbox.mailhog_api import build_download_header
from notifier.inbox.message_search import find_readable_messages
from notifier.inbox.message_store import MessageStore
from notifier.inbox.readable_text import extract_visible_text, parse_mailbox, strip_invisible
from notifier.inbox.received_message import ReceivedAttachment, ReceivedMessage
from notifier.inbox.smtp_chaos import ChaosControl
from notifier.sse import EventStream, OpenStreams

_DEFAULT_COUNT = 100
_LIMIT = re.compile(r"[1-9][0-9]{0,3}")
_PREVIEW_LENGTH = 140
_MAX_SOURCE = 1024 * 1024  # bytes; the whole mail can be downloaded
_SHOWN_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp"})
"""Types of attachments that a browser may show. SVG is a document, which can hold scripts."""
_NOTIFICATION_ID = re.compile(r"\s*<([0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15})@", re.ASCII)
"""The Message-ID of Notifier: the notification's id, a UUID of version 7 without hyphens."""


class PageApi:
    """The routes under /inbox."""

    def __init__(
        self, store: MessageStore, chaos: ChaosControl, streams: OpenStreams, *, smtp_address: str, console_url: str
    ) -> None:
        self._store = store
        self._chaos = chaos
        self._streams = streams
        self._smtp_address = smtp_address
        self._console_url = console_url  # without a slash at the end; empty if there is no console
        self._check_lock = asyncio.Lock()  # a check takes a process of its own

    def routes(self) -> list[BaseRoute]:
        """The routes of the page; it deletes and releases through MailHog's API."""
        message = "/inbox/messages/{id}"
        return [
            Route("/inbox/messages", self.list_messages, methods=["GET"]),
            Route("/inbox/changes", self.changes, methods=["GET"]),
            Route(message, self.detail, methods=["GET"]),
            Route(message + "/frame", self.frame, methods=["GET"]),
            Route(message + "/source", self.source, methods=["GET"]),
            Route(message + "/html", self.html, methods=["GET"]),
            Route(message + "/check", self.check, methods=["GET"]),
            Route(message + "/attachments/{number:int}", self.attachment, methods=["GET"]),
            Route(message + "/attachments/{number:int}/image", self.image, methods=["GET"]),
        ]

    async def list_messages(self, request: Request) -> Response:
        """List the newest summaries, those that match `query` if there is one."""
        query = request.query_params.get("query", "")
        limit = request.query_params.get("limit", "")
        count = int(limit) if _LIMIT.fullmatch(limit) else _DEFAULT_COUNT
        # Parsing thousands of mails takes seconds, and the SMTP server runs in this event loop.
        listing = await asyncio.to_thread(_build_listing, self._store.list_newest_first(), query, count)
        chaos = self._chaos.settings is not None
        return _reply_json(listing | {"smtp": self._smtp_address, "chaos": chaos})

    async def changes(self, _request: Request) -> StreamingResponse:
        """Stream the number of messages, now and after each change; the page then reloads the list."""
        return EventStream(self._iterate_sizes(), self._streams, "inbox")

    async def _iterate_sizes(self) -> AsyncIterator[str]:
        while not self._store.closed:
            version = self._store.version
            yield str(len(self._store))
            await self._store.wait_for_change(version)

    async def detail(self, request: Request) -> Response:
        """Get everything that the reading pane shows, except HTML and source."""
        message = self._store.get(request.path_params["id"])
        if message is None:
            return _reply_missing()
        detail = await asyncio.to_thread(_build_detail, message)
        return _reply_json(detail | {"notification": self._find_notification_url(message)})

    def _find_notification_url(self, message: ReceivedMessage) -> str | None:
        """The console's page about the notification of this mail; None without a console, or for other mail."""
        match = _NOTIFICATION_ID.match(message.raw_header("Message-ID"))
        return f"{self._console_url}/mail/{UUID(match[1])}" if match and self._console_url else None

    async def frame(self, request: Request) -> Response:
        """Get the HTML part as a document; `remote=1` when the reader asked for remote content."""
        message = self._store.get(request.path_params["id"])
        document = await asyncio.to_thread(_build_frame_of, message) if message else None
        if document is None:
            return _reply_missing()
        headers = build_frame_headers(remote=request.query_params.get("remote") == "1")
        return Response(document.encode("utf-8", "replace"), media_type="text/html", headers=headers)

    async def source(self, request: Request) -> Response:
        """Get the first megabyte of the mail as plain text."""
        message = self._store.get(request.path_params["id"])
        if message is None:
            return _reply_missing()
        return Response(message.raw[:_MAX_SOURCE].decode("utf-8", "replace"), media_type="text/plain")

    async def html(self, request: Request) -> Response:
        """Get the first megabyte of the HTML part, decoded, as plain text."""
        message = self._store.get(request.path_params["id"])
        html = await asyncio.to_thread(lambda: message.html) if message else None
        if html is None:
            return _reply_missing()
        return Response(html[:_MAX_SOURCE].encode("utf-8", "replace"), media_type="text/plain")

    async def check(self, request: Request) -> Response:
        """Get what the rules for templates find in the mail: `findings`, or `failure` with the reason for none."""
        message = self._store.get(request.path_params["id"])
        if message is None or await asyncio.to_thread(lambda: message.html) is None:
            return _reply_missing()
        try:
            async with self._check_lock:
                return _reply_json({"findings": await check_html(message), "failure": None})
        except CheckFailedError as failure:
            return _reply_json({"findings": [], "failure": str(failure)})

    async def attachment(self, request: Request) -> Response:
        """Download one attachment, decoded."""
        message = self._store.get(request.path_params["id"])
        number: int = request.path_params["number"]
        attachment = await asyncio.to_thread(_find_attachment, message, number) if message else None
        if attachment is None:
            return _reply_missing()
        return Response(
            attachment.content,
            media_type="application/octet-stream",
            headers=build_download_header(_get_filename(attachment, number)),
        )

    async def image(self, request: Request) -> Response:
        """Show one attachment that is an image."""
        message = self._store.get(request.path_params["id"])
        number: int = request.path_params["number"]
        attachment = await asyncio.to_thread(_find_attachment, message, number) if message else None
        if attachment is None or attachment.content_type not in _SHOWN_IMAGES:
            return _reply_missing()
        return Response(attachment.content, media_type=attachment.content_type)


def _find_attachment(message: ReceivedMessage, number: int) -> ReceivedAttachment | None:
    return next(iter(message.attachments[number : number + 1]), None)


def _build_listing(messages: list[ReceivedMessage], query: str, limit: int) -> dict[str, Any]:
    matches = find_readable_messages(messages, query) if query.strip() else messages
    items = [_build_summary(message) for message in matches[:limit]]
    return {"total": len(messages), "found": len(matches), "items": items}


def _build_summary(message: ReceivedMessage) -> dict[str, Any]:
    inline = list_inline_content_ids(message)
    name, address = parse_mailbox(message.raw_header("From"))
    return {
        "id": message.id,
        "from": {"name": name, "address": address or message.sender},
        "to": list(message.recipients),
        "subject": message.subject,
        "preview": build_preview(message),
        "received": message.received_at.isoformat(),
        "attachments": sum(1 for attachment in message.attachments if attachment.content_id not in inline),
    }


def build_preview(message: ReceivedMessage) -> str:
    """Build a preview of up to 140 characters in one line, from the text part or else the HTML."""
    text = message.text if message.text is not None else extract_visible_text(message.html or "")
    return " ".join(strip_invisible(text[: _PREVIEW_LENGTH * 20]).split())[:_PREVIEW_LENGTH]


def _build_detail(message: ReceivedMessage) -> dict[str, Any]:
    inline = list_inline_content_ids(message)
    return _build_summary(message) | {
        "sender": message.sender,
        "headers": message.headers,
        "text": message.text,
        "html": message.html is not None,
        "remote": has_remote_content(message.html or ""),
        "size": len(message.raw),
        "truncated": len(message.raw) > _MAX_SOURCE,
        "files": [
            {
                "number": number,
                "name": _get_filename(attachment, number),
                "type": attachment.content_type,
                "size": len(attachment.content),
                "inline": attachment.content_id in inline,
                "image": attachment.content_type in _SHOWN_IMAGES,
            }
            for number, attachment in enumerate(message.attachments)
        ],
    }


def _get_filename(attachment: ReceivedAttachment, number: int) -> str:
    return attachment.filename or attachment.content_id or f"part {number + 1} ({attachment.content_type})"


def _reply_json(content: Any) -> Response:
    return Response(json.dumps(content), media_type="application/json")


def _reply_missing() -> Response:
    return Response("There is no such message.", 404, media_type="text/plain")


def _build_frame_of(message: ReceivedMessage) -> str | None:
    return None if message.html is None else build_frame(message.html, message)
