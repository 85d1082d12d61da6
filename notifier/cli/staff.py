"""`staff`: people who sign in to the console, their roles, sessions and one-time links. Each change is in the audit."""

import sys
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from notifier.cli.command import (
    USAGE_ERROR,
    CommandError,
    Json,
    build_actor,
    format_time,
    open_for_reading,
    open_for_writing,
    print_rows,
    replace_surrogates,
    strip_control_characters,
)

if TYPE_CHECKING:
    from notifier.auth.staff_admin import StaffView
    from notifier.auth.staff_link import NewLink
    from notifier.auth.staff_roles import StaffRole
    from notifier.settings import Settings

LOCAL_URL = "http://localhost:8000"
"""Where the API listens by default."""
Person = Annotated[str, typer.Argument(metavar="EMAIL|ID", help="The person's e-mail address or id.")]
Roles = Annotated[list[str], typer.Option("--role", help="support, editor, publisher, operator or admin; repeatable.")]
Url = Annotated[str, typer.Option(help="Where the link begins; default: NOTIFIER_CONSOLE__URL.")]


async def create_staff(
    email: Annotated[str, typer.Argument(help="The e-mail address with which the person signs in.")],
    name: Annotated[str, typer.Option(help="What colleagues see; default: the part before the @.")] = "",
    role: Roles = [],  # noqa: B006
    url: Url = "",
    as_json: Json = False,
) -> None:
    """Let a person sign in; the last line of the output is a one-time link to set the password."""
    from notifier import email_address
    from notifier.auth import staff_admin

    try:
        address = email_address.normalise_address(email)
    except email_address.InvalidAddressError as error:
        raise CommandError(f"{email!r}: {error}", USAGE_ERROR) from error
    name = replace_surrogates(name, "--name", staff_admin.MAX_STAFF_NAME_LENGTH)
    name = name or address.partition("@")[0][: staff_admin.MAX_STAFF_NAME_LENGTH]
    person = staff_admin.NewStaff(email=address, name=name, roles=frozenset(_parse_roles(role)))
    async with open_for_writing() as parts:
        async with parts.database.write() as connection:
            actor = build_actor(parts.clock.now())
            view, link = await staff_admin.invite_staff(connection, person, actor=actor)
        _print_link(view, link, parts.settings, url, as_json=as_json)


async def list_staff(as_json: Json = False) -> None:
    """List the people who may sign in, newest first."""
    from notifier.auth import staff_admin

    async with open_for_reading() as parts, parts.database.read() as connection:
        views = await staff_admin.list_staff(connection)
    print_rows([_build_staff_row(view) for view in views], as_json=as_json)


async def set_roles(who: Person, role: Roles = [], as_json: Json = False) -> None:  # noqa: B006
    """Replace the roles of a person; they apply at the next request. Without --role the person only reads."""
    from notifier.auth import staff_admin

    roles = _parse_roles(role)
    async with open_for_writing() as parts, parts.database.write() as connection:
        actor = build_actor(parts.clock.now())
        view = await staff_admin.set_roles(connection, _parse_person(who), roles, actor=actor)
    print_rows([_build_staff_row(view)], as_json=as_json)


async def disable_staff(who: Person, as_json: Json = False) -> None:
    """Disable a person; sessions and links end at once."""
    from notifier.auth import staff_admin

    async with open_for_writing() as parts, parts.database.write() as connection:
        actor = build_actor(parts.clock.now())
        view = await staff_admin.disable_staff(connection, _parse_person(who), actor=actor)
    print_rows([_build_staff_row(view)], as_json=as_json)


async def enable_staff(who: Person, as_json: Json = False) -> None:
    """Let a disabled person sign in again."""
    from notifier.auth import staff_admin

    async with open_for_writing() as parts, parts.database.write() as connection:
        actor = build_actor(parts.clock.now())
        view = await staff_admin.enable_staff(connection, _parse_person(who), actor=actor)
    print_rows([_build_staff_row(view)], as_json=as_json)


async def create_link(who: Person, url: Url = "", as_json: Json = False) -> None:
    """Print a new one-time link to set a password; older links of the person end."""
    from notifier.auth import staff_admin, staff_link

    async with open_for_writing() as parts:
        async with parts.database.write() as connection:
            view = await staff_admin.get_staff(connection, _parse_person(who))
            link = await staff_link.create_link(connection, view.id, actor=build_actor(parts.clock.now()))
        _print_link(view, link, parts.settings, url, as_json=as_json)


async def list_sessions(who: Person, as_json: Json = False) -> None:
    """List where a person is signed in."""
    from notifier.auth import staff_admin, staff_session

    async with open_for_reading() as parts, parts.database.read() as connection:
        view = await staff_admin.get_staff(connection, _parse_person(who))
        times = staff_session.SessionTimes.from_settings(parts.settings.console)
        sessions = await staff_session.list_sessions(connection, view.id, parts.clock.now(), times)
    rows = [
        {
            "id": str(session.id),
            "since": format_time(session.created_at),
            "seen": format_time(session.seen_at),
            "expires": format_time(session.expires_at),
            "address": session.from_address,
            "browser": strip_control_characters(session.browser),
        }
        for session in sessions
    ]
    print_rows(rows, as_json=as_json)


async def sign_out_staff(who: Person) -> None:
    """End every session of a person, at the next request."""
    from notifier.auth import staff_admin, staff_session

    async with open_for_writing() as parts, parts.database.write() as connection:
        view = await staff_admin.get_staff(connection, _parse_person(who))
        actor = build_actor(parts.clock.now())
        ended = await staff_session.revoke_other_sessions(connection, view.id, None, actor=actor)
    print(f"{ended} sessions ended" if ended != 1 else "1 session ended")


def _parse_person(who: str) -> UUID | str:
    try:
        return UUID(who)
    except ValueError:
        return who.encode(errors="replace").decode()


def _parse_roles(texts: list[str]) -> "list[StaffRole]":
    from notifier.auth.staff_roles import StaffRole

    try:
        return [StaffRole(text) for text in texts]
    except ValueError as error:
        known = ", ".join(role.value for role in StaffRole)
        raise CommandError(f"--role: {error}; roles are {known}", USAGE_ERROR) from error


def _print_link(view: "StaffView", link: "NewLink", settings: "Settings", url: str, *, as_json: bool) -> None:
    address = link.build_url(url or settings.console.url or LOCAL_URL)
    if as_json:
        row = _build_staff_row(view) | {"link": address, "link_expires": format_time(link.expires_at)}
        print_rows([row], as_json=True)
        return
    if not url and settings.console.url is None:
        note = f"the link begins with {LOCAL_URL}: set NOTIFIER_CONSOLE__URL or give --url for another address"
        print(f"notifier: {note}", file=sys.stderr)
    print(f"{view.email} sets a password by this link, once, before {format_time(link.expires_at)}:")
    print(address)


def _build_staff_row(view: "StaffView") -> dict[str, str]:
    return {
        "id": str(view.id),
        "email": view.email,
        "name": strip_control_characters(view.name),
        "roles": ",".join(view.roles) or "-",
        "password": "yes" if view.has_password else "no",
        "created": format_time(view.created_at),
        "seen": format_time(view.seen_at),
        "disabled": format_time(view.disabled_at),
    }
