"""Prints an error that no command expects: one line, and its stack frames at log level DEBUG."""

import sys

from pydantic import ValidationError

from notifier.db.directory import reason
from notifier.log_settings import LogLevel, LogSettings
from notifier.telemetry.fault import describe_exception


def show(error: Exception) -> None:
    """Print the error to stderr."""
    try:
        level = LogSettings().log_level
    except ValidationError:
        level = LogLevel.INFO
    if level is LogLevel.DEBUG:
        print("\n".join(describe_exception(error)), file=sys.stderr)
    print(f"notifier: {describe(error)}", file=sys.stderr)


def describe(error: Exception) -> str:
    """Describe the error without its own message, which may hold secrets, addresses and SQL."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {reason(error)}"
    kind = type(error).__name__
    return f"a fault of Notifier's own ({kind}): set NOTIFIER_LOG_LEVEL=DEBUG to see where, and report it"
