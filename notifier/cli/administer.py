"""`db`, and how commands that write get at the database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from notifier.cli import output
from notifier.cli.output import Failed

if TYPE_CHECKING:
    from notifier.db.url import Address
    from notifier.installation import Base


Rate = Annotated[
    int | None, typer.Option(min=0, max=2**31 - 1, help="Notifications; 0: any number; default: the setting.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    db = typer.Typer(help="The database's schema.", no_args_is_help=True)
    db.command("upgrade")(upgrade)
    db.command("check")(check)
    app.add_typer(db, name="db")


@asynccontextmanager
async def writing(*, creates: bool = False) -> "AsyncIterator[Base]":
    """The parts, for a command that writes; on SQLite only while no server runs, and if the database exists."""
    from contextlib import ExitStack

    from notifier import installation
    from notifier.db import directory, migrate
    from notifier.db.url import read_url

    settings = output.settings()
    if not creates:
        _require_made(read_url(settings.effective_database_url))
    with ExitStack() as stack:
        if settings.uses_sqlite:
            stack.enter_context(directory.owned(settings.data_dir))
        async with installation.base(settings) as parts:
            if not creates:
                await migrate.current(parts.database)  # before any work is done that could not be written
            yield parts


def _require_made(address: "Address") -> None:
    """Refuse a SQLite file that is not there, before anything is made beside it."""
    from notifier.db.reasons import UPGRADE
    from notifier.db.url import SqliteAddress

    if isinstance(address, SqliteAddress) and address.is_missing:
        raise Failed(f"{address.place} does not exist yet: {UPGRADE}", output.WRONG_USE)


def upgrade() -> None:
    """Bring the schema up to date; safe to run from several machines at once."""
    output.run(_upgrade())


async def _upgrade() -> None:
    from notifier.db import migrate

    async with writing(creates=True) as parts:
        await migrate.upgrade(parts.database)
        print(f"at {await migrate.current(parts.database)}")


def check() -> None:
    """Exit 0 if the schema is the one that this release needs, else 1."""
    output.run(_check())


async def _check() -> None:
    from notifier import installation
    from notifier.health import checks

    async with installation.base(output.settings()) as parts:
        findings = await checks.database(parts.database, with_reason=True)
    if not findings[0].ok:
        raise Failed(findings[0].detail, output.WRONG_USE)
    for finding in findings:
        print(f"{finding.name}: {finding.detail}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
