"""The operations on services: create, get, list and change them.

The team belongs to the service and applies to all its team keys. Functions never commit.
"""

from collections.abc import Iterable, Sequence
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
from notifier.errors import NameTakenError, NotFoundError
from notifier.ids import generate_id

MAX_NAME_LENGTH = 64
NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9_-]*$"
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
class NewService:
    """A service that is to be created."""

    name: str
    from_domains: Sequence[str] = ()
    team_recipients: Sequence[str] = ()  # as `normalise_team_recipient` returns them
    rate_per_minute: int | None = None  # None: as the settings say, 0: unlimited
    keep_content_days: int | None = None  # None: as the settings say
    keep_notification_days: int | None = None


@dataclass(frozen=True, kw_only=True)
class ServiceChanges:
    """The changes of a service; None: unchanged."""

    from_domains: Sequence[str] | None = None
    team_recipients: Sequence[str] | None = None  # as `normalise_team_recipient` returns them
    rate_per_minute: int | None = None  # 0: unlimited
    keep_content_days: int | None = None
    keep_notification_days: int | None = None
    default_days: bool = False  # keep both as the settings say, unless a number is given as well


class ServiceExistsError(NameTakenError):
    """There is a service with this name already."""


def normalise_team_recipient(text: str) -> str:
    """Normalise an address or "@domain" that team keys may mail, for comparison. Raises `InvalidAddressError`."""
    if text.startswith("@"):
        return normalise_team_recipient(f"anybody{text}").removeprefix("anybody")
    return email_address.get_address_key(email_address.normalise_address(text))


async def create_service(connection: AsyncConnection, name: str, *, from_domains: Sequence[str], now: datetime) -> UUID:
    """Create a service without an audit record, and return its id. Raises `ServiceExistsError`."""
    return (await _insert_service(connection, NewService(name=name, from_domains=from_domains), now)).id


async def register_service(connection: AsyncConnection, new: NewService, *, actor: Actor) -> ServiceView:
    """Create a service. Raises `ServiceExistsError`."""
    view = await _insert_service(connection, new, actor.at)
    record = AuditRecord(
        action=AuditAction.SERVICE_CREATED, object_id=view.id, service_id=view.id, after=_list_audited_fields(view)
    )
    await audit.write_audit_record(connection, record, actor)
    return view


async def _insert_service(connection: AsyncConnection, new: NewService, now: datetime) -> ServiceView:
    view = ServiceView(
        id=generate_id(),
        name=new.name,
        from_domains=_list_entries(new.from_domains),
        team_recipients=_list_entries(new.team_recipients),
        rate_per_minute=new.rate_per_minute,
        keep_content_days=new.keep_content_days,
        keep_notification_days=new.keep_notification_days,
        created_at=now,
    )
    try:
        await connection.execute(insert(Service).values(vars(view)))
    except IntegrityError as error:
        raise ServiceExistsError(f"there is a service named {new.name!r} already") from error
    return view


async def get_service(connection: AsyncConnection, which: UUID | str) -> ServiceView:
    """Get the service with this id or name. Raises `NotFoundError`."""
    return await _fetch_service(connection, _select_services(), which)


async def find_service(connection: AsyncConnection, name: str) -> UUID:
    """Find the id of the service with this name. Raises `NotFoundError`."""
    id_ = await connection.scalar(select(_service.id).where(_service.name == name))
    if id_ is None:
        raise NotFoundError(f"there is no service named {name!r}")
    return UUID(str(id_))


async def get_service_names(connection: AsyncConnection, ids: Iterable[UUID]) -> dict[UUID, str]:
    """Get the names of the services with these ids."""
    rows = await connection.execute(select(_service.id, _service.name).where(_service.id.in_(set(ids))))
    return {row.id: row.name for row in rows}


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
    before = await _fetch_service(connection, _select_services().with_for_update(), which)
    values: dict[str, Any] = dict.fromkeys(_DAYS) if changes.default_days else {}
    given = {name: value for name, value in vars(changes).items() if name != "default_days"}
    values |= {name: value for name, value in given.items() if value is not None}
    for name in ("from_domains", "team_recipients"):
        if name in values:
            values[name] = _list_entries(values[name])
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


async def _fetch_service(connection: AsyncConnection, statement: Select[Any], which: UUID | str) -> ServiceView:
    condition = _service.id == which if isinstance(which, UUID) else _service.name == which
    row = (await connection.execute(statement.where(condition))).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"there is no service {which if isinstance(which, UUID) else f'named {which!r}'}")
    return ServiceView(**row)


def _list_entries(entries: Sequence[str]) -> list[str]:
    """List domains or recipients in lower case, each once."""
    return list(dict.fromkeys(entry.lower() for entry in entries))


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
