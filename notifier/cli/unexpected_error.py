"""Prints an error that no command expects: one line, and its stack frames at log level DEBUG."""

import sys

from pydantic import ValidationError

from notifier.db.data_directory import describe_os_error
from notifier.environment import LogLevel, LogSettings
from notifier.telemetry.exception_report import describe_exception


def print_unexpected_error(error: Exception) -> None:
    """Print the error to stderr."""
    try:
        level = LogSettings().log_level
    except ValidationError:
        level = LogLevel.INFO
    if level is LogLevel.DEBUG:
        print("\n".join(describe_exception(error)), file=sys.stderr)
    print(f"notifier: {describe_unexpected_error(error)}", file=sys.stderr)


def describe_unexpected_error(error: Exception) -> str:
    """Describe the error without its own message, which may hold secrets, addresses and SQL."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {describe_os_error(error)}"
    kind = type(error).__name__
    return f"a fault of Notifier's own ({kind}): set NOTIFIER_LOG_LEVEL=DEBUG to see where, and report it"
