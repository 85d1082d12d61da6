"""How much of a processor a part may use: one that goes on for ever is stopped where it is, so that its line is known.

Only what the interpreter runs can be stopped like this. One long step of native code cannot: for that there is the
pool's wall limit, at which the child is killed.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

MAX_PART_SECONDS: Final = 0.25
"""Of processor time, not of waiting: a hundred times what a mail's part takes."""
MAX_MAIL_SECONDS: Final = 0.75
"""Of processor time, for a mail from the compiler to its text: less than the second after which its child is killed."""
REPEAT_SECONDS: Final = 0.05
"""Until it is stopped once more, if something has caught the first error."""


class TooSlowError(Exception):
    """A part has used up its processor time."""


class TimeLimit:
    """Interrupts the main thread of its process, which should do nothing but render."""

    def __init__(self) -> None:
        self.seconds = MAX_PART_SECONDS  # that a part has
        self._is_set_up = False
        self._is_running = False  # a late signal must not hit what comes after the part

    def set_up(self) -> None:
        """From now on there is a limit."""
        signal.signal(signal.SIGPROF, self._ring)
        self._is_set_up = True

    def begin(self) -> None:
        """A part begins: until `end`, `TooSlowError` comes up in it once it has used its time."""
        if self._is_set_up:
            signal.setitimer(signal.ITIMER_PROF, self.seconds, REPEAT_SECONDS)
            self._is_running = True

    def end(self) -> None:
        """The part has ended; the clock may go on until the next begins."""
        self._is_running = False

    @contextmanager
    def part(self) -> Iterator[None]:
        """Let what the block does take no longer than a part may; raises `TooSlowError`."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    def stop(self) -> None:
        """Nothing is rendered for now: a read from a socket would be cut short by the signal."""
        if self._is_set_up:
            signal.setitimer(signal.ITIMER_PROF, 0)

    def _ring(self, *_: Any) -> None:
        if self._is_running:
            raise TooSlowError


TIME_LIMIT: Final = TimeLimit()
"""The process's: it has one such timer."""
