"""How commands open the parts of their process: for reading beside a server, or for writing."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from notifier.cli import output
from notifier.cli.output import CommandError

if TYPE_CHECKING:
    from notifier.db.database_url import DatabaseAddress
    from notifier.runtime.process_parts import ProcessParts


def open_for_reading() -> "AbstractAsyncContextManager[ProcessParts]":
    """Open the parts for a command that only reads. A server may run at the same time."""
    from notifier.runtime import process_parts

    return process_parts.open_process_parts(output.load_settings())


@asynccontextmanager
async def open_for_writing(*, creates: bool = False) -> "AsyncIterator[ProcessParts]":
    """Open the parts for a command that writes. On SQLite no server may run, and the database must exist.

    `creates`: the command makes the database, so that it need not exist.
    """
    from contextlib import ExitStack

    from notifier.db import data_directory, migrations
    from notifier.db.database_url import parse_database_url
    from notifier.runtime import process_parts

    settings = output.load_settings()
    if not creates:
        _require_database_file(parse_database_url(settings.effective_database_url))
    with ExitStack() as stack:
        if settings.uses_sqlite:
            stack.enter_context(data_directory.lock_directory(settings.data_dir))
        async with process_parts.open_process_parts(settings) as parts:
            if not creates:
                await migrations.get_current_revision(
                    parts.database
                )  # before any work is done that could not be written
            yield parts


def _require_database_file(address: "DatabaseAddress") -> None:
    """Refuse a SQLite database that does not exist, before anything is made beside it."""
    from notifier.db.database_errors import UPGRADE_ADVICE
    from notifier.db.database_url import SqliteAddress

    if isinstance(address, SqliteAddress) and address.is_missing:
        raise CommandError(f"{address.place} does not exist yet: {UPGRADE_ADVICE}", output.USAGE_ERROR)
