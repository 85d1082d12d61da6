"""An error that no command expects, in one line; with NOTIFIER_LOG_LEVEL=DEBUG its traceback stands before it."""

import traceback

from pydantic import ValidationError

from notifier.db.directory import reason
from notifier.settings import LogLevel, LogSettings

ADVICE = "set NOTIFIER_LOG_LEVEL=DEBUG to see where, and report it"


def describe(error: Exception) -> str:
    """The line. The error's own message is left out: it may hold secrets, addresses and SQL."""
    try:
        level = LogSettings().log_level
    except ValidationError:
        level = LogLevel.INFO
    where = "".join(traceback.format_exception(error)) if level is LogLevel.DEBUG else ""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{where}{error.filename}: {reason(error)}"
    kind = type(error).__name__
    return f"{where}this is a fault of Notifier's own ({kind}): {ADVICE}"
