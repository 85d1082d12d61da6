"""Write the MIME document (RFC 2045, 2046): canonical CRLF, 7-bit, lines within limits, the same bytes for one mail."""

import hashlib
from binascii import b2a_qp
from collections.abc import Sequence

from notifier.mail.attachment_parts import encode_base64, write_attachment_header
from notifier.mail.header_fields import (
    check_header_value,
    write_address_list_header,
    write_date_header,
    write_mailbox_header,
    write_structured_header,
    write_unstructured_header,
)
from notifier.mail.mail_parts import MailAttachment, MailHeader, MailParts, MailWithGaps, RenderedMail

MAX_UNENCODED_LINE = 78  # longer lines are wrapped by quoted-printable rather than trusted to every relay
_STRUCTURED_HEADERS = frozenset({"list-unsubscribe", "list-unsubscribe-post", "list-id", "references", "in-reply-to"})
_MIME_VERSION = b"MIME-Version: 1.0\r\n"

_MimePieces = list[bytes | int]
"""An entity from its Content-Type field on; a number is the place of that attachment's base64."""


class NulInPartError(ValueError):
    """A part contains a NUL character, which no mail may carry."""


def build_mime_message(header: MailHeader, parts: MailParts) -> RenderedMail:
    """Write a mail without attachments. Raises `HeaderValueError` or `NulInPartError`."""
    head, text = write_headers(header, parts.subject), _build_text_entity(parts.text)
    if parts.html is None:
        wire = head + _MIME_VERSION + text
    else:
        html = _build_html_entity(parts.html)
        boundary = f"=_{_hash_parts(head, text, html).hex()[:32]}".encode()
        wire = (
            b'%bMIME-Version: 1.0\r\nContent-Type: multipart/alternative;\r\n boundary="%b"\r\n\r\n'
            b"--%b\r\n%b\r\n--%b\r\n%b\r\n--%b--\r\n"
        ) % (head, boundary, boundary, text, boundary, html, boundary)
    return RenderedMail(wire=wire, sha256=hashlib.sha256(wire).digest())


def build_mime_with_gaps(header: MailHeader, parts: MailParts, attachments: Sequence[MailAttachment]) -> MailWithGaps:
    """Write a mail with gaps for its attachments: mixed(alternative(text, related(html, images)), files).

    Images belong to the HTML, so that a program that shows the text does not list them. In a mail without HTML all are
    files.
    """
    head, text = write_headers(header, parts.subject), _build_text_entity(parts.text)
    html = _build_html_entity(parts.html) if parts.html is not None else b""
    inline = [bool(html) and attachment.content_id is not None for attachment in attachments]
    part_headers = [
        write_attachment_header(attachment, inline=is_inline)
        for attachment, is_inline in zip(attachments, inline, strict=True)
    ]
    seed = _hash_parts(head, text, html, *part_headers)
    files: list[_MimePieces] = [[field, number] for number, field in enumerate(part_headers) if not inline[number]]
    images: list[_MimePieces] = [[field, number] for number, field in enumerate(part_headers) if inline[number]]
    body: _MimePieces = [text]
    if html:
        related: _MimePieces = (
            _build_multipart(b'related; type="text/html"', seed, [[html], *images]) if images else [html]
        )
        body = _build_multipart(b"alternative", seed, [body, related])
    whole = _build_multipart(b"mixed", seed, [body, *files]) if files else body
    return MailWithGaps(pieces=[head + _MIME_VERSION, *whole])


def _build_multipart(kind: bytes, seed: bytes, entities: Sequence[_MimePieces]) -> _MimePieces:
    boundary = f"=_{hashlib.sha256(seed + kind).hexdigest()[:32]}".encode()
    pieces: _MimePieces = [b"Content-Type: multipart/" + kind + b';\r\n boundary="' + boundary + b'"\r\n']
    for entity in entities:
        pieces += [b"\r\n--" + boundary + b"\r\n", *entity]
    return [*pieces, b"\r\n--" + boundary + b"--\r\n"]


def _hash_parts(head: bytes, text: bytes, html: bytes, *others: bytes) -> bytes:
    """The hash for boundaries (RFC 2046 §5.1.1): the same for the same mail, and in none of its parts.

    A boundary contains an underscore, which base64 does not. A part with an underscore is hashed too: to contain the
    boundary it would have to contain 128 bits of its own hash.
    """
    hashed = hashlib.sha256(head)  # or two mails with the same text would share a boundary
    hashed.update(text)
    if b"_" in html:  # mostly base64, and hashing that took as long as hashing the whole mail
        hashed.update(html)
    for other in others:
        hashed.update(other)
    return hashed.digest()


def write_headers(header: MailHeader, subject: str) -> bytes:
    """Write the header fields of a mail, without those about its body."""
    fields = [
        write_date_header(header.date),
        write_mailbox_header("From", header.sender),
        f"To: {check_header_value(header.recipient)}\r\n".encode(),
        write_address_list_header("Cc", header.cc) if header.cc else b"",
        write_mailbox_header("Reply-To", header.reply_to) if header.reply_to else b"",
        write_unstructured_header("Subject", subject),
        write_structured_header("Message-ID", header.message_id),
        b"Auto-Submitted: auto-generated\r\n",
    ]
    for name, value in header.extra.items():
        write = write_structured_header if name.lower() in _STRUCTURED_HEADERS else write_unstructured_header
        fields.append(write(name, value))
    return b"".join(fields)


def _build_text_entity(text: str) -> bytes:
    """The text part, in the shortest encoding that is safe on a 7-bit path and readable in the source of a mail."""
    data = _encode_canonical("text/plain", text)
    if _fits_seven_bit(data):
        return _build_entity("text/plain", "7bit", data)
    quoted = b2a_qp(data, quotetabs=False, istext=True)
    if len(quoted) > len(data) * 4 / 3:
        return _build_entity("text/plain", "base64", encode_base64(data))
    return _build_entity("text/plain", "quoted-printable", quoted)


def _build_html_entity(html: str) -> bytes:
    """The HTML part, in base64: quoted-printable takes three times as long, and its lines are long and rarely plain."""
    data = _encode_canonical("text/html", html)
    if _fits_seven_bit(data):
        return _build_entity("text/html", "7bit", data)
    return _build_entity("text/html", "base64", encode_base64(data))


def _encode_canonical(content_type: str, text: str) -> bytes:
    """The text as UTF-8; every line ends with CRLF."""
    data = text.removesuffix("\n").encode()
    if b"\x00" in data:  # searched in the bytes, because a search in text that is not Latin takes 25 times as long
        raise NulInPartError(f"the {content_type} part contains a NUL character")
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data.replace(b"\n", b"\r\n") + b"\r\n"


def _fits_seven_bit(data: bytes) -> bool:
    return data.isascii() and max(map(len, data.split(b"\r\n"))) <= MAX_UNENCODED_LINE


def _build_entity(content_type: str, encoding: str, body: bytes) -> bytes:
    head = f"Content-Type: {content_type}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode() + body
