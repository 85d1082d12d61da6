"""The operations on services: list, and change what an operator or the service itself may change.

The team belongs to the service and counts for all its team keys. Functions never commit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import address, audit
from notifier.audit import Action, Deed, Doer, ObjectKind
from notifier.db.tables import Service, columns
from notifier.errors import NotFoundError

MOST_MEMBERS = 1000
_service = columns(Service)


@dataclass(frozen=True, kw_only=True)
class ServiceView:
    """A service."""

    id: UUID
    name: str
    from_domains: list[str]
    team_recipients: list[str] | None  # None: nobody
    rate_per_minute: int | None  # notifications; None: as the settings say
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Changes:
    """The changes of a service; None: unchanged."""

    from_domains: Sequence[str] | None = None
    team_recipients: Sequence[str] | None = None  # as `member` gives them
    rate_per_minute: int | None = None  # 0: unlimited


def member(text: str) -> str:
    """Normalise an address or "@domain" that team keys may mail, for comparison. Raises `InvalidAddressError`."""
    if text.startswith("@"):
        return "@" + address.domain(address.key(address.normalised(f"anybody{text}")))
    return address.key(address.normalised(text))


async def listed(connection: AsyncConnection) -> list[ServiceView]:
    """List all services by name."""
    rows = await connection.execute(_views().order_by(_service.name))
    return [ServiceView(**row) for row in rows.mappings()]


async def update_service(
    connection: AsyncConnection, which: UUID | str, wanted: Changes, *, actor: Doer
) -> ServiceView:
    """Change the service with this id or name; every process uses the change within a second.

    The audit keeps how many addresses the team has, not the addresses. Raises `NotFoundError`.
    """
    condition = _service.id == which if isinstance(which, UUID) else _service.name == which
    row = (await connection.execute(_views().where(condition).with_for_update())).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"there is no service named {which!r}")
    before = ServiceView(**row)
    values: dict[str, Any] = {name: value for name, value in vars(wanted).items() if value is not None}
    for name in ("from_domains", "team_recipients"):
        if name in values:
            values[name] = list(dict.fromkeys(entry.lower() for entry in values[name]))
    if all(getattr(before, name) == value for name, value in values.items()):
        actor.record_no_change()
        return before
    await connection.execute(update(Service).where(_service.id == before.id).values(values))
    after = replace(before, **values)
    deed = Deed(
        action=Action.SERVICE_CHANGED,
        object_kind=ObjectKind.SERVICE,
        object_id=after.id,
        service_id=after.id,
        before=_list_audited_fields(before),
        after=_list_audited_fields(after),
    )
    await audit.record(connection, deed, actor)
    return after


def _list_audited_fields(view: ServiceView) -> dict[str, Any]:
    return {
        "name": view.name,
        "from_domains": view.from_domains,
        "team": view.team_recipients or [],
        "rate_per_minute": view.rate_per_minute,
    }


def _views() -> Select[Any]:
    return select(*(_service[name] for name in ServiceView.__dataclass_fields__))
