"""How long the texts of a mail may become: seen while they grow, not once they have filled the memory."""

from collections.abc import Iterable
from typing import Final

OUTPUT_LIMIT: Final = 1024 * 1024
"""Characters that one part may render to, and any text on the way there."""


class OutputTooLargeError(Exception):
    """A part, or a text of it, becomes longer than 1 MiB."""


def within_limit(text: str) -> str:
    """The text itself. Raises `OutputTooLargeError`."""
    if len(text) > OUTPUT_LIMIT:
        raise OutputTooLargeError
    return text


def joined(pieces: Iterable[str]) -> str:
    """What a macro, or a block that sets a variable, has written. Raises `OutputTooLargeError`."""
    return within_limit("".join(pieces))
