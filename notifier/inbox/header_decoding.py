"""Header fields as a person should read them.

Decoding here never raises: an inbox must show the broken mail that its users came to look at.
"""

import binascii
import re
from email.utils import parseaddr
from itertools import groupby

_ENCODED_WORD = re.compile(r"=\?([^?*\s]+)(?:\*[^?\s]*)?\?([bqBQ])\?([^?]*)\?=")
_RUN_OF_WORDS = re.compile(r"(?:=\?[^?\s]+\?[bqBQ]\?[^?]*\?=)+")
_BETWEEN_WORDS = re.compile(r"(?<=\?=)[ \t\r\n]+(?==\?)")
MAX_MAILBOX_LENGTH = 2_000
"""Characters of a From field in which its first mailbox is looked for."""
_FOLD = re.compile(r"\r?\n(?=[ \t])")


def decode_header(value: str) -> str:
    """The unfolded field body with encoded words (RFC 2047) decoded and raw UTF-8 (RFC 6532) restored."""
    unfolded = _FOLD.sub("", value).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return _RUN_OF_WORDS.sub(lambda run: _decode_run(run.group()), _BETWEEN_WORDS.sub("", unfolded))


def parse_mailbox(value: str) -> tuple[str, str]:
    """The display name and the address of the first mailbox in a raw field body; empty where there is none."""
    try:
        name, address = parseaddr(_FOLD.sub("", value[:MAX_MAILBOX_LENGTH]))
    except RecursionError:  # comments in comments
        return "", ""
    return decode_header(name), decode_header(address)


def _decode_run(run: str) -> str:
    """Adjacent words of one charset are joined as bytes first: some senders split a character between two words."""
    words = _ENCODED_WORD.findall(run)
    return "".join(
        decode_bytes(b"".join(_word_bytes(encoding, text) for _, encoding, text in group), charset)
        for charset, group in groupby(words, key=lambda word: str(word[0]).lower())
    )


def _word_bytes(encoding: str, text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    if encoding in "qQ":
        return binascii.a2b_qp(data, header=True)
    try:
        return binascii.a2b_base64(data + b"=" * (-len(data) % 4))
    except binascii.Error:
        return data


def decode_bytes(data: bytes, charset: str) -> str:
    """Text from bytes, with the replacement character where the charset does not fit or is unknown."""
    try:
        text = data.decode(charset, "replace")
    except (LookupError, ValueError):
        text = data.decode("utf-8", "replace")
    # UTF-7 and friends can smuggle in lone surrogates, which no UTF-8 response can carry.
    return text.encode("utf-8", "replace").decode("utf-8")
