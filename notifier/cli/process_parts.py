"""How commands open the parts of their process: for reading beside a server, or for writing."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from notifier.cli import output
from notifier.cli.output import Failed

if TYPE_CHECKING:
    from notifier.db.url import Address
    from notifier.installation import Base


def open_for_reading() -> "AbstractAsyncContextManager[Base]":
    """Open the parts for a command that only reads. A server may run at the same time."""
    from notifier import installation

    return installation.base(output.settings())


@asynccontextmanager
async def open_for_writing(*, creates: bool = False) -> "AsyncIterator[Base]":
    """Open the parts for a command that writes. On SQLite no server may run, and the database must exist.

    `creates`: the command makes the database, so that it need not exist.
    """
    from contextlib import ExitStack

    from notifier import installation
    from notifier.db import directory, migrate
    from notifier.db.url import read_url

    settings = output.settings()
    if not creates:
        _require_database_file(read_url(settings.effective_database_url))
    with ExitStack() as stack:
        if settings.uses_sqlite:
            stack.enter_context(directory.owned(settings.data_dir))
        async with installation.base(settings) as parts:
            if not creates:
                await migrate.current(parts.database)  # before any work is done that could not be written
            yield parts


def _require_database_file(address: "Address") -> None:
    """Refuse a SQLite database that does not exist, before anything is made beside it."""
    from notifier.db.reasons import UPGRADE
    from notifier.db.url import SqliteAddress

    if isinstance(address, SqliteAddress) and address.is_missing:
        raise Failed(f"{address.place} does not exist yet: {UPGRADE}", output.WRONG_USE)
