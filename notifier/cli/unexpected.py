"""An error that no command expects, in one line; with NOTIFIER_LOG_LEVEL=DEBUG its traceback stands before it."""

import sys
import traceback

from pydantic import ValidationError

from notifier.db.directory import reason
from notifier.settings import LogLevel, LogSettings


def show(error: Exception) -> None:
    """Print it to stderr."""
    try:
        level = LogSettings().log_level
    except ValidationError:
        level = LogLevel.INFO
    if level is LogLevel.DEBUG:
        traceback.print_exception(error)
    print(f"notifier: {describe(error)}", file=sys.stderr)


def describe(error: Exception) -> str:
    """The line. An error's own message is left out: it may hold secrets, addresses and SQL."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {reason(error)}"
    kind = type(error).__name__
    return f"a fault of Notifier's own ({kind}): set NOTIFIER_LOG_LEVEL=DEBUG to see where, and report it"
