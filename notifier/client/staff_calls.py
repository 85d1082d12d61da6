"""People who sign in to the console: the calls, and their replies. docs/console.md explains roles and links.

The key is an admin key with `staff:manage`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from notifier.client.api_call import (
    DELETE,
    GET,
    POST,
    PUT,
    Call,
    PageCall,
    Reply,
    build_call,
    read_as,
    read_page,
)


@dataclass(frozen=True, kw_only=True)
class Person(Reply):
    """A person who may sign in to the console."""

    id: str
    email: str
    name: str
    roles: tuple[str, ...] = ()  # support, editor, publisher, operator, admin
    time_zone: str
    has_password: bool
    created_by: str
    created_at: datetime
    disabled_at: datetime | None = None  # since when the person cannot sign in
    seen_at: datetime | None = None  # the last use in the last 30 days


@dataclass(frozen=True, kw_only=True)
class OneTimeLink(Reply):
    """A link by which a person sets a password, once."""

    url: str  # for the person alone
    purpose: str  # welcome: the first password; reset: a new one
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class NewPerson(Person):
    """A person who was just created."""

    link: OneTimeLink


@dataclass(frozen=True, kw_only=True)
class PersonSession(Reply):
    """Where a person is signed in."""

    id: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    from_address: str  # the client address; of IPv6 its /64
    browser: str


@dataclass(frozen=True, kw_only=True)
class EndedSessions(Reply):
    """How many sessions were ended."""

    ended: int


def list_staff(*, limit: int | None = None, before: str | UUID | None = None) -> PageCall[Person]:
    """List the people who may sign in, newest first, with those who are disabled."""
    return build_call(GET, ("staff",), read_page(Person, "staff"), query={"limit": limit, "before": before})


def get_staff(id_: str | UUID, /) -> Call[Person]:
    """Get a person."""
    return build_call(GET, ("staff", id_), read_as(Person))


def create_staff(email: str, /, *, name: str, roles: Sequence[str] = ()) -> Call[NewPerson]:
    """Let a person sign in. The reply has their one-time link, valid for 72 hours."""
    fields = {"email": email, "name": name, "roles": list(roles)}
    return build_call(POST, ("staff",), read_as(NewPerson), fields=fields)


def set_staff_roles(id_: str | UUID, roles: Sequence[str], /) -> Call[Person]:
    """Replace the roles of a person. Raises `ConflictError` if no admin would be left."""
    return build_call(PUT, ("staff", id_, "roles"), read_as(Person), fields={"roles": list(roles)})


def disable_staff(id_: str | UUID, /) -> Call[Person]:
    """Disable a person: sessions and links end at once. Raises `ConflictError` if no admin would be left."""
    return build_call(POST, ("staff", id_, "disable"), read_as(Person), is_idempotent=True)


def enable_staff(id_: str | UUID, /) -> Call[Person]:
    """Let a disabled person sign in again, with the password they had."""
    return build_call(POST, ("staff", id_, "enable"), read_as(Person), is_idempotent=True)


def create_staff_link(id_: str | UUID, /) -> Call[OneTimeLink]:
    """Create a link by which the person sets a password; older links end."""
    return build_call(POST, ("staff", id_, "link"), read_as(OneTimeLink))


def list_staff_sessions(id_: str | UUID, /) -> PageCall[PersonSession]:
    """List where a person is signed in, newest first."""
    return build_call(GET, ("staff", id_, "sessions"), read_page(PersonSession, "sessions"))


def revoke_staff_sessions(id_: str | UUID, /) -> Call[EndedSessions]:
    """End every session of a person, at the next request."""
    return build_call(DELETE, ("staff", id_, "sessions"), read_as(EndedSessions))
