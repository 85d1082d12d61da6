"""API keys, and the recipients of team keys: the calls, and their replies."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Unpack
from uuid import UUID

from notifier.client.api_call import (
    DELETE,
    GET,
    POST,
    PUT,
    Call,
    HttpResponse,
    PageCall,
    Reply,
    build_call,
    read_as,
    read_page,
)
from notifier.client.request_fields import NewKey


@dataclass(frozen=True, kw_only=True)
class ApiKey(Reply):
    """A key without its secret."""

    id: str
    name: str
    kind: str  # live, team or test
    service: str | None = None  # the name of its service; None: an admin key
    prefix: str | None = None  # the first characters of the key; `whoami` does not return it
    scopes: tuple[str, ...] = ()
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None  # exact to a minute
    replaced_by: str | None = None  # the key that a rotation created
    rate_per_minute: int | None = None


@dataclass(frozen=True, kw_only=True)
class NewApiKey(ApiKey):
    """A key that was just created."""

    key: str = field(repr=False)  # the secret, which is returned only once
    replaces: ApiKey | None = None  # after `rotate`: the old key, with its end


@dataclass(frozen=True, kw_only=True)
class Team(Reply):
    """The recipients that team keys may mail."""

    recipients: tuple[str, ...] = ()


def list_keys(
    *,
    limit: int | None = None,
    before: str | UUID | None = None,
    include_ended: bool | None = None,
    service: str | None = None,
) -> PageCall[ApiKey]:
    """List keys, newest first; with `include_ended` also revoked and expired ones. `service` is for admin keys."""
    query = {"limit": limit, "before": before, "include_ended": include_ended, "service": service}
    return build_call(GET, ("keys",), read_page(ApiKey, "keys"), query=query)


def get_key(which: str | UUID, /) -> Call[ApiKey]:
    """Get a key by its id or prefix."""
    return build_call(GET, ("keys", which), read_as(ApiKey))


def create_key(*, service: str | None = None, **fields: Unpack[NewKey]) -> Call[NewApiKey]:
    """Create a key. The reply has its secret, which cannot be read again.

    An admin key creates one of the `service` that it names, else an admin key.
    """
    return build_call(POST, ("keys",), read_as(NewApiKey), query={"service": service}, fields=fields)


def rotate_key(which: str | UUID, /, *, overlap_seconds: int | None = None) -> Call[NewApiKey]:
    """Create a key with the same rights. The old one ends after the overlap, by default 24 hours."""
    return build_call(POST, ("keys", which, "rotate"), read_as(NewApiKey), fields={"overlap_seconds": overlap_seconds})


def revoke_key(which: str | UUID, /) -> Call[ApiKey]:
    """Revoke a key, given by its id or prefix. Revoking it again is no error."""
    return build_call(DELETE, ("keys", which), read_as(ApiKey))


def set_team_recipients(recipients: Sequence[str], /) -> Call[tuple[str, ...]]:
    """Replace the recipients that team keys may mail: addresses, and domains such as `@example.org`."""
    return build_call(PUT, ("team-recipients",), _read_recipients, fields={"recipients": list(recipients)})


def _read_recipients(answer: HttpResponse) -> tuple[str, ...]:
    return read_as(Team)(answer).recipients
