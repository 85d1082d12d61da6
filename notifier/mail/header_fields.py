"""Write header fields: folded, with RFC 2047 words where needed. A value can never begin another field.

This is our own code, because `email.policy.SMTP` encodes long tokens in List-Unsubscribe and lets NUL through.
"""

import re
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from urllib.parse import quote

from notifier.mail.mail_parts import Mailbox

FORBIDDEN_IN_HEADER = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, line and paragraph separators (U+0085 among them) and lone surrogates."""
MAX_FOLDED_LINE = 76  # RFC 2047's limit for lines with encoded words; RFC 5322 §2.1.1 recommends 78 for the others
MAX_HEADER_LINE = 998
_WORD_BYTES = 42  # UTF-8 bytes in one encoded word, so that it stays under 75 characters (RFC 2047 §2)
_WORD_FRAME = len(" =?utf-8?b?" + "?=")
_MAX_CHARACTER_BYTES = 4  # of one character in UTF-8
_MAX_QUOTED_LENGTH = 60
_ATOM_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+( [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_FOLDING_PLACE = re.compile(r"(?<=[^ ]) (?=[^ ])")
"""Where a value may be folded: never so that a line holds white space only."""
_PLAIN_PARAMETER = re.compile(r"[A-Za-z0-9._()+@#$&!-]+( [A-Za-z0-9._()+@#$&!-]+)*")
_CHARSET = "utf-8''"
_PRINTABLE = re.compile(r"[\x20-\x7e]*")


class HeaderValueError(ValueError):
    """A header value has a character that is not allowed there."""


def check_header_value(value: str) -> str:
    """Return the value itself. Raises `HeaderValueError` if it could end its field."""
    match = FORBIDDEN_IN_HEADER.search(value)
    if match:
        raise HeaderValueError(f"U+{ord(match[0]):04X} at position {match.start()} is not allowed in a header")
    return value


def write_unstructured_header(name: str, value: str) -> bytes:
    """Write a field of free text, such as Subject (RFC 5322 §2.2.1)."""
    if _is_plain_header_text(value) and (folded := _fold_line(f"{name}: {value}")) is not None:
        return folded
    check_header_value(value)
    return _write_encoded_words(f"{name}:", value)


def write_structured_header(name: str, value: str) -> bytes:
    """Write a field with its own syntax: ASCII only, folded at spaces, tokens unchanged."""
    check_header_value(value)
    if not value.isascii():
        raise HeaderValueError(f"{name} takes ASCII only")
    folded = _fold_line(f"{name}: {value}")
    if folded is None:
        raise HeaderValueError(f"{name} has a token over {MAX_HEADER_LINE} characters")
    return folded


@lru_cache(maxsize=256)  # most mails have the same sender and reply address as the one before
def write_mailbox_header(name: str, mailbox: Mailbox) -> bytes:
    """Write an address field with one mailbox (RFC 5322 §3.4); the address is ASCII, or UTF-8 under SMTPUTF8."""
    address = check_header_value(mailbox.address)
    if not mailbox.name:
        return f"{name}: {address}\r\n".encode()
    display_name = check_header_value(mailbox.name)
    quoted = display_name if _ATOM_PHRASE.fullmatch(display_name) else _quote_phrase(display_name)
    if _is_plain_header_text(display_name) and len(quoted) <= _MAX_QUOTED_LENGTH:
        return _join_folded(f"{name}: {quoted}", f"<{address}>")
    words = _write_encoded_words(f"{name}:", display_name).decode().removesuffix("\r\n")
    head, _, last = words.rpartition("\r\n")
    return (f"{head}\r\n".encode() if head else b"") + _join_folded(last, f"<{address}>")


def write_address_list_header(name: str, addresses: Sequence[str]) -> bytes:
    """Write an address field with addresses without names (RFC 5322 §3.6.3), folded after commas only."""
    lines = [f"{name}:"]
    for number, address in enumerate(addresses, 1):
        entry = f" {check_header_value(address)}" + ("," if number < len(addresses) else "")
        if number > 1 and len(lines[-1]) + len(entry) > MAX_FOLDED_LINE:
            lines.append(entry)
        else:
            lines[-1] += entry
    return ("\r\n".join(lines) + "\r\n").encode()


def write_mime_parameter(name: str, value: str) -> list[bytes]:
    """Write a MIME parameter, in pieces that fit on a line each (RFC 2231 §3 and 4).

    RFC 2047 §5 forbids encoded words here. Only plain values are quoted: mail programs disagree about quotes and
    backslashes.
    """
    check_header_value(value)
    if len(value) <= _MAX_QUOTED_LENGTH and _PLAIN_PARAMETER.fullmatch(value):
        return [f'{name}="{value}"'.encode()]
    max_length = MAX_FOLDED_LINE - len(f" {name}*99*=;")
    pieces, piece = [], _CHARSET
    for character in value:
        escaped = quote(character, safe="")
        if len(piece) + len(escaped) > max_length:
            pieces.append(piece)
            piece = ""
        piece += escaped
    pieces.append(piece)
    if len(pieces) == 1:
        return [f"{name}*={piece}".encode()]
    return [f"{name}*{number}*={piece}".encode() for number, piece in enumerate(pieces)]


def write_date_header(value: datetime) -> bytes:
    """Write the Date field (RFC 5322 §3.3)."""
    return f"Date: {format_datetime(value)}\r\n".encode()


def _is_plain_header_text(value: str) -> bool:
    """Whether the text is printable ASCII that cannot be mistaken for an encoded word."""
    return bool(_PRINTABLE.fullmatch(value)) and "=?" not in value and value == value.strip()


def _fold_line(line: str) -> bytes | None:
    """Break before spaces so that lines stay short; None if a token is too long for any line."""
    if len(line) <= MAX_FOLDED_LINE:
        return f"{line}\r\n".encode("ascii")
    pieces, start, last = [], 0, 0
    value_start = line.index(":") + 2
    for position in [*(match.start() for match in _FOLDING_PLACE.finditer(line, value_start)), len(line)]:
        if position - start > MAX_FOLDED_LINE and last > start:
            pieces.append(line[start:last])
            start = last
        last = position
    pieces.append(line[start:])
    if any(len(piece) > MAX_HEADER_LINE for piece in pieces):
        return None
    return "\r\n".join(pieces).encode("ascii") + b"\r\n"


def _write_encoded_words(head: str, value: str) -> bytes:
    """The value as encoded words (RFC 2047 §4.1, base64), split between characters, one on each line."""
    words, chunk = [], b""
    max_bytes = min(_WORD_BYTES, (MAX_FOLDED_LINE - len(head) - _WORD_FRAME) // 4 * 3)  # behind the field's name
    glue = " " if max_bytes >= _MAX_CHARACTER_BYTES else "\r\n "
    max_bytes = max_bytes if max_bytes >= _MAX_CHARACTER_BYTES else _WORD_BYTES
    for character in value:
        encoded = character.encode()
        if len(chunk) + len(encoded) > max_bytes:
            words.append(chunk)
            chunk, max_bytes = b"", _WORD_BYTES
        chunk += encoded
    words.append(chunk)
    encoded_words = [f"=?utf-8?b?{b64encode(word).decode()}?=" for word in words]
    return (head + glue + "\r\n ".join(encoded_words)).encode("ascii") + b"\r\n"


def _quote_phrase(display_name: str) -> str:
    escaped = display_name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _join_folded(first: str, second: str) -> bytes:
    """Join with a space, or with a fold where the line would get too long."""
    glue = " " if len(first.rpartition("\n")[2]) + len(second) < MAX_FOLDED_LINE else "\r\n "
    return f"{first}{glue}{second}\r\n".encode()
