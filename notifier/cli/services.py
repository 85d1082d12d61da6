"""`services`: calling applications, made, listed and changed; each change of one is in the audit."""

from typing import TYPE_CHECKING, Annotated

import typer

from notifier.cli import output
from notifier.cli.change import operator, text
from notifier.cli.options import Json, Rate
from notifier.cli.output import Failed
from notifier.cli.process_parts import open_for_writing

if TYPE_CHECKING:
    from notifier.auth.owner import Changes, ServiceView

Domains = Annotated[list[str], typer.Option(help="Domain it may send from; may be repeated.")]
Team = Annotated[list[str], typer.Option(help="Whom its team keys may mail: an address, or @domain; may be repeated.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Calling applications.", no_args_is_help=True)
    group.command("create")(create)
    group.command("list")(list_)
    group.command("update")(update)
    app.add_typer(group, name="services")


def create(
    name: str,
    from_domain: Domains = [],  # noqa: B006
    team_recipient: Team = [],  # noqa: B006
    rate_per_minute: Rate = None,
) -> None:
    """Register a calling application."""
    output.run(_create(name, from_domain, _members(team_recipient), rate_per_minute))


async def _create(name: str, from_domains: list[str], team: list[str], rate: int | None) -> None:
    from notifier.auth import keys

    async with open_for_writing() as parts, parts.database.write() as connection:
        now = parts.clock.now()
        id_ = await keys.create_service(
            connection, name, from_domains=from_domains, team=team, rate_per_minute=rate, now=now
        )
        print(id_)


def list_(as_json: Json = False) -> None:
    """All calling applications, by name."""
    output.run(_list(as_json=as_json))


async def _list(*, as_json: bool) -> None:
    from notifier import installation
    from notifier.auth import owner

    async with installation.base(output.settings()) as parts, parts.database.read() as connection:
        found = await owner.listed(connection)
    output.show([_row(view) for view in found], as_json=as_json)


def update(
    name: str,
    from_domain: Domains = [],  # noqa: B006
    team_recipient: Team = [],  # noqa: B006
    no_team: Annotated[bool, typer.Option("--no-team", help="Its team keys may mail nobody.")] = False,
    rate_per_minute: Rate = None,
    as_json: Json = False,
) -> None:
    """Change what is named, each list as a whole; felt by every process within a second."""
    from notifier.auth.owner import Changes

    if not (from_domain or team_recipient or no_team or rate_per_minute is not None):
        raise Failed("say what is to be different", output.WRONG_USE)
    if no_team and team_recipient:
        raise Failed("--no-team and --team-recipient contradict each other", output.WRONG_USE)
    wanted = Changes(
        from_domains=from_domain or None,
        team_recipients=_members(team_recipient) if team_recipient or no_team else None,
        rate_per_minute=rate_per_minute,
    )
    output.run(_update(name, wanted, as_json=as_json))


async def _update(name: str, wanted: "Changes", *, as_json: bool) -> None:
    from notifier import audit
    from notifier.auth import owner

    async with open_for_writing() as parts, parts.database.write() as connection:
        before = await owner.locked(connection, name)
        after = await owner.change(connection, before, wanted)
        if after is not before:
            doer = audit.Doer(actor=operator(), at=parts.clock.now())
            await audit.record(connection, owner.changed(before, after), doer)
    output.show([_row(after)], as_json=as_json)


def _members(texts: list[str]) -> list[str]:
    from notifier import address
    from notifier.auth import owner

    found = []
    for one in texts:
        try:
            found.append(owner.member(one))
        except address.InvalidAddressError as error:
            raise Failed(f"--team-recipient {one!r}: {error}", output.WRONG_USE) from error
    return found


def _row(view: "ServiceView") -> dict[str, str]:
    return {
        "id": str(view.id),
        "name": view.name,
        "from_domains": ",".join(view.from_domains) or "-",
        "team_recipients": ",".join(view.team_recipients or ()) or "-",
        "rate_per_minute": "-" if view.rate_per_minute is None else str(view.rate_per_minute),
        "created": text(view.created_at),
    }
