"""What all commands use: load the settings, run a coroutine, print rows, and end with one line on stderr."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from notifier.environment import LogSettings
    from notifier.settings import Settings

USAGE_ERROR = 2
UNREACHABLE_DATABASE = "the database is out of reach or overloaded: check NOTIFIER_DATABASE_URL and the server"
T = TypeVar("T")


class CommandError(Exception):
    """A command ends with this line on stderr and this exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        self.code = code
        super().__init__(message)


def load_settings() -> "Settings":
    """Load the settings from the environment, and set up logging. Raises `Failed` with a line for each fault."""
    from pydantic import ValidationError

    from notifier.cli import setting_faults
    from notifier.settings import Settings

    try:
        loaded = Settings()
    except ValidationError as error:
        raise CommandError("\nnotifier: ".join(setting_faults.describe_setting_faults(error)), USAGE_ERROR) from error
    set_up_logging(loaded)
    return loaded


def set_up_logging(settings: "LogSettings") -> None:
    """Set up logging for this process."""
    from notifier.telemetry import logging

    pretty = settings.log_format.value == "pretty" or (settings.log_format.value == "auto" and sys.stderr.isatty())
    logging.configure_logging(json=not pretty, level=settings.log_level)
    logging.log_uncaught_exceptions()


def run_command(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine. Errors that the user can correct become one line on stderr."""
    from notifier.errors import ConfigurationError, DatabaseUnavailableError, NotifierError

    loop = asyncio.new_event_loop  # uvloop needs a tenth less CPU time, but does not exist for every platform
    with contextlib.suppress(ImportError):
        import uvloop

        loop = uvloop.new_event_loop
    try:
        with asyncio.Runner(loop_factory=loop) as runner:
            return runner.run(work)
    except DatabaseUnavailableError as error:
        raise CommandError(error.reason or UNREACHABLE_DATABASE, USAGE_ERROR) from error
    except ConfigurationError as error:
        raise CommandError(str(error), USAGE_ERROR) from error
    except NotifierError as error:
        raise CommandError(str(error)) from error


def print_rows(rows: Iterable[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print rows as aligned columns, or as one JSON array."""
    table = [dict(row) for row in rows]
    if as_json:
        print(json.dumps(table, default=str))
        return
    if not table:
        return
    widths = {name: max(len(name), *(len(str(row[name])) for row in table)) for name in table[0]}
    print("  ".join(name.upper().ljust(width) for name, width in widths.items()).rstrip())
    for row in table:
        print("  ".join(str(row[name]).ljust(width) for name, width in widths.items()).rstrip())
