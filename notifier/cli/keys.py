"""`keys`: create, list, rotate and revoke API keys of any service. Each change is in the audit."""

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from notifier.cli.api_access import pass_api, take_first
from notifier.cli.command import (
    USAGE_ERROR,
    CommandError,
    Json,
    Rate,
    format_time,
    parse_duration,
    print_rows,
    replace_surrogates,
    strip_control_characters,
)
from notifier.states import KeyKind

if TYPE_CHECKING:
    from notifier.client import ApiKey, AsyncNotifier, NewApiKey, NewKey

MAX_LISTED_KEYS = 1000
ALL_SCOPES = "all"
_KEY_FORM = re.compile(r"(ntf_(?:live|team|test|admin)_[0-9A-Za-z]{12})(?:[0-9A-Za-z]{32})?")
KeyName = Annotated[str, typer.Argument(metavar="ID|PREFIX", help="Its id, its prefix, or the key itself.")]


@pass_api(writes=True)
async def create_key(
    notifier: "AsyncNotifier",
    service: Annotated[str, typer.Option(help="The name of its service.")] = "",
    admin: Annotated[bool, typer.Option("--admin", help="Create an instance-wide admin key.")] = False,
    kind: Annotated[KeyKind, typer.Option(help="Whom its mail may reach.")] = KeyKind.LIVE,
    scope: Annotated[
        list[str],
        typer.Option(help="What it may do, or `all`; default: send and read, or for an admin key templates and admin."),
    ] = [],  # noqa: B006
    name: Annotated[str, typer.Option(help="A name by which you recognise it.")] = "",
    expires_in: Annotated[str, typer.Option(help="Its lifetime, such as 90d or 12h; default: no end.")] = "",
    rate_per_minute: Rate = None,
    as_json: Json = False,
) -> None:
    """Create an API key; it is the last line of the output and cannot be shown again."""
    if bool(service) == admin:
        raise CommandError("either --service NAME or --admin", USAGE_ERROR)
    fields: NewKey = {"name": replace_surrogates(name), "kind": kind.value}
    if scope:
        fields["scopes"] = _list_all_scopes(admin=admin) if scope == [ALL_SCOPES] else scope
    if expires_in:
        fields["expires_at"] = datetime.now(UTC) + parse_duration(expires_in, "--expires-in")
    if rate_per_minute is not None:
        fields["rate_per_minute"] = rate_per_minute
    _print_new_key(await notifier.keys.create(service=service or None, **fields), as_json=as_json)


@pass_api(writes=False)
async def list_keys(
    notifier: "AsyncNotifier",
    service: Annotated[str, typer.Option(help="Only keys of this service.")] = "",
    include_ended: Annotated[bool, typer.Option("--include-ended", help="List revoked and expired keys too.")] = False,
    as_json: Json = False,
) -> None:
    """List API keys without their secrets, newest first; at most a thousand."""
    pages = notifier.keys.list(service=service or None, include_ended=include_ended, limit=200)
    print_rows([_build_key_row(key) for key in await take_first(pages, MAX_LISTED_KEYS)], as_json=as_json)


@pass_api(writes=True)
async def rotate_key(
    notifier: "AsyncNotifier",
    which: KeyName,
    overlap: Annotated[str, typer.Option(help="How long the old key still works.")] = "24h",
    as_json: Json = False,
) -> None:
    """Replace a key, which ends after the overlap; the new key is the last line of the output."""
    name, duration = _parse_key_name(which), parse_duration(overlap, "--overlap")
    new = await notifier.keys.rotate(name, overlap_seconds=int(duration.total_seconds()))
    _print_new_key(new, as_json=as_json)


@pass_api(writes=True)
async def revoke_key(notifier: "AsyncNotifier", which: KeyName, as_json: Json = False) -> None:
    """Revoke a key; every process refuses it within a second."""
    print_rows([_build_key_row(await notifier.keys.revoke(_parse_key_name(which)))], as_json=as_json)


def _list_all_scopes(*, admin: bool) -> list[str]:
    from notifier.auth.authenticated_key import SERVICE_SCOPES, KeyScope

    return [scope.value for scope in (KeyScope if admin else SERVICE_SCOPES)]


def _parse_key_name(which: str) -> str:
    """Parse an id, a prefix or a key, whose secret is left out, because the name becomes part of a URL."""
    if match := _KEY_FORM.fullmatch(which):
        return match[1]
    try:
        return str(UUID(which))
    except ValueError as error:
        raise CommandError("this is neither an id nor the prefix of a key", USAGE_ERROR) from error


def _print_new_key(new: "NewApiKey", *, as_json: bool) -> None:
    if as_json:
        print_rows([_build_key_row(new) | {"key": new.key}], as_json=True)
    else:
        print(new.key)


def _build_key_row(key: "ApiKey") -> dict[str, str]:
    return {
        "id": key.id,
        "prefix": key.prefix or "-",
        "service": key.service or "-",
        "name": strip_control_characters(key.name),
        "kind": key.kind,
        "scopes": ",".join(key.scopes),
        "created": format_time(key.created_at),
        "last_used": format_time(key.last_used_at),
        "rate_per_minute": "-" if key.rate_per_minute is None else str(key.rate_per_minute),
        "expires": format_time(key.expires_at),
        "revoked": format_time(key.revoked_at),
    }
