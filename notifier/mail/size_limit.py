"""Limits for the texts of a mail, checked while they grow, before they fill the memory."""

from collections.abc import Iterable
from typing import Final

MAX_OUTPUT: Final = 1024 * 1024
"""Characters of one rendered part, and of any text on the way there."""


MIN_TEXT: Final = 16 * 1024
"""UTF-8 bytes that a text made from HTML may always have, however short the HTML is."""
MAX_TEXT_PER_HTML: Final = 4
"""Bytes of such a text for each byte of the HTML."""


class OutputTooLargeError(Exception):
    """A text becomes longer than 1 MiB."""

    def __init__(self, message: str = "this becomes more than 1 MiB of text.") -> None:
        self.message = message
        super().__init__(message)


def compute_text_limit(html: str) -> int:
    """The limit in UTF-8 bytes for the text made from this HTML."""
    return min(MAX_OUTPUT, MIN_TEXT + MAX_TEXT_PER_HTML * count_bytes(html))


def count_bytes(text: str) -> int:
    """The number of UTF-8 bytes."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def within_limit(text: str) -> str:
    """The text itself, if it is not too long. Raises `OutputTooLargeError`."""
    if len(text) > MAX_OUTPUT:
        raise OutputTooLargeError
    return text


def join_within_limit(pieces: Iterable[str]) -> str:
    """Join the output of a macro or of a `{% set %}` block. Raises `OutputTooLargeError`."""
    return within_limit("".join(pieces))
