"""Builds the JSON of MailHog 1.0 (mailhog/data, message.go) from a message.

Bodies stay transfer-encoded, because clients of MailHog decode them. Unlike MailHog, it does not list the `--` after
the last boundary as a part.
"""

import base64
import contextlib
import re
from email.message import Message
from email.utils import format_datetime
from itertools import islice
from typing import Any

from notifier.inbox.received_message import ReceivedMessage
from notifier.inbox.smtp_receiver import INBOX_HOSTNAME

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_CONTENT_FIELD = re.compile(r"content-(?:type|disposition|transfer-encoding|id|description)", re.IGNORECASE)
MAX_JSON_DEPTH = 8
"""Levels of MIME that are split into parts; each level repeats the bytes of the levels inside it."""
MAX_JSON_PARTS = 1_000
"""The most parts of one message; the last one holds the rest."""
_LINE_END = re.compile(r"\r?\n")


def build_page(messages: list[ReceivedMessage], start: int, limit: int) -> dict[str, Any]:
    """Build MailHog's v2 result: one window of the messages, and their total number."""
    window = messages[start : start + limit]
    return {"total": len(messages), "count": len(window), "start": start, "items": build_items(window)}


def build_items(messages: list[ReceivedMessage]) -> list[dict[str, Any]]:
    """Build MailHog's v1 result: a list without a total."""
    return [build_item(message) for message in messages]


def build_item(message: ReceivedMessage) -> dict[str, Any]:
    """Build the JSON of one message."""
    # MailHog counts the line end before the closing dot as part of the dot.
    head, body = _split_header(message.raw)
    data = message.raw.removesuffix(b"\r\n")
    content = _build_content(head, body.removesuffix(b"\r\n"), len(data))
    parts = _split_parts(content)
    _add_trace(content["Headers"], message)
    return {
        "ID": message.id,
        "From": build_path(message.sender),
        "To": [build_path(recipient) for recipient in message.recipients],
        "Content": content,
        "Created": message.received_at.isoformat().replace("+00:00", "Z"),
        "MIME": parts,
        "Raw": {
            "From": message.sender,
            "To": list(message.recipients),
            "Data": _decode_text(data),
            "Helo": message.helo,
        },
    }


def build_path(address: str) -> dict[str, Any]:
    """Build an envelope path; a source route (RFC 5321 appendix C) becomes the relays."""
    route, colon, rest = address.rpartition(":")
    mailbox, _, domain = rest.partition("@")
    return {"Relays": route.split(",") if colon else None, "Mailbox": mailbox, "Domain": domain, "Params": ""}


def find_header(content: dict[str, Any], name: str) -> str:
    """Find the first value of a header field in any case; empty if there is none."""
    return next((values[0] for key, values in content["Headers"].items() if key.lower() == name.lower()), "")


def build_part_headers(part: dict[str, Any]) -> dict[str, str]:
    """Build HTTP header fields from the `Content-` fields of a part."""
    printable = {name: "".join(c for c in values[-1] if c.isprintable()) for name, values in part["Headers"].items()}
    return {
        name.title(): value.encode("ascii", "replace").decode()
        for name, value in printable.items()
        if _CONTENT_FIELD.fullmatch(name)
    }


def decode_part(part: dict[str, Any]) -> bytes:
    """Decode the body of a part from base64; any other transfer encoding is kept."""
    body: str = part["Body"]
    if find_header(part, "Content-Transfer-Encoding").strip().lower() != "base64":
        return body.encode()
    with contextlib.suppress(ValueError):
        return base64.b64decode(body)
    return body.encode()


def _build_content(head: bytes, body: bytes, size: int) -> dict[str, Any]:
    return {"Headers": _parse_headers(_decode_text(head)), "Body": _decode_text(body), "Size": size, "MIME": None}


def _split_header(data: bytes) -> tuple[bytes, bytes]:
    """Split data into header section and body. Without a blank line all of it is body."""
    if data.startswith((b"\r\n", b"\n")):
        return b"", data.lstrip(b"\r").removeprefix(b"\n")
    blank = _BLANK_LINE.search(data)
    return (data[: blank.start()], data[blank.end() :]) if blank else (b"", data)


def _parse_headers(head: str) -> dict[str, list[str]]:
    fields: list[tuple[str, list[str]]] = []
    for line in _LINE_END.split(head):
        name, colon, value = line.partition(":")
        if line[:1] in {" ", "\t"} and fields:
            fields[-1][1].append(line)
        elif colon:
            fields.append((name, [value.removeprefix(" ")]))
    headers: dict[str, list[str]] = {}
    for name, lines in fields:
        headers.setdefault(name, []).append("".join(lines))
    return headers


def _split_parts(content: dict[str, Any], depth: int = 0) -> dict[str, Any] | None:
    """Split a multipart content into parts, nested ones in their own `MIME`; None for any other content."""
    content_type = find_header(content, "Content-Type")
    if depth == MAX_JSON_DEPTH or not content_type.lower().startswith("multipart/"):
        return None
    parts = []
    for chunk in _split_at_boundaries(content["Body"], _find_boundary(content_type)):
        head, body = _split_header(chunk.encode())
        part = _build_content(head, body.rstrip(b"\r\n"), len(chunk.encode().strip(b"\r\n")))
        part["MIME"] = _split_parts(part, depth + 1)
        parts.append(part)
    return {"Parts": parts}


def _split_at_boundaries(body: str, boundary: str) -> list[str]:
    if not boundary:
        return []
    delimiter = re.compile(rf"(?:\A|\r?\n)--{re.escape(boundary)}(--)?[ \t]*(?=\r?\n|\Z)")
    marks = list(islice(delimiter.finditer(body), MAX_JSON_PARTS))
    ends = [*(mark.start() for mark in marks), len(body)][1:]
    return [
        body[mark.end() : end].removeprefix("\r").removeprefix("\n")
        for mark, end in zip(marks, ends, strict=True)
        if not mark[1]
    ]


def _find_boundary(content_type: str) -> str:
    fields: Message = Message()
    fields["Content-Type"] = content_type
    return fields.get_boundary("")


def _add_trace(headers: dict[str, list[str]], message: ReceivedMessage) -> None:
    """Add the fields that MailHog adds; some clients read them."""
    date = format_datetime(message.received_at)
    received = f"from {message.helo} by {INBOX_HOSTNAME} (Notifier inbox)\r\n          id {message.id}; {date}"
    _get_field(headers, "Received").append(received)
    _get_field(headers, "Return-Path").append(f"<{message.sender}>")
    if not _get_field(headers, "Message-ID"):
        headers["Message-ID"] = [message.id]


def _get_field(headers: dict[str, list[str]], name: str) -> list[str]:
    spelling = next((key for key in headers if key.lower() == name.lower()), name)
    return headers.setdefault(spelling, [])


def _decode_text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
