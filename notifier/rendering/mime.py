"""The MIME document (RFC 2045, 2046): canonical CRLF, 7-bit, lines within limits, the same bytes for the same mail."""

import hashlib
import re
from base64 import encodebytes
from binascii import b2a_qp

from notifier.rendering import headers
from notifier.rendering.job import MailHeader, Preview, Rendered

SAFE_LINE = 78  # longer lines are wrapped by quoted-printable rather than trusted to every relay
_LINE_END = re.compile(r"\r\n|\r|\n")
_STRUCTURED = frozenset({"list-unsubscribe", "list-unsubscribe-post", "list-id", "references", "in-reply-to"})


class NulInPartError(ValueError):
    """A part contains a NUL character, which no mail may carry."""


def compose(header: MailHeader, parts: Preview) -> Rendered:
    """Write the mail. Raises `headers.HeaderValueError` or `NulInPartError` on what cannot stand in one."""
    text, html = _part("text/plain", parts.text), _part("text/html", parts.html)
    boundary = f"=_{hashlib.sha256(text + html).hexdigest()[:32]}".encode()
    wire = b"".join(
        (
            _header(header, parts.subject),
            b"MIME-Version: 1.0\r\n",
            b'Content-Type: multipart/alternative;\r\n boundary="' + boundary + b'"\r\n\r\n',
            b"--" + boundary + b"\r\n" + text,
            b"\r\n--" + boundary + b"\r\n" + html,
            b"\r\n--" + boundary + b"--\r\n",
        )
    )
    return Rendered(wire=wire, sha256=hashlib.sha256(wire).digest())


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


def _part(content_type: str, text: str) -> bytes:
    """One body part with its header, in the shortest encoding that is safe on a 7-bit path."""
    if "\x00" in text:
        raise NulInPartError(f"the {content_type} part contains a NUL character")
    data = "\r\n".join(_LINE_END.split(text.removesuffix("\n"))).encode() + b"\r\n"
    if data.isascii() and max(map(len, data.split(b"\r\n"))) <= SAFE_LINE:
        encoding, body = b"7bit", data
    else:
        quoted = b2a_qp(data, quotetabs=False, istext=True)
        encoded = encodebytes(data).replace(b"\n", b"\r\n") if len(quoted) > len(data) * 4 / 3 else b""
        encoding, body = (b"base64", encoded) if encoded else (b"quoted-printable", quoted)
    head = f"Content-Type: {content_type}; charset=utf-8\r\nContent-Transfer-Encoding: ".encode()
    return head + encoding + b"\r\n\r\n" + body
