"""`db`, and how commands that write get at the database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from notifier.cli import output
from notifier.cli.output import CommandError

if TYPE_CHECKING:
    from notifier.db.database_url import DatabaseAddress
    from notifier.runtime.process_parts import ProcessParts


Rate = Annotated[
    int | None, typer.Option(min=0, max=2**31 - 1, help="Notifications; 0: any number; default: the setting.")
]


def register_db_commands(app: typer.Typer) -> None:
    """Add the commands."""
    db = typer.Typer(help="The database's schema.", no_args_is_help=True)
    db.command("upgrade")(upgrade)
    db.command("check")(check)
    app.add_typer(db, name="db")


@asynccontextmanager
async def open_for_writing(*, creates: bool = False) -> "AsyncIterator[ProcessParts]":
    """The parts, for a command that writes; on SQLite only while no server runs, and if the database exists."""
    from contextlib import ExitStack

    from notifier.db import data_directory, migrations
    from notifier.db.database_url import parse_database_url
    from notifier.runtime import process_parts

    settings = output.load_settings()
    if not creates:
        _require_made(parse_database_url(settings.effective_database_url))
    with ExitStack() as stack:
        if settings.uses_sqlite:
            stack.enter_context(data_directory.lock_directory(settings.data_dir))
        async with process_parts.open_process_parts(settings) as parts:
            if not creates:
                await migrations.get_current_revision(
                    parts.database
                )  # before any work is done that could not be written
            yield parts


def _require_made(address: "DatabaseAddress") -> None:
    """Refuse a SQLite file that is not there, before anything is made beside it."""
    from notifier.db.database_url import SqliteAddress
    from notifier.db.error_explanations import UPGRADE_ADVICE

    if isinstance(address, SqliteAddress) and address.is_missing:
        raise CommandError(f"{address.place} does not exist yet: {UPGRADE_ADVICE}", output.USAGE_ERROR)


def upgrade() -> None:
    """Bring the schema up to date; safe to run from several machines at once."""
    output.run_command(_upgrade())


async def _upgrade() -> None:
    from notifier.db import migrations

    async with open_for_writing(creates=True) as parts:
        await migrations.upgrade_schema(parts.database)
        print(f"at {await migrations.get_current_revision(parts.database)}")


def check() -> None:
    """Exit 0 if the schema is the one that this release needs, else 1."""
    output.run_command(_check())


async def _check() -> None:
    from notifier.health import checks
    from notifier.runtime import process_parts

    async with process_parts.open_process_parts(output.load_settings()) as parts:
        findings = await checks.check_database(parts.database, with_reason=True)
    if not findings[0].ok:
        raise CommandError(findings[0].detail, output.USAGE_ERROR)
    for finding in findings:
        print(f"{finding.name}: {finding.detail}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
