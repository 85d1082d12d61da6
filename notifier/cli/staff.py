"""`staff`: people who sign in to the console, their roles, sessions and one-time links. Each change is in the audit."""

import sys
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from notifier.cli.api_access import pass_api
from notifier.cli.command import (
    CommandError,
    Json,
    format_time,
    print_rows,
    replace_surrogates,
    strip_control_characters,
)

if TYPE_CHECKING:
    from notifier.client import AsyncNotifier, OneTimeLink, Person

LOCAL_URL = "http://localhost:8000"
"""Where the API listens by default."""
PAGE_SIZE = 200
Who = Annotated[str, typer.Argument(metavar="EMAIL|ID", help="The person's e-mail address or id.")]
Roles = Annotated[list[str], typer.Option("--role", help="support, editor, publisher, operator or admin; repeatable.")]
Url = Annotated[str, typer.Option(help="Where the link begins; default: NOTIFIER_CONSOLE__URL of the server.")]


@pass_api(writes=True)
async def create_staff(
    notifier: "AsyncNotifier",
    email: Annotated[str, typer.Argument(help="The e-mail address with which the person signs in.")],
    name: Annotated[str, typer.Option(help="What colleagues see; default: the part before the @.")] = "",
    role: Roles = [],  # noqa: B006
    url: Url = "",
    as_json: Json = False,
) -> None:
    """Let a person sign in; the last line of the output is a one-time link to set the password."""
    address = replace_surrogates(email)
    name = replace_surrogates(name) or address.partition("@")[0]
    person = await notifier.staff.create(address, name=name, roles=role)
    _print_link(person, person.link, url, as_json=as_json)


@pass_api(writes=False)
async def list_staff(notifier: "AsyncNotifier", as_json: Json = False) -> None:
    """List the people who may sign in, newest first."""
    people = notifier.staff.list(limit=PAGE_SIZE)
    print_rows([_build_staff_row(person) async for person in people], as_json=as_json)


@pass_api(writes=True)
async def set_roles(notifier: "AsyncNotifier", who: Who, role: Roles = [], as_json: Json = False) -> None:  # noqa: B006
    """Replace the roles of a person; they apply at the next request. Without --role the person only reads."""
    person = await notifier.staff.set_roles((await _find_person(notifier, who)).id, role)
    print_rows([_build_staff_row(person)], as_json=as_json)


@pass_api(writes=True)
async def disable_staff(notifier: "AsyncNotifier", who: Who, as_json: Json = False) -> None:
    """Disable a person; sessions and links end at once."""
    person = await notifier.staff.disable((await _find_person(notifier, who)).id)
    print_rows([_build_staff_row(person)], as_json=as_json)


@pass_api(writes=True)
async def enable_staff(notifier: "AsyncNotifier", who: Who, as_json: Json = False) -> None:
    """Let a disabled person sign in again."""
    person = await notifier.staff.enable((await _find_person(notifier, who)).id)
    print_rows([_build_staff_row(person)], as_json=as_json)


@pass_api(writes=True)
async def create_link(notifier: "AsyncNotifier", who: Who, url: Url = "", as_json: Json = False) -> None:
    """Print a new one-time link to set a password; older links of the person end."""
    person = await _find_person(notifier, who)
    _print_link(person, await notifier.staff.create_link(person.id), url, as_json=as_json)


@pass_api(writes=False)
async def list_sessions(notifier: "AsyncNotifier", who: Who, as_json: Json = False) -> None:
    """List where a person is signed in."""
    sessions = notifier.staff.sessions((await _find_person(notifier, who)).id)
    rows = [
        {
            "id": session.id,
            "since": format_time(session.created_at),
            "seen": format_time(session.seen_at),
            "expires": format_time(session.expires_at),
            "address": session.from_address,
            "browser": strip_control_characters(session.browser),
        }
        async for session in sessions
    ]
    print_rows(rows, as_json=as_json)


@pass_api(writes=True)
async def sign_out_staff(notifier: "AsyncNotifier", who: Who) -> None:
    """End every session of a person, at the next request."""
    ended = (await notifier.staff.revoke_sessions((await _find_person(notifier, who)).id)).ended
    print(f"{ended} sessions ended" if ended != 1 else "1 session ended")


async def _find_person(notifier: "AsyncNotifier", who: str) -> "Person":
    """Find a person by id or e-mail address, whose case does not matter. Raises `CommandError`."""
    try:
        return await notifier.staff.get(str(UUID(who)))
    except ValueError:
        address = replace_surrogates(who).casefold()
    async for person in notifier.staff.list(limit=PAGE_SIZE):
        if person.email.casefold() == address:
            return person
    raise CommandError("there is no such person")


def _print_link(person: "Person", link: "OneTimeLink", url: str, *, as_json: bool) -> None:
    address = _complete_link(link.url, url)
    if as_json:
        row = _build_staff_row(person) | {"link": address, "link_expires": format_time(link.expires_at)}
        print_rows([row], as_json=True)
        return
    if not url and link.url.startswith("/"):
        base = address.removesuffix(link.url)
        note = f"the link begins with {base}: set NOTIFIER_CONSOLE__URL or give --url for another address"
        print(f"notifier: {note}", file=sys.stderr)
    print(f"{person.email} sets a password by this link, once, before {format_time(link.expires_at)}:")
    print(address)


def _complete_link(link: str, url: str) -> str:
    """Let a link begin with `url`; without it, as the server says, else with the URL of the API."""
    from notifier.environment import get_variable

    path = link[link.index("/console/") :]
    if url:
        return url.rstrip("/") + path
    return link if path != link else (get_variable("NOTIFIER_URL") or LOCAL_URL).rstrip("/") + path


def _build_staff_row(person: "Person") -> dict[str, str]:
    return {
        "id": person.id,
        "email": person.email,
        "name": strip_control_characters(person.name),
        "roles": ",".join(person.roles) or "-",
        "password": "yes" if person.has_password else "no",
        "created": format_time(person.created_at),
        "seen": format_time(person.seen_at),
        "disabled": format_time(person.disabled_at),
    }
