"""`db` and `services`: what an operator sets up once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from notifier.cli import output
from notifier.cli.output import Failed

if TYPE_CHECKING:
    from notifier.installation import Base


def register(app: typer.Typer) -> None:
    """Add the commands."""
    db = typer.Typer(help="The database's schema.", no_args_is_help=True)
    db.command("upgrade")(upgrade)
    db.command("check")(check)
    services = typer.Typer(help="Calling applications.", no_args_is_help=True)
    services.command("create")(create_service)
    app.add_typer(db, name="db")
    app.add_typer(services, name="services")


@asynccontextmanager
async def writing() -> "AsyncIterator[Base]":
    """The parts, for a command that writes; on SQLite only while no server runs."""
    from contextlib import ExitStack

    from notifier import installation
    from notifier.db import directory

    settings = output.settings()
    with ExitStack() as stack:
        if settings.uses_sqlite:
            stack.enter_context(directory.owned(settings.data_dir))
        async with installation.base(settings) as parts:
            yield parts


def upgrade() -> None:
    """Bring the schema up to date; safe to run from several machines at once."""
    output.run(_upgrade())


async def _upgrade() -> None:
    from notifier.db import migrate

    async with writing() as parts:
        await migrate.upgrade(parts.database)
        print(f"at {await migrate.current(parts.database)}")


def check() -> None:
    """Exit 0 if the schema is the one that this release needs, else 1."""
    output.run(_check())


async def _check() -> None:
    from notifier import installation
    from notifier.health import checks

    async with installation.base(output.settings()) as parts:
        findings = await checks.database(parts.database)
    for finding in findings:
        print(f"{finding.name}: {finding.detail}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def create_service(
    name: str,
    from_domain: Annotated[list[str], typer.Option(help="Domain it may send from; may be repeated.")] = [],  # noqa: B006
    team_recipient: Annotated[
        list[str], typer.Option(help="Whom its team keys may mail: an address, or @domain; may be repeated.")
    ] = [],  # noqa: B006
) -> None:
    """Register a calling application."""
    output.run(_create_service(name, from_domain, [_member(one) for one in team_recipient]))


async def _create_service(name: str, from_domains: list[str], team: list[str]) -> None:
    from notifier.auth import keys

    async with writing() as parts, parts.database.write() as connection:
        now = parts.clock.now()
        print(await keys.create_service(connection, name, from_domains=from_domains, team=team, now=now))


def _member(text: str) -> str:
    """Whom a team key may mail, in the form in which recipients are compared."""
    from notifier import address

    try:
        if text.startswith("@"):
            return "@" + address.domain(address.key(address.normalised(f"anybody{text}")))
        return address.key(address.normalised(text))
    except address.InvalidAddressError as error:
        raise Failed(f"--team-recipient {text!r}: {error}", output.WRONG_USE) from error
