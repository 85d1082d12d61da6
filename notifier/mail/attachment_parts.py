"""Attachments in the MIME document: their header fields, their base64, and how they fill the gaps of a rendered mail.

A rendering child gets the names of the attachments and never their bytes: the large ones would have to be carried to
the child and back within the time and memory limits of a template.
"""

import hashlib
import re
from binascii import b2a_base64
from collections.abc import Iterator, Sequence
from functools import lru_cache
from struct import Struct

from notifier.mail.header_fields import HeaderValueError, write_mime_parameter
from notifier.mail.mail_parts import MailAttachment, MailWithGaps, RenderedMail

MAX_MESSAGE_BYTES = 25 * 1024 * 1024
"""Bytes of a finished mail, as it is handed over: what the largest providers take."""
_BASE64_LINE = 76  # RFC 2045 §6.8
_LINES_PER_CHUNK = 1024
ENCODED_PIECE_BYTES = 57 * 8 * _LINES_PER_CHUNK
"""Bytes that are encoded in one go: whole lines, and less than a millisecond in which no other thread runs."""
_CONTENT_TYPE = re.compile(
    r"[A-Za-z0-9!#$&^_.+-]{1,64}/[A-Za-z0-9!#$&^_.+-]{1,127}(; [A-Za-z-]{1,20}=[A-Za-z0-9-]{1,20})*"
)
_CONTENT_ID = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.@-]{1,255}")


def write_attachment_header(attachment: MailAttachment, *, inline: bool) -> bytes:
    """Write the header of an attachment's part. Raises `HeaderValueError`.

    The name stands in Content-Disposition alone (RFC 2183 §2.3): in Content-Type it would
    have to be an encoded word, which is forbidden there.
    """
    if not _CONTENT_TYPE.fullmatch(attachment.content_type):
        raise HeaderValueError(f"{attachment.content_type!r} is not a content type")
    lines = [f"Content-Type: {attachment.content_type}".encode(), b"Content-Transfer-Encoding: base64"]
    if attachment.content_id is not None:
        if not _CONTENT_ID.fullmatch(attachment.content_id):
            raise HeaderValueError(f"{attachment.content_id!r} is not a content id")
        lines.append(f"Content-ID: <{attachment.content_id}>".encode())
    disposition = b"Content-Disposition: inline" if inline else b"Content-Disposition: attachment"
    lines.append(b";\r\n ".join((disposition, *write_mime_parameter("filename", attachment.filename))))
    return b"\r\n".join((*lines, b"", b""))


def get_filled_size(
    mail: RenderedMail | MailWithGaps, attachments: Sequence[MailAttachment] = (), images: Sequence[bytes] = ()
) -> int:
    """Get the size of the mail in bytes, with its attachments and images."""
    if isinstance(mail, RenderedMail):
        return len(mail.wire)
    files = sum(_get_base64_size(len(attachment.data)) for attachment in attachments)
    own = sum(len(piece) for piece in mail.pieces if isinstance(piece, bytes))
    return own + files + sum(map(len, images))


def _get_base64_size(size: int) -> int:
    encoded = -(-size // 3) * 4
    return encoded + 2 * -(-encoded // _BASE64_LINE)


def fill_attachments(
    mail: MailWithGaps, attachments: Sequence[MailAttachment], images: Sequence[bytes] = ()
) -> RenderedMail:
    """Put the attachments and images into their gaps; images are base64 already, and come behind the attachments.

    Raises `IndexError` if the mail names an attachment that does not exist.
    """
    pieces: list[bytes] = []
    for piece in mail.pieces:
        if isinstance(piece, bytes):
            pieces.append(piece)
        elif piece >= len(attachments):
            pieces.append(images[piece - len(attachments)])
        else:
            pieces += encode_base64_chunks(attachments[piece].data)
    wire = b"".join(pieces)
    return RenderedMail(wire=wire, sha256=hashlib.sha256(wire).digest())


def encode_base64_chunks(data: bytes) -> Iterator[bytes]:
    """Encode the data in base64, in chunks of whole lines, each with its CRLF."""
    for start in range(0, len(data), ENCODED_PIECE_BYTES):
        yield encode_base64(data[start : start + ENCODED_PIECE_BYTES])


def encode_base64(data: bytes) -> bytes:
    """Encode the data in base64 lines, all at once."""
    encoded = b2a_base64(data, newline=False)
    whole, rest = divmod(len(encoded), _BASE64_LINE)
    lines: list[bytes] = []
    for start in range(0, whole, _LINES_PER_CHUNK):
        splitter = _get_line_splitter(min(_LINES_PER_CHUNK, whole - start))
        lines += splitter.unpack_from(encoded, start * _BASE64_LINE)
    if rest:
        lines.append(encoded[-rest:])
    lines.append(b"")
    return b"\r\n".join(lines)


@lru_cache(maxsize=64)
def _get_line_splitter(lines: int) -> Struct:
    """A struct that cuts this many lines in one call; slicing each line took longer than encoding."""
    return Struct(f"{_BASE64_LINE}s" * lines)
