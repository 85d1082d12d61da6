"""Decodes header fields for people. It never raises, because an inbox must also show broken mail."""

import binascii
import re
from email.utils import parseaddr
from itertools import groupby

_ENCODED_WORD = re.compile(r"=\?([^?*\s]+)(?:\*[^?\s]*)?\?([bqBQ])\?([^?]*)\?=")
_RUN_OF_WORDS = re.compile(r"(?:=\?[^?\s]+\?[bqBQ]\?[^?]*\?=)+")
_BETWEEN_WORDS = re.compile(r"(?<=\?=)[ \t\r\n]+(?==\?)")
MAX_MAILBOX_LENGTH = 2_000
"""Characters of a From field that are parsed for its first mailbox."""
_FOLD = re.compile(r"\r?\n(?=[ \t])")


def decode_header(value: str) -> str:
    """Unfold a field body and decode its encoded words (RFC 2047) and raw UTF-8 (RFC 6532)."""
    unfolded = _FOLD.sub("", value).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return _RUN_OF_WORDS.sub(lambda run: _decode_run(run.group()), _BETWEEN_WORDS.sub("", unfolded))


def parse_mailbox(value: str) -> tuple[str, str]:
    """Parse the display name and address of the first mailbox in a raw field body; empty texts if there is none."""
    try:
        name, address = parseaddr(_FOLD.sub("", value[:MAX_MAILBOX_LENGTH]))
    except RecursionError:  # nested comments
        return "", ""
    return decode_header(name), decode_header(address)


def _decode_run(run: str) -> str:
    """Decode adjacent words of one charset together: some senders split a character between two words."""
    words = _ENCODED_WORD.findall(run)
    return "".join(
        decode_bytes(b"".join(_decode_word(encoding, text) for _, encoding, text in group), charset)
        for charset, group in groupby(words, key=lambda word: str(word[0]).lower())
    )


def _decode_word(encoding: str, text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    if encoding in "qQ":
        return binascii.a2b_qp(data, header=True)
    try:
        return binascii.a2b_base64(data + b"=" * (-len(data) % 4))
    except binascii.Error:
        return data


def decode_bytes(data: bytes, charset: str) -> str:
    """Decode bytes, with replacement characters where the charset is wrong or unknown."""
    try:
        text = data.decode(charset, "replace")
    except (LookupError, ValueError):
        text = data.decode("utf-8", "replace")
    # UTF-7 and others can produce lone surrogates, which UTF-8 cannot encode.
    return text.encode("utf-8", "replace").decode("utf-8")
