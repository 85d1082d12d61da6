"""A message in the JSON shape of MailHog 1.0 (mailhog/data, message.go).

Bodies stay transfer-encoded and are split, not decoded: clients of MailHog decode them.
One thing is left out on purpose: MailHog lists the `--` after the last boundary as a part of its own.
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
"""Levels of MIME that are split into parts: each level repeats the bytes of those in it."""
MAX_JSON_PARTS = 1_000
"""Parts that one message is split into; the last one holds what comes after it."""
_LINE_END = re.compile(r"\r?\n")


def build_page(messages: list[ReceivedMessage], start: int, limit: int) -> dict[str, Any]:
    """MailHog's v2 result: one window of the messages, and how many there are altogether."""
    window = messages[start : start + limit]
    return {"total": len(messages), "count": len(window), "start": start, "items": build_items(window)}


def build_items(messages: list[ReceivedMessage]) -> list[dict[str, Any]]:
    """MailHog's v1 result: a bare list."""
    return [build_item(message) for message in messages]


def build_item(message: ReceivedMessage) -> dict[str, Any]:
    """MailHog's representation of one message."""
    # MailHog takes the line end before the closing dot for a part of that dot.
    head, body = _split(message.raw)
    data = message.raw.removesuffix(b"\r\n")
    content = _content(head, body.removesuffix(b"\r\n"), len(data))
    parts = _parts(content)
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
            "Data": _text(data),
            "Helo": message.helo,
        },
    }


def build_path(address: str) -> dict[str, Any]:
    """An envelope path: an old source route (RFC 5321 appendix C) becomes the relays."""
    route, colon, rest = address.rpartition(":")
    mailbox, _, domain = rest.partition("@")
    return {"Relays": route.split(",") if colon else None, "Mailbox": mailbox, "Domain": domain, "Params": ""}


def find_header(content: dict[str, Any], name: str) -> str:
    """The first value of a header field in a MailHog content, whatever its case; empty without one."""
    return next((values[0] for key, values in content["Headers"].items() if key.lower() == name.lower()), "")


def build_part_headers(part: dict[str, Any]) -> dict[str, str]:
    """The `Content-` fields of a part in a form that an HTTP response can carry."""
    printable = {name: "".join(c for c in values[-1] if c.isprintable()) for name, values in part["Headers"].items()}
    return {
        name.title(): value.encode("ascii", "replace").decode()
        for name, value in printable.items()
        if _CONTENT_FIELD.fullmatch(name)
    }


def decode_part(part: dict[str, Any]) -> bytes:
    """The body of a part without base64; any other transfer encoding stays on."""
    body: str = part["Body"]
    if find_header(part, "Content-Transfer-Encoding").strip().lower() != "base64":
        return body.encode()
    with contextlib.suppress(ValueError):
        return base64.b64decode(body)
    return body.encode()


def _content(head: bytes, body: bytes, size: int) -> dict[str, Any]:
    return {"Headers": _headers(_text(head)), "Body": _text(body), "Size": size, "MIME": None}


def _split(data: bytes) -> tuple[bytes, bytes]:
    """Header section and body; data that opens with a blank line has no headers, data without one is all body."""
    if data.startswith((b"\r\n", b"\n")):
        return b"", data.lstrip(b"\r").removeprefix(b"\n")
    blank = _BLANK_LINE.search(data)
    return (data[: blank.start()], data[blank.end() :]) if blank else (b"", data)


def _headers(head: str) -> dict[str, list[str]]:
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


def _parts(content: dict[str, Any], depth: int = 0) -> dict[str, Any] | None:
    """The parts of a multipart content, nested ones inside their own `MIME`; None for any other content."""
    content_type = find_header(content, "Content-Type")
    if depth == MAX_JSON_DEPTH or not content_type.lower().startswith("multipart/"):
        return None
    parts = []
    for chunk in _between_boundaries(content["Body"], _boundary(content_type)):
        head, body = _split(chunk.encode())
        part = _content(head, body.rstrip(b"\r\n"), len(chunk.encode().strip(b"\r\n")))
        part["MIME"] = _parts(part, depth + 1)
        parts.append(part)
    return {"Parts": parts}


def _between_boundaries(body: str, boundary: str) -> list[str]:
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


def _boundary(content_type: str) -> str:
    fields: Message = Message()
    fields["Content-Type"] = content_type
    return fields.get_boundary("")


def _add_trace(headers: dict[str, list[str]], message: ReceivedMessage) -> None:
    """The fields that MailHog adds; some clients look for them."""
    date = format_datetime(message.received_at)
    received = f"from {message.helo} by {INBOX_HOSTNAME} (Notifier inbox)\r\n          id {message.id}; {date}"
    _field(headers, "Received").append(received)
    _field(headers, "Return-Path").append(f"<{message.sender}>")
    if not _field(headers, "Message-ID"):
        headers["Message-ID"] = [message.id]


def _field(headers: dict[str, list[str]], name: str) -> list[str]:
    spelling = next((key for key in headers if key.lower() == name.lower()), name)
    return headers.setdefault(spelling, [])


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
