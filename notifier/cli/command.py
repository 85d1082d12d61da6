"""What all commands use: settings, the database, the event loop, options, and output; errors are one line on stderr."""

import asyncio
import contextlib
import functools
import getpass
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer

if TYPE_CHECKING:
    from notifier.audit import Actor
    from notifier.log_settings import LogSettings
    from notifier.runtime.process_parts import ProcessParts
    from notifier.settings import Settings

USAGE_ERROR = 2
UNREACHABLE_DATABASE = "the database is out of reach or overloaded: check NOTIFIER_DATABASE_URL and the server"
_DURATION_FORM = re.compile(r"(\d{1,6})([smhdw])")
_DURATION_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
T = TypeVar("T")
P = ParamSpec("P")
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Rate = Annotated[
    int | None, typer.Option(min=0, max=2**31 - 1, help="Notifications; 0: any number; default: the setting.")
]


class CommandError(Exception):
    """A command ends with this line on stderr and this exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        self.code = code
        super().__init__(message)


def load_settings() -> "Settings":
    """Load the settings from the environment, and set up logging. Raises `CommandError` with a line for each fault."""
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


def make_command(function: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make the command that runs an asynchronous function with the same options."""

    @functools.wraps(function)
    def command(*args: P.args, **kwargs: P.kwargs) -> None:
        run_command(function(*args, **kwargs))

    return command


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


def open_for_reading() -> "contextlib.AbstractAsyncContextManager[ProcessParts]":
    """Open the parts for a command that only reads. A server may run at the same time."""
    from notifier.runtime import process_parts

    return process_parts.open_process_parts(load_settings())


@contextlib.asynccontextmanager
async def open_for_writing(*, creates: bool = False) -> "AsyncIterator[ProcessParts]":
    """Open the parts for a command that writes. On SQLite no server may run, and the database must exist.

    `creates`: the command makes the database, so it need not exist.
    """
    from notifier.db import data_directory, migrations
    from notifier.db.database_errors import UPGRADE_ADVICE
    from notifier.db.database_url import SqliteAddress, parse_database_url
    from notifier.runtime import process_parts

    settings = load_settings()
    address = parse_database_url(settings.effective_database_url)
    if not creates and isinstance(address, SqliteAddress) and address.is_missing:
        raise CommandError(f"{address.place} does not exist yet: {UPGRADE_ADVICE}", USAGE_ERROR)
    with contextlib.ExitStack() as stack:
        if settings.uses_sqlite:
            stack.enter_context(data_directory.lock_directory(settings.data_dir))
        async with process_parts.open_process_parts(settings) as parts:
            if not creates:  # fail before work is done that could not be written
                await migrations.get_current_revision(parts.database)
            yield parts


def build_actor(at: datetime) -> "Actor":
    """Build the actor of an audit record: the operator at this terminal."""
    from notifier.audit import Actor

    return Actor(name=get_operator_name(), at=at)


def get_operator_name() -> str:
    """Get the operator's name: the user of this terminal."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # in a container the user id may have no name
        name = str(os.getuid())
    return f"operator:{name}"[:64]


def parse_duration(text: str, option: str) -> timedelta:
    """Parse a duration such as 90d. Raises `CommandError`."""
    match = _DURATION_FORM.fullmatch(text)
    duration = timedelta(**{_DURATION_UNITS[match[2]]: int(match[1])}) if match else None
    if duration is None or duration > timedelta(days=36_500):
        raise CommandError(f"{option}: a number and s, m, h, d or w, such as 90d", USAGE_ERROR)
    return duration


def replace_surrogates(text: str, option: str = "", max_length: int | None = None) -> str:
    """Replace bytes of an argument that are not UTF-8. Raises `CommandError` if the text is too long."""
    printable = text.encode(errors="replace").decode()
    if max_length is not None and len(printable) > max_length:
        raise CommandError(f"{option}: at most {max_length} characters", USAGE_ERROR)
    return printable


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


def strip_control_characters(text: str) -> str:
    """Replace control characters, which a terminal would obey: the text comes from relays and callers."""
    return "".join(character if character.isprintable() else " " for character in text)


def format_time(value: datetime | None) -> str:
    """Format a time for the terminal."""
    return value.isoformat(timespec="seconds").replace("+00:00", "Z") if value is not None else "-"
