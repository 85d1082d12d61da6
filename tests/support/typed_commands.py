"""Runs `notifier` commands in this process, and returns exit status and output."""

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO

from notifier.cli.main import run_command_line


@dataclass(frozen=True)
class CommandResult:
    """Exit status and output of a command."""

    code: int
    stdout: str
    stderr: str


def type_command(*words: str) -> CommandResult:
    """Run `notifier` with these arguments, in this process and its environment."""
    out, err, before = StringIO(), StringIO(), sys.argv
    sys.argv = ["notifier", *words]
    try:
        with _logging_kept(), redirect_stdout(out), redirect_stderr(err):
            run_command_line()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0
    else:
        code = 0
    finally:
        sys.argv = before
    return CommandResult(code, out.getvalue(), err.getvalue())


@contextmanager
def _logging_kept() -> Iterator[None]:
    """Restore the logging configuration after a command."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook, warnings.showwarning
    root.handlers[:] = []
    try:
        yield
    finally:
        root.handlers[:], root.level = handlers, level
        sys.excepthook, sys.unraisablehook, threading.excepthook, warnings.showwarning = hooks
