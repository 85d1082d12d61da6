"""What all commands use: load the settings, run a coroutine, print rows, and end with one line on stderr."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from notifier.log_settings import LogSettings
    from notifier.settings import Settings

WRONG_USE = 2
OUT_OF_REACH = "the database is out of reach or overloaded: check NOTIFIER_DATABASE_URL and the server"
T = TypeVar("T")


class Failed(Exception):  # noqa: N818 - read as `raise Failed("…")`
    """A command ends with this line on stderr and this exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        self.code = code
        super().__init__(message)


def settings() -> "Settings":
    """Load the settings from the environment, and set up logging. Raises `Failed` with a line for each fault."""
    from pydantic import ValidationError

    from notifier.cli import setting_faults
    from notifier.settings import Settings

    try:
        loaded = Settings()
    except ValidationError as error:
        raise Failed("\nnotifier: ".join(setting_faults.describe(error)), WRONG_USE) from error
    configure_logging(loaded)
    return loaded


def configure_logging(settings: "LogSettings") -> None:
    """Set up logging for this process."""
    from notifier.telemetry import logging

    pretty = settings.log_format.value == "pretty" or (settings.log_format.value == "auto" and sys.stderr.isatty())
    logging.configure(json=not pretty, level=settings.log_level)
    logging.catch_uncaught()


def run(work: Coroutine[Any, Any, T]) -> T:
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
        raise Failed(error.reason or OUT_OF_REACH, WRONG_USE) from error
    except ConfigurationError as error:
        raise Failed(str(error), WRONG_USE) from error
    except NotifierError as error:
        raise Failed(str(error)) from error


def show(rows: Iterable[Mapping[str, Any]], *, as_json: bool) -> None:
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
