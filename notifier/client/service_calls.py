"""The services that call the API: the calls, and their replies. The key is an admin key."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict, Unpack
from uuid import UUID

from notifier.client.api_call import GET, PATCH, POST, Call, PageCall, Reply, build_call, read_as, read_page


class ServiceChanges(TypedDict, total=False):
    """What a service has beside its name; a list is replaced as a whole."""

    from_domains: Sequence[str]  # that it may send from; empty: the instance's address only
    team_recipients: Sequence[str]  # whom its team keys may mail: addresses, and domains such as "@example.org"
    rate_per_minute: int  # notifications; 0: unlimited
    keep_content_days: int
    keep_notification_days: int


@dataclass(frozen=True, kw_only=True)
class Service(Reply):
    """A service that calls the API."""

    id: str
    name: str
    from_domains: tuple[str, ...] = ()
    team_recipients: tuple[str, ...] = ()
    rate_per_minute: int | None = None  # notifications; None: as the settings say, 0: unlimited
    keep_content_days: int | None = None  # None: as the settings say
    keep_notification_days: int | None = None
    created_at: datetime


def list_services() -> PageCall[Service]:
    """List all services, by name."""
    return build_call(GET, ("services",), read_page(Service, "services"))


def get_service(which: str | UUID, /) -> Call[Service]:
    """Get a service by its id or name."""
    return build_call(GET, ("services", which), read_as(Service))


def create_service(name: str, /, **settings: Unpack[ServiceChanges]) -> Call[Service]:
    """Create a service, which has no keys yet. Raises `ConflictError` if there is one with this name."""
    return build_call(POST, ("services",), read_as(Service), fields={"name": name, **settings})


def update_service(
    which: str | UUID, /, *, default_days: bool | None = None, **changes: Unpack[ServiceChanges]
) -> Call[Service]:
    """Change a service, given by its id or name. With `default_days` it keeps its data as the settings say."""
    fields = {"default_days": default_days, **changes}
    return build_call(PATCH, ("services", which), read_as(Service), fields=fields, is_idempotent=True)
