"""`db`: bring the schema up to date, and check it."""

import typer

from notifier.cli import output
from notifier.cli.output import Failed
from notifier.cli.process_parts import open_for_reading, open_for_writing


def register(app: typer.Typer) -> None:
    """Add the commands."""
    db = typer.Typer(help="The database's schema.", no_args_is_help=True)
    db.command("upgrade")(upgrade)
    db.command("check")(check)
    app.add_typer(db, name="db")


def upgrade() -> None:
    """Bring the schema up to date; safe to run from several machines at once."""
    output.run(_upgrade())


async def _upgrade() -> None:
    from notifier.db import migrate

    async with open_for_writing(creates=True) as parts:
        await migrate.upgrade(parts.database)
        print(f"at {await migrate.current(parts.database)}")


def check() -> None:
    """Exit 0 if the schema is the one that this release needs, else 1."""
    output.run(_check())


async def _check() -> None:
    from notifier.health import checks

    async with open_for_reading() as parts:
        findings = await checks.database(parts.database, with_reason=True)
    if not findings[0].ok:
        raise Failed(findings[0].detail, output.WRONG_USE)
    for finding in findings:
        print(f"{finding.name}: {finding.detail}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
