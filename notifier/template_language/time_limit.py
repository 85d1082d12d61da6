"""The limit for the processor time of a part: an endless template is stopped, and its line is known.

A signal stops only Python code. One long step of native code goes on until the pool's wall limit, at which the child
process is killed.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

MAX_PART_SECONDS: Final = 0.25
"""Processor seconds of one part; a hundred times what a usual part takes."""
MAX_MAIL_SECONDS: Final = 0.75
"""Processor seconds of a whole mail, compiling included; the child is killed after one second."""
REPEAT_SECONDS: Final = 0.05
"""Seconds until the signal comes again, in case the first error was caught by other code."""


class TooSlowError(Exception):
    """A part has used its processor time."""


class TimeLimit:
    """Interrupts the main thread of its process, which does nothing but render."""

    def __init__(self) -> None:
        self.seconds = MAX_PART_SECONDS  # of one part
        self._is_set_up = False
        self._is_running = False  # a late signal must not interrupt what comes after the part

    def set_up(self) -> None:
        """Switch the limit on for this process."""
        signal.signal(signal.SIGPROF, self._ring)
        self._is_set_up = True

    def begin(self) -> None:
        """Start a part: until `end`, `TooSlowError` is raised in it when its time is used."""
        if self._is_set_up:
            signal.setitimer(signal.ITIMER_PROF, self.seconds, REPEAT_SECONDS)
            self._is_running = True

    def end(self) -> None:
        """End the part; the timer may run until the next one begins."""
        self._is_running = False

    @contextmanager
    def part(self) -> Iterator[None]:
        """Limit the time of the block to that of a part. Raises `TooSlowError`."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    def stop(self) -> None:
        """Stop the timer while nothing is rendered: its signal would interrupt reads from a socket."""
        if self._is_set_up:
            signal.setitimer(signal.ITIMER_PROF, 0)

    def _ring(self, *_: Any) -> None:
        if self._is_running:
            raise TooSlowError


TIME_LIMIT: Final = TimeLimit()
"""The limit of this process, which has one timer."""
