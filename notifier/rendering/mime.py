"""The MIME document (RFC 2045, 2046): canonical CRLF, 7-bit, lines within limits, the same bytes for the same mail."""

import hashlib
from binascii import b2a_base64, b2a_qp
from functools import lru_cache
from struct import Struct

from notifier.rendering import headers
from notifier.rendering.job import MailHeader, Preview, Rendered

SAFE_LINE = 78  # longer lines are wrapped by quoted-printable rather than trusted to every relay
_BASE64_LINE = 76  # RFC 2045 §6.8
_LINES_AT_ONCE = 1024
_STRUCTURED = frozenset({"list-unsubscribe", "list-unsubscribe-post", "list-id", "references", "in-reply-to"})


class NulInPartError(ValueError):
    """A part contains a NUL character, which no mail may carry."""


def compose(header: MailHeader, parts: Preview) -> Rendered:
    """Write the mail. Raises `headers.HeaderValueError` or `NulInPartError` on what cannot stand in one."""
    head, text, html = _header(header, parts.subject), _text(parts.text), _html(parts.html)
    boundary = _boundary(head, text, html)
    wire = b"".join(
        (
            head,
            b'MIME-Version: 1.0\r\nContent-Type: multipart/alternative;\r\n boundary="',
            boundary,
            b'"\r\n\r\n--',
            boundary,
            b"\r\n",
            text,
            b"\r\n--",
            boundary,
            b"\r\n",
            html,
            b"\r\n--",
            boundary,
            b"--\r\n",
        )
    )
    return Rendered(wire=wire, sha256=hashlib.sha256(wire).digest())


def _boundary(head: bytes, text: bytes, html: bytes) -> bytes:
    """What separates the parts (RFC 2046 §5.1.1): the same for the same mail, and in none of its parts.

    It has an underscore, which base64 has not. A part that does have one is hashed: it would have to contain 128 bits
    of its own hash, so whoever writes its variables would have to try 2¹²⁸ of them.
    """
    hashed = hashlib.sha256(head)  # or two mails with the same text would share a boundary
    hashed.update(text)
    if b"_" in html:  # mostly base64, and hashing that took as long as hashing the whole mail
        hashed.update(html)
    return f"=_{hashed.hexdigest()[:32]}".encode()


def _header(header: MailHeader, subject: str) -> bytes:
    fields = [
        headers.date(header.date),
        headers.mailbox("From", header.sender),
        f"To: {headers.refuse_control(header.recipient)}\r\n".encode(),
        headers.mailbox("Reply-To", header.reply_to) if header.reply_to else b"",
        headers.unstructured("Subject", subject),
        headers.structured("Message-ID", header.message_id),
        b"Auto-Submitted: auto-generated\r\n",
    ]
    for name, value in header.extra.items():
        write = headers.structured if name.lower() in _STRUCTURED else headers.unstructured
        fields.append(write(name, value))
    return b"".join(fields)


def _text(text: str) -> bytes:
    """The text part, in the shortest encoding that is safe on a 7-bit path; people read it in the source of a mail."""
    data = _canonical("text/plain", text)
    if _is_safe(data):
        return _part("text/plain", "7bit", data)
    quoted = b2a_qp(data, quotetabs=False, istext=True)
    if len(quoted) > len(data) * 4 / 3:
        return _part("text/plain", "base64", _base64(data))
    return _part("text/plain", "quoted-printable", quoted)


def _html(html: str) -> bytes:
    """The HTML part; base64, because quoting takes three times as long, and its lines are long and rarely plain."""
    data = _canonical("text/html", html)
    return _part("text/html", "7bit", data) if _is_safe(data) else _part("text/html", "base64", _base64(data))


def _canonical(content_type: str, text: str) -> bytes:
    """The text as UTF-8 whose lines, the last one too, end with CRLF."""
    data = text.removesuffix("\n").encode()
    if b"\x00" in data:  # looked for in the octets, because a search in text that is not Latin takes 25 times as long
        raise NulInPartError(f"the {content_type} part contains a NUL character")
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data.replace(b"\n", b"\r\n") + b"\r\n"


def _is_safe(data: bytes) -> bool:
    return data.isascii() and max(map(len, data.split(b"\r\n"))) <= SAFE_LINE


def _base64(data: bytes) -> bytes:
    encoded = b2a_base64(data, newline=False)
    whole, rest = divmod(len(encoded), _BASE64_LINE)
    lines: list[bytes] = []
    for start in range(0, whole, _LINES_AT_ONCE):
        lines += _cut(min(_LINES_AT_ONCE, whole - start)).unpack_from(encoded, start * _BASE64_LINE)
    if rest:
        lines.append(encoded[-rest:])
    lines.append(b"")
    return b"\r\n".join(lines)


@lru_cache(maxsize=64)
def _cut(lines: int) -> Struct:
    """What cuts so many lines in one call: a slice for each took longer than encoding."""
    return Struct(f"{_BASE64_LINE}s" * lines)


def _part(content_type: str, encoding: str, body: bytes) -> bytes:
    head = f"Content-Type: {content_type}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode() + body
