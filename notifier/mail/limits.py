"""Limits for making a mail: the length of its texts, and the processor time of its parts.

Lengths are checked while texts grow, before they fill the memory. The time limit is a signal, which stops only Python
code. A long step of native code goes on until the pool's wall limit, at which the child process is killed.
"""

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

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
    """Join the output of a macro or of a `{% set %}` block. Raises `OutputTooLargeError`."""
    return within_limit("".join(pieces))


MAX_PART_SECONDS: Final = 0.25
"""Processor seconds of one part; a hundred times what a usual part takes."""
MAX_MAIL_SECONDS: Final = 0.75
"""Processor seconds of a whole mail, compiling included; the child is killed after one second."""
REPEAT_SECONDS: Final = 0.05
"""Seconds until the signal comes again, in case the first error was caught by other code."""


class TooSlowError(Exception):
    """A part has used its processor time."""


class TimeLimit:
    """Interrupts the main thread of a process that only renders."""

    def __init__(self) -> None:
        self.seconds = MAX_PART_SECONDS  # of one part
        self._is_set_up = False
        self._is_running = False  # a late signal must not interrupt what comes after the part

    def set_up(self) -> None:
        """Switch the limit on for this process."""
        signal.signal(signal.SIGPROF, self._on_signal)
        self._is_set_up = True

    def begin(self) -> None:
        """Start a part: when its time is used up, `TooSlowError` is raised in it."""
        if self._is_set_up:
            signal.setitimer(signal.ITIMER_PROF, self.seconds, REPEAT_SECONDS)
            self._is_running = True

    def end(self) -> None:
        """End the part; the timer may run on until the next one begins."""
        self._is_running = False

    @contextmanager
    def part(self) -> Iterator[None]:
        """Limit the time of a `with` block to that of a part. Raises `TooSlowError`."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    def stop(self) -> None:
        """Stop the timer while nothing is rendered: its signal would interrupt reads from a socket."""
        if self._is_set_up:
            signal.setitimer(signal.ITIMER_PROF, 0)

    def _on_signal(self, *_: Any) -> None:
        if self._is_running:
            raise TooSlowError


TIME_LIMIT: Final = TimeLimit()
"""The limit of this process, which has one timer."""
