"""Describes an exception for the log: its classes and the places of its stack frames.

Messages, source lines, locals and notes are left out, because they may hold keys, addresses and SQL parameters.
"""

import itertools
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

MAX_CHAIN = 8
"""Exceptions of one chain or group that are described, outermost first."""
MAX_FRAMES = 40
"""Innermost frames of one exception that are described."""
_ROOTS = sorted({f"{Path(folder).absolute()}{os.sep}" for folder in sys.path if folder}, key=len, reverse=True)


def describe_exception(error: BaseException) -> list[str]:
    """Describe each exception of the chain in one line with its class, followed by one line for each frame."""
    lines: list[str] = []
    for link in itertools.islice(_chain(error), MAX_CHAIN):
        frames = list(traceback.walk_tb(link.__traceback__))[-MAX_FRAMES:]
        places = [format_place(frame.f_code.co_filename, number, frame.f_code.co_name) for frame, number in frames]
        lines += [_name(type(link)), *(f"  {text}" for text in places)]
    return lines


def format_place(filename: str, line: int, function: str = "") -> str:
    """Format a place in the code: the file relative to its import root, the line and the function."""
    root = next((root for root in _ROOTS if filename.startswith(root)), "")
    return f"{filename.removeprefix(root)}:{line} {function}".rstrip()


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception, those in it if it is a group, and their causes."""
    waiting, seen = [error], set[int]()
    while waiting:
        link = waiting.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        if isinstance(link, BaseExceptionGroup):
            waiting += link.exceptions
        origin = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
        waiting += [origin] if origin is not None else []


def _name(kind: type[BaseException]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
