"""`keys`: API keys of any service, made, listed, rotated and revoked; each change is in the audit."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from notifier.cli import output
from notifier.cli.change import operator, plain, text
from notifier.cli.options import Json, Rate
from notifier.cli.output import Failed
from notifier.cli.process_parts import open_for_writing
from notifier.states import KeyKind

if TYPE_CHECKING:
    from uuid import UUID

    from notifier.auth.care import KeyView
    from notifier.auth.keys import Wish
    from notifier.auth.scope import Scope

MOST_LISTED = 1000
_DURATION = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
Which = Annotated[str, typer.Argument(metavar="ID|PREFIX", help="Its id, how it begins, or the key itself.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="API keys.", no_args_is_help=True)
    group.command("create")(create)
    group.command("list")(list_)
    group.command("rotate")(rotate)
    group.command("revoke")(revoke)
    app.add_typer(group, name="keys")


def create(
    service: Annotated[str, typer.Option(help="Name of the service it belongs to.")] = "",
    admin: Annotated[bool, typer.Option("--admin", help="Of no service, for what all share.")] = False,
    kind: Annotated[KeyKind, typer.Option(help="Whom its mail reaches.")] = KeyKind.LIVE,
    scope: Annotated[
        list[str], typer.Option(help="What it may do; default: send and read, or all about templates and admin.")
    ] = [],  # noqa: B006
    name: Annotated[str, typer.Option(help="By which you know it again.")] = "",
    expires_in: Annotated[str, typer.Option(help="Such as 90d or 12h; default: never.")] = "",
    rate_per_minute: Rate = None,
    as_json: Json = False,
) -> None:
    """Make an API key; it is the last line of the output and cannot be shown again."""
    life = _duration(expires_in, "--expires-in") if expires_in else None
    words = name.encode(errors="replace").decode()
    from notifier.auth import care, keys
    from notifier.auth.scope import ADMIN_SCOPES, DEFAULT_SCOPES, Scope

    if len(words) > care.LONGEST_NAME:
        raise Failed(f"--name: at most {care.LONGEST_NAME} characters", output.WRONG_USE)
    if bool(service) == admin:
        raise Failed("either --service NAME or --admin", output.WRONG_USE)
    if admin and kind is not KeyKind.LIVE:
        raise Failed("--kind: an admin key sends no mail", output.WRONG_USE)
    scopes = _scopes(scope) or (ADMIN_SCOPES if admin else DEFAULT_SCOPES)
    if not admin and Scope.ADMIN in scopes:
        raise Failed("--scope: a service's key cannot have admin; make one with --admin", output.WRONG_USE)
    wish = keys.Wish(kind=kind, name=words, scopes=scopes, rate_per_minute=rate_per_minute)
    output.run(_create(service, wish, life, as_json=as_json))


async def _create(service: str, wish: "Wish", life: timedelta | None, *, as_json: bool) -> None:
    from dataclasses import replace

    from notifier import audit
    from notifier.auth import care, keys

    async with open_for_writing() as parts, parts.database.write() as connection:
        doer = audit.Doer(actor=operator(), at=parts.clock.now())
        wish = replace(wish, expires_at=doer.at + life if life else None)
        owner = await keys.find_service(connection, service) if service else None
        view, key = await care.make(connection, owner, wish, doer.at)
        await audit.record(connection, care.created(view), doer)
    _show_new(view, key, as_json=as_json)


def list_(
    service: Annotated[str, typer.Option(help="Only of this one.")] = "",
    include_ended: Annotated[bool, typer.Option(help="List those too that are revoked or expired.")] = False,
    as_json: Json = False,
) -> None:
    """API keys without their secrets, newest first; at most a thousand."""
    output.run(_list(service, include_ended=include_ended, as_json=as_json))


async def _list(service: str, *, include_ended: bool, as_json: bool) -> None:
    from notifier import installation
    from notifier.auth import care, keys

    async with installation.base(output.settings()) as parts, parts.database.read() as connection:
        owner = await keys.find_service(connection, service) if service else None
        after = None if include_ended else parts.clock.now()
        found = await care.page(connection, owner, lasting_after=after, limit=MOST_LISTED)
    output.show([_row(view) for view in found], as_json=as_json)


def rotate(
    which: Which,
    overlap: Annotated[str, typer.Option(help="For so long the old key still works.")] = "24h",
    as_json: Json = False,
) -> None:
    """Make a key like this one, which ends after the overlap; the new key is the last line of the output."""
    output.run(_rotate(_meant(which), _duration(overlap, "--overlap"), as_json=as_json))


async def _rotate(which: "UUID | str", overlap: timedelta, *, as_json: bool) -> None:
    from notifier import audit
    from notifier.auth import care

    async with open_for_writing() as parts, parts.database.write() as connection:
        doer = audit.Doer(actor=operator(), at=parts.clock.now())
        before = await care.locked_by_name(connection, which)
        care.require_rotatable(before, doer.at)
        wish = care.successor_of(before, doer.at)
        old, new, key = await care.rotate(connection, before, wish, min(overlap, care.LONGEST_OVERLAP), doer.at)
        for deed in (care.rotated(before, old), care.created(new)):
            await audit.record(connection, deed, doer)
    _show_new(new, key, as_json=as_json)


def revoke(which: Which, as_json: Json = False) -> None:
    """End a key for good; felt by every process within a second."""
    output.run(_revoke(_meant(which), as_json=as_json))


async def _revoke(which: "UUID | str", *, as_json: bool) -> None:
    from notifier import audit
    from notifier.auth import care

    async with open_for_writing() as parts, parts.database.write() as connection:
        doer = audit.Doer(actor=operator(), at=parts.clock.now())
        before = await care.locked_by_name(connection, which)
        after = await care.revoke(connection, before, doer.at)
        if after is not before:
            await audit.record(connection, care.revoked(before, after), doer)
    output.show([_row(after)], as_json=as_json)


def _scopes(texts: list[str]) -> "tuple[Scope, ...]":
    from notifier.auth.scope import Scope

    try:
        return tuple(Scope(scope) for scope in texts)
    except ValueError as error:
        known = ", ".join(scope.value for scope in Scope)
        raise Failed(f"{error}; scopes are {known}", output.WRONG_USE) from error


def _meant(which: str) -> "UUID | str":
    from uuid import UUID

    from notifier.auth import keys

    prefix = keys.prefix_of(which)
    if prefix is not None:
        return prefix
    try:
        return UUID(which)
    except ValueError as error:
        raise Failed("that is neither an id nor the beginning of a key", output.WRONG_USE) from error


def _duration(words: str, option: str) -> timedelta:
    found = _DURATION.fullmatch(words)
    life = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None
    if life is None or life > timedelta(days=36_500):
        raise Failed(f"{option}: a number and s, m, h, d or w, such as 90d", output.WRONG_USE)
    return life


def _show_new(view: "KeyView", key: str, *, as_json: bool) -> None:
    if as_json:
        output.show([_row(view) | {"key": key}], as_json=True)
    else:
        print(key)


def _row(view: "KeyView") -> dict[str, str]:
    return {
        "id": str(view.id),
        "prefix": view.prefix,
        "name": plain(view.name),
        "kind": view.kind.value,
        "scopes": ",".join(view.scopes),
        "created": text(view.created_at),
        "last_used": text(view.last_used_at),
        "rate_per_minute": "-" if view.rate_per_minute is None else str(view.rate_per_minute),
        "expires": text(view.expires_at),
        "revoked": text(view.revoked_at),
    }
