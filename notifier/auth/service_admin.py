"""Services after they were made: listed, and what an operator or the service itself may change about them.

Who belongs to the team is of the service, and counts for all its team keys. Functions never commit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import email_address
from notifier.audit import AuditAction, AuditRecord, ObjectKind
from notifier.db.tables import Service, get_columns
from notifier.errors import NotFoundError

MAX_TEAM_RECIPIENTS = 1000
_service_columns = get_columns(Service)


@dataclass(frozen=True, kw_only=True)
class ServiceView:
    """A service as it stands."""

    id: UUID
    name: str
    from_domains: list[str]
    team_recipients: list[str] | None  # None: nobody
    rate_per_minute: int | None  # notifications; None: as the settings say
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class ServiceChanges:
    """What is to be different; None: as it is."""

    from_domains: Sequence[str] | None = None
    team_recipients: Sequence[str] | None = None  # as `member` gives them
    rate_per_minute: int | None = None  # 0: any number


def normalise_team_recipient(text: str) -> str:
    """Whom a team key may mail, in the form in which recipients are compared. Raises `InvalidAddressError`."""
    if text.startswith("@"):
        return "@" + email_address.get_address_domain(
            email_address.get_address_key(email_address.normalise_address(f"anybody{text}"))
        )
    return email_address.get_address_key(email_address.normalise_address(text))


async def list_services(connection: AsyncConnection) -> list[ServiceView]:
    """All services, by name."""
    found = await connection.execute(_select_services().order_by(_service_columns.name))
    return [ServiceView(**row) for row in found.mappings()]


async def lock_service(connection: AsyncConnection, which: UUID | str) -> ServiceView:
    """The service with this id or name, for who is about to change it. Raises `NotFoundError`."""
    condition = _service_columns.id == which if isinstance(which, UUID) else _service_columns.name == which
    row = (await connection.execute(_select_services().where(condition).with_for_update())).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"there is no service named {which!r}")
    return ServiceView(**row)


async def change_service(connection: AsyncConnection, old: ServiceView, wanted: ServiceChanges) -> ServiceView:
    """The service as it is then; felt by every process within a second. `old` is one that `locked` has found."""
    values: dict[str, Any] = {name: value for name, value in vars(wanted).items() if value is not None}
    for name in ("from_domains", "team_recipients"):
        if name in values:
            values[name] = list(dict.fromkeys(one.lower() for one in values[name]))
    if all(getattr(old, name) == value for name, value in values.items()):
        return old
    await connection.execute(update(Service).where(_service_columns.id == old.id).values(values))
    return replace(old, **values)


def build_service_record(before: ServiceView, after: ServiceView) -> AuditRecord:
    """What the audit is told; of the team's addresses it keeps how many there are."""
    return AuditRecord(
        action=AuditAction.SERVICE_CHANGED,
        object_kind=ObjectKind.SERVICE,
        object_id=after.id,
        service_id=after.id,
        before=_list_service_fields(before),
        after=_list_service_fields(after),
    )


def _list_service_fields(view: ServiceView) -> dict[str, Any]:
    return {
        "name": view.name,
        "from_domains": view.from_domains,
        "team": view.team_recipients or [],
        "rate_per_minute": view.rate_per_minute,
    }


def _select_services() -> Select[Any]:
    return select(*(_service_columns[name] for name in ServiceView.__dataclass_fields__))
