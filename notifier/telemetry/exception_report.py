"""An exception as the log may have it: its classes and the places of its frames.

Messages, source lines, locals and notes are left out: they hold keys, addresses and SQL parameters.
"""

import itertools
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

MAX_CHAIN = 8
"""Exceptions of one chain or group that are described, the outermost first."""
MAX_FRAMES = 40
"""Frames of one exception that are described, the innermost ones."""
_ROOTS = sorted({f"{Path(folder).absolute()}{os.sep}" for folder in sys.path if folder}, key=len, reverse=True)


def describe_exception(error: BaseException) -> list[str]:
    """A line for each exception of the chain, with its class, and below it a line for each frame."""
    lines: list[str] = []
    for one in itertools.islice(_chain(error), MAX_CHAIN):
        frames = list(traceback.walk_tb(one.__traceback__))[-MAX_FRAMES:]
        places = [format_place(frame.f_code.co_filename, number, frame.f_code.co_name) for frame, number in frames]
        lines += [_name(type(one)), *(f"  {text}" for text in places)]
    return lines


def format_place(filename: str, line: int, function: str = "") -> str:
    """Where in the code: the file below its installation's folder, the line and the function."""
    root = next((root for root in _ROOTS if filename.startswith(root)), "")
    return f"{filename.removeprefix(root)}:{line} {function}".rstrip()


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception, those in it if it is a group, and those that it came from."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
        origin = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        waiting += [origin] if origin is not None else []


def _name(kind: type[BaseException]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
