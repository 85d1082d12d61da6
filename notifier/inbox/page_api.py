"""The API of the inbox page: summaries for the list, and the details of one mail.

The page inserts everything as text. Only the frame route returns HTML, with inline images (cid:) as data URLs, under a
policy: nothing in it runs, and nothing is fetched unless the reader asked for remote content. The patterns for HTML end
at the next `<` or after a few blanks, so that they take linear time.
"""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from notifier.inbox.mailhog_api import build_download_header
from notifier.inbox.message_search import find_readable_messages
from notifier.inbox.message_store import MessageStore
from notifier.inbox.readable_text import extract_visible_text, parse_mailbox, strip_invisible
from notifier.inbox.received_message import ReceivedAttachment, ReceivedMessage
from notifier.mail.link_target import insert_link_target
from notifier.sse import EventStream, OpenStreams

_DEFAULT_COUNT = 100
_LIMIT = re.compile(r"[1-9][0-9]{0,3}")
_PREVIEW_LENGTH = 140
_MAX_SOURCE = 1024 * 1024  # bytes; the whole mail can be downloaded
MAX_INLINE_IMAGE_BYTES = 32 * 1024 * 1024
"""Characters of `data:` URLs in one frame; further images stay as references."""
_CID = re.compile(r"cid:([^\"'\s)>]+)", re.IGNORECASE)
_REMOTE = re.compile(
    r"(?:\b(?:src|srcset|background|poster)\s{0,9}=|\burl\(|@import|<link\b[^<>]*?\bhref\s{0,9}=)"
    r"\s{0,9}[\"']?\s{0,9}(?:https?:)?//",
    re.IGNORECASE,
)
# A link opens in a new tab outside the sandbox: people open the inbox to follow confirmation links.
_SANDBOX = "sandbox allow-popups allow-popups-to-escape-sandbox"
_NOWHERE = f"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; {_SANDBOX}"
_BUILT_IN = f"{_NOWHERE}; img-src data:; font-src data:; style-src 'unsafe-inline'"
_REMOTE_TOO = (
    f"{_NOWHERE}; img-src data: http: https:; font-src data: http: https:; style-src 'unsafe-inline' http: https:"
)


class PageApi:
    """The routes under /inbox."""

    def __init__(self, store: MessageStore, smtp_address: str, streams: OpenStreams) -> None:
        self._store = store
        self._streams = streams
        self._smtp_address = smtp_address

    def routes(self) -> list[BaseRoute]:
        """The routes of the page; it deletes through MailHog's API."""
        message = "/inbox/messages/{id}"
        return [
            Route("/inbox/messages", self.list_messages, methods=["GET"]),
            Route("/inbox/changes", self.changes, methods=["GET"]),
            Route(message, self.detail, methods=["GET"]),
            Route(message + "/frame", self.frame, methods=["GET"]),
            Route(message + "/source", self.source, methods=["GET"]),
            Route(message + "/attachments/{number:int}", self.attachment, methods=["GET"]),
        ]

    async def list_messages(self, request: Request) -> Response:
        """List the newest summaries, those that match `query` if there is one."""
        query = request.query_params.get("query", "")
        limit = request.query_params.get("limit", "")
        count = int(limit) if _LIMIT.fullmatch(limit) else _DEFAULT_COUNT
        # Parsing thousands of mails takes seconds, and the SMTP server runs in this event loop.
        listing = await asyncio.to_thread(_build_listing, self._store.list_newest_first(), query, count)
        return _reply_json(listing | {"smtp": self._smtp_address})

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
        return _reply_json(await asyncio.to_thread(_build_detail, message)) if message else _reply_missing()

    async def frame(self, request: Request) -> Response:
        """Get the HTML part as a document; `remote=1` when the reader asked for remote content."""
        message = self._store.get(request.path_params["id"])
        document = await asyncio.to_thread(_build_frame_of, message) if message else None
        if document is None:
            return _reply_missing()
        policy = _REMOTE_TOO if request.query_params.get("remote") == "1" else _BUILT_IN
        headers = {"Content-Security-Policy": policy, "X-Frame-Options": "SAMEORIGIN"}
        return Response(document.encode("utf-8", "replace"), media_type="text/html", headers=headers)

    async def source(self, request: Request) -> Response:
        """Get the first megabyte of the mail as plain text."""
        message = self._store.get(request.path_params["id"])
        if message is None:
            return _reply_missing()
        return Response(message.raw[:_MAX_SOURCE].decode("utf-8", "replace"), media_type="text/plain")

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


def build_frame(html: str, message: ReceivedMessage) -> str:
    """Build the document of a frame: HTML with the inline images of the message."""
    return insert_link_target(_embed_images(html, message.attachments))


def _build_frame_of(message: ReceivedMessage) -> str | None:
    return None if message.html is None else build_frame(message.html, message)


def has_remote_content(html: str) -> bool:
    """True if the HTML refers to images, fonts or style sheets on other hosts."""
    return _REMOTE.search(html) is not None


def list_inline_content_ids(message: ReceivedMessage) -> frozenset[str]:
    """The ids of the attachments that the HTML shows, which the page does not offer as files."""
    return frozenset(unquote(reference) for reference in _CID.findall(message.html or ""))


def _embed_images(html: str, attachments: tuple[ReceivedAttachment, ...]) -> str:
    images = {
        attachment.content_id: attachment
        for attachment in attachments
        if attachment.content_id and attachment.content_type.startswith("image/")
    }
    urls: dict[str, str] = {}
    remaining = MAX_INLINE_IMAGE_BYTES

    def build_data_url(reference: re.Match[str]) -> str:
        nonlocal remaining
        name = unquote(reference[1])
        image = images.get(name)
        if image is None:
            return reference[0]
        if name not in urls:
            urls[name] = f"data:{image.content_type};base64,{base64.b64encode(image.content).decode()}"
        if len(urls[name]) > remaining:
            return reference[0]
        remaining -= len(urls[name])
        return urls[name]

    return _CID.sub(build_data_url, html)
