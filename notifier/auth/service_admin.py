"""The operations on services: create, find, list and change them.

The team belongs to the service and applies to all its team keys. Functions never commit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import audit, email_address
from notifier.audit import Actor, AuditAction, AuditRecord
from notifier.db.tables import Service, get_columns
from notifier.errors import NameTakenError, NotFoundError, NotifierError
from notifier.ids import generate_id

MAX_TEAM_RECIPIENTS = 1000
_service = get_columns(Service)
_DAYS = ("keep_content_days", "keep_notification_days")


@dataclass(frozen=True, kw_only=True)
class ServiceView:
    """A service."""

    id: UUID
    name: str
    from_domains: list[str]
    team_recipients: list[str] | None  # None: nobody
    rate_per_minute: int | None  # notifications; None: as the settings say
    keep_content_days: int | None  # after the end; None: as the settings say
    keep_notification_days: int | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class ServiceChanges:
    """The changes of a service; None: unchanged."""

    from_domains: Sequence[str] | None = None
    team_recipients: Sequence[str] | None = None  # as `normalise_team_recipient` returns them
    rate_per_minute: int | None = None  # 0: unlimited
    keep_content_days: int | None = None
    keep_notification_days: int | None = None
    default_days: bool = False  # keep both as the settings say, unless a number is given as well


class DaysNotAllowedError(NotifierError):
    """A service may not keep its data for so long."""


def check_keep_days(name: str, days: int, ceiling: float) -> None:
    """Check how many days a service wants to keep its `name`. Raises `DaysNotAllowedError`."""
    if not 0 <= days <= ceiling:
        raise DaysNotAllowedError(
            f"a service may keep its {name} for 0 to {ceiling:g} days, not {days}; the operator's setting"
            f" NOTIFIER_RETENTION__MAX_{name.upper().removesuffix('S')}_DAYS is the ceiling"
        )


def normalise_team_recipient(text: str) -> str:
    """Normalise an address or "@domain" that team keys may mail, for comparison. Raises `InvalidAddressError`."""
    if text.startswith("@"):
        return normalise_team_recipient(f"anybody{text}").removeprefix("anybody")
    return email_address.get_address_key(email_address.normalise_address(text))


async def create_service(
    connection: AsyncConnection,
    name: str,
    *,
    from_domains: Sequence[str],
    team: Sequence[str] = (),
    rate_per_minute: int | None = None,
    now: datetime,
) -> UUID:
    """Create a service and return its id. Raises `NameTakenError`.

    `team` has addresses, and domains as "@example.org".
    """
    values = {
        "id": generate_id(),
        "name": name,
        "from_domains": [domain.lower() for domain in from_domains],
        "team_recipients": list(team),
        "rate_per_minute": rate_per_minute,
        "created_at": now,
    }
    try:
        await connection.execute(insert(Service).values(values))
    except IntegrityError as error:
        raise NameTakenError(f"there is a service named {name!r} already") from error
    return UUID(str(values["id"]))


async def find_service(connection: AsyncConnection, name: str) -> UUID:
    """Find the id of the service with this name. Raises `NotFoundError`."""
    id_ = await connection.scalar(select(_service.id).where(_service.name == name))
    if id_ is None:
        raise NotFoundError(f"there is no service named {name!r}")
    return UUID(str(id_))


async def list_services(connection: AsyncConnection) -> list[ServiceView]:
    """List all services by name."""
    rows = await connection.execute(_select_services().order_by(_service.name))
    return [ServiceView(**row) for row in rows.mappings()]


async def update_service(
    connection: AsyncConnection, which: UUID | str, changes: ServiceChanges, *, actor: Actor
) -> ServiceView:
    """Change the service with this id or name; every process uses the change within a second.

    The audit record has the number of addresses of the team, not the addresses. Raises `NotFoundError`.
    """
    condition = _service.id == which if isinstance(which, UUID) else _service.name == which
    row = (await connection.execute(_select_services().where(condition).with_for_update())).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"there is no service named {which!r}")
    before = ServiceView(**row)
    values: dict[str, Any] = dict.fromkeys(_DAYS) if changes.default_days else {}
    given = {name: value for name, value in vars(changes).items() if name != "default_days"}
    values |= {name: value for name, value in given.items() if value is not None}
    for name in ("from_domains", "team_recipients"):
        if name in values:
            values[name] = list(dict.fromkeys(entry.lower() for entry in values[name]))
    if all(getattr(before, name) == value for name, value in values.items()):
        actor.record_no_change()
        return before
    await connection.execute(update(Service).where(_service.id == before.id).values(values))
    after = replace(before, **values)
    record = AuditRecord(
        action=AuditAction.SERVICE_CHANGED,
        object_id=after.id,
        service_id=after.id,
        before=_list_audited_fields(before),
        after=_list_audited_fields(after),
    )
    await audit.write_audit_record(connection, record, actor)
    return after


def _list_audited_fields(view: ServiceView) -> dict[str, Any]:
    return {
        "name": view.name,
        "from_domains": view.from_domains,
        "team": view.team_recipients or [],
        "rate_per_minute": view.rate_per_minute,
        "keep_days": view.keep_content_days,
        "keep_notification_days": view.keep_notification_days,
    }


def _select_services() -> Select[Any]:
    return select(*(_service[name] for name in ServiceView.__dataclass_fields__))
