"""`keys`: create, list, rotate and revoke API keys of any service. Each change is in the audit."""

import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from notifier.cli.command import (
    USAGE_ERROR,
    CommandError,
    Json,
    Rate,
    build_actor,
    format_time,
    open_for_reading,
    open_for_writing,
    print_rows,
    replace_surrogates,
    strip_control_characters,
)
from notifier.states import KeyKind

if TYPE_CHECKING:
    from notifier.auth.authenticated_key import KeyScope
    from notifier.auth.key_admin import KeyView

MAX_LISTED_KEYS = 1000
_DURATION_FORM = re.compile(r"(\d{1,6})([smhdw])")
_DURATION_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
KeyName = Annotated[str, typer.Argument(metavar="ID|PREFIX", help="Its id, its prefix, or the key itself.")]


async def create_key(
    service: Annotated[str, typer.Option(help="The name of its service.")] = "",
    admin: Annotated[bool, typer.Option("--admin", help="Create an instance-wide admin key.")] = False,
    kind: Annotated[KeyKind, typer.Option(help="Whom its mail may reach.")] = KeyKind.LIVE,
    scope: Annotated[
        list[str], typer.Option(help="What it may do; default: send and read, or for an admin key templates and admin.")
    ] = [],  # noqa: B006
    name: Annotated[str, typer.Option(help="A name by which you recognise it.")] = "",
    expires_in: Annotated[str, typer.Option(help="Its lifetime, such as 90d or 12h; default: no end.")] = "",
    rate_per_minute: Rate = None,
    as_json: Json = False,
) -> None:
    """Create an API key; it is the last line of the output and cannot be shown again."""
    from notifier.auth import key_admin, service_admin
    from notifier.auth.authenticated_key import ADMIN_SCOPES, DEFAULT_SCOPES, KeyScope

    lifetime = _parse_duration(expires_in, "--expires-in") if expires_in else None
    name = replace_surrogates(name, "--name", key_admin.MAX_KEY_NAME_LENGTH)
    if bool(service) == admin:
        raise CommandError("either --service NAME or --admin", USAGE_ERROR)
    if admin and kind is not KeyKind.LIVE:
        raise CommandError("--kind: an admin key sends no mail", USAGE_ERROR)
    scopes = _parse_scopes(scope) or (ADMIN_SCOPES if admin else DEFAULT_SCOPES)
    if not admin and KeyScope.ADMIN in scopes:
        raise CommandError("--scope: a service's key cannot have admin; create an admin key with --admin", USAGE_ERROR)
    properties = key_admin.NewKey(kind=kind, name=name, scopes=scopes, rate_per_minute=rate_per_minute)
    async with open_for_writing() as parts, parts.database.write() as connection:
        actor = build_actor(parts.clock.now())
        properties = replace(properties, expires_at=actor.at + lifetime if lifetime else None)
        service_id = await service_admin.find_service(connection, service) if service else None
        view, key = await key_admin.create_key(connection, service_id, properties, actor=actor)
    _print_new_key(view, key, as_json=as_json)


async def list_keys(
    service: Annotated[str, typer.Option(help="Only keys of this service.")] = "",
    include_ended: Annotated[bool, typer.Option(help="List revoked and expired keys too.")] = False,
    as_json: Json = False,
) -> None:
    """List API keys without their secrets, newest first; at most a thousand."""
    from notifier.auth import key_admin, service_admin

    async with open_for_reading() as parts, parts.database.read() as connection:
        service_id = await service_admin.find_service(connection, service) if service else None
        after = None if include_ended else parts.clock.now()
        views = await key_admin.list_keys(connection, service_id, lasting_after=after, limit=MAX_LISTED_KEYS)
    print_rows([_build_key_row(view) for view in views], as_json=as_json)


async def rotate_key(
    which: KeyName,
    overlap: Annotated[str, typer.Option(help="How long the old key still works.")] = "24h",
    as_json: Json = False,
) -> None:
    """Replace a key, which ends after the overlap; the new key is the last line of the output."""
    from notifier.auth import key_admin

    name, duration = _parse_key_name(which), _parse_duration(overlap, "--overlap")
    async with open_for_writing() as parts, parts.database.write() as connection:
        actor = build_actor(parts.clock.now())
        _, view, key = await key_admin.rotate_key(connection, name, actor=actor, overlap=duration)
    _print_new_key(view, key, as_json=as_json)


async def revoke_key(which: KeyName, as_json: Json = False) -> None:
    """Revoke a key; every process refuses it within a second."""
    from notifier.auth import key_admin

    name = _parse_key_name(which)
    async with open_for_writing() as parts, parts.database.write() as connection:
        view = await key_admin.revoke_key(connection, name, actor=build_actor(parts.clock.now()))
    print_rows([_build_key_row(view)], as_json=as_json)


def _parse_scopes(texts: list[str]) -> "tuple[KeyScope, ...]":
    from notifier.auth.authenticated_key import KeyScope

    try:
        return tuple(KeyScope(scope) for scope in texts)
    except ValueError as error:
        known = ", ".join(scope.value for scope in KeyScope)
        raise CommandError(f"{error}; scopes are {known}", USAGE_ERROR) from error


def _parse_key_name(which: str) -> UUID | str:
    from notifier.auth import authenticator

    prefix = authenticator.get_key_prefix(which)
    if prefix is not None:
        return prefix
    try:
        return UUID(which)
    except ValueError as error:
        raise CommandError("this is neither an id nor the prefix of a key", USAGE_ERROR) from error


def _parse_duration(text: str, option: str) -> timedelta:
    match = _DURATION_FORM.fullmatch(text)
    duration = timedelta(**{_DURATION_UNITS[match[2]]: int(match[1])}) if match else None
    if duration is None or duration > timedelta(days=36_500):
        raise CommandError(f"{option}: a number and s, m, h, d or w, such as 90d", USAGE_ERROR)
    return duration


def _print_new_key(view: "KeyView", key: str, *, as_json: bool) -> None:
    if as_json:
        print_rows([_build_key_row(view) | {"key": key}], as_json=True)
    else:
        print(key)


def _build_key_row(view: "KeyView") -> dict[str, str]:
    return {
        "id": str(view.id),
        "prefix": view.prefix,
        "name": strip_control_characters(view.name),
        "kind": view.kind.value,
        "scopes": ",".join(view.scopes),
        "created": format_time(view.created_at),
        "last_used": format_time(view.last_used_at),
        "rate_per_minute": "-" if view.rate_per_minute is None else str(view.rate_per_minute),
        "expires": format_time(view.expires_at),
        "revoked": format_time(view.revoked_at),
    }
