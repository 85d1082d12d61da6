"""Limits on the length of a mail's texts, checked while they grow and not once they have filled the memory."""

from collections.abc import Iterable
from typing import Final

MAX_OUTPUT: Final = 1024 * 1024
"""Characters that one part may render to, and any text on the way there."""


MIN_TEXT: Final = 16 * 1024
"""UTF-8 bytes that a text made from HTML may have, however short that is."""
MAX_TEXT_PER_HTML: Final = 4
"""Bytes of such a text for each byte of the HTML: tags take more room than indentations and addresses."""


class OutputTooLargeError(Exception):
    """This becomes more than 1 MiB of text."""

    def __init__(self, message: str = "this becomes more than 1 MiB of text.") -> None:
        self.message = message
        super().__init__(message)


def compute_text_limit(html: str) -> int:
    """Compute how many UTF-8 bytes the text built from this HTML may have."""
    return min(MAX_OUTPUT, MIN_TEXT + MAX_TEXT_PER_HTML * count_bytes(html))


def count_bytes(text: str) -> int:
    """Count the UTF-8 bytes of a text."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def within_limit(text: str) -> str:
    """Return the text itself. Raises `OutputTooLargeError`."""
    if len(text) > MAX_OUTPUT:
        raise OutputTooLargeError
    return text


def join_within_limit(pieces: Iterable[str]) -> str:
    """Join what a macro, or a block that sets a variable, has written. Raises `OutputTooLargeError`."""
    return within_limit("".join(pieces))
