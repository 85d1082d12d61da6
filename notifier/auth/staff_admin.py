"""The operations on people who sign in: create, list, change, disable and enable them. Each writes its audit record."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from sqlalchemy import Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import email_address
from notifier.audit import Actor, AuditAction
from notifier.auth import staff_link, staff_session
from notifier.auth.staff_link import NewLink
from notifier.auth.staff_roles import StaffRole
from notifier.db.dialect import insert_if_absent
from notifier.db.tables import StaffLogin, StaffUser, get_columns
from notifier.errors import Fault, InvalidRequestError, NameTakenError, NotFoundError, NotifierError
from notifier.ids import generate_id

MAX_STAFF_NAME_LENGTH = 64
MAX_NAMED_STAFF = 5  # people who are named as those to ask
DEFAULT_TIME_ZONE = "UTC"
_user, _session = get_columns(StaffUser), get_columns(StaffLogin)
_AUDITED = ("name", "roles", "disabled_at")


class StaffExistsError(NameTakenError):
    """Somebody with this e-mail address may sign in already."""


class LastAdminError(NotifierError):
    """This person is the only admin who is left. Make somebody else an admin first."""


@dataclass(frozen=True, kw_only=True)
class NewStaff:
    """A person who is to be created."""

    email: str  # as `normalise_address` returns it
    name: str
    roles: frozenset[StaffRole]
    time_zone: str = DEFAULT_TIME_ZONE


@dataclass(frozen=True, kw_only=True)
class StaffView:
    """A person who may sign in."""

    id: UUID
    email: str
    name: str
    roles: list[StaffRole]
    time_zone: str
    uses_plain_editor: bool
    has_password: bool
    created_by: str
    created_at: datetime
    disabled_at: datetime | None
    seen_at: datetime | None  # in the sessions of the last 30 days; to within a minute


async def create_staff(connection: AsyncConnection, person: NewStaff, *, actor: Actor) -> StaffView:
    """Create a person without a password. Raises `StaffExistsError`."""
    id_ = generate_id()
    values: dict[str, Any] = {
        "id": id_,
        "email": email_address.get_address_key(person.email),
        "name": person.name,
        "roles": _sort_roles(person.roles),
        "time_zone": person.time_zone,
        "uses_plain_editor": False,
        "created_by": actor.name,
        "created_at": actor.at,
    }
    if not await insert_if_absent(connection, StaffUser, values):
        raise StaffExistsError
    view = await get_staff(connection, id_)
    after = {name: getattr(view, name) for name in _AUDITED}
    await staff_session.record_staff_change(connection, AuditAction.STAFF_CREATED, id_, actor, after=after)
    return view


async def invite_staff(connection: AsyncConnection, person: NewStaff, *, actor: Actor) -> tuple[StaffView, NewLink]:
    """Create a person, and a one-time link for their first password. Raises `StaffExistsError`."""
    view = await create_staff(connection, person, actor=actor)
    return view, await staff_link.create_link(connection, view.id, actor=actor)


async def list_staff(
    connection: AsyncConnection, *, before: UUID | None = None, limit: int | None = None
) -> list[StaffView]:
    """List people, newest first. `before` is the id of the last one of the page before; `limit` None: all."""
    statement = _select_staff()
    if before is not None:
        statement = statement.where(_user.id < before)
    rows = await connection.execute(statement.order_by(_user.id.desc()).limit(limit))
    return [_build_view(row) for row in rows.mappings()]


async def get_staff(connection: AsyncConnection, which: UUID | str) -> StaffView:
    """Get the person with this id or e-mail address. Raises `NotFoundError`."""
    statement = _select_staff().where(_match_person(which))
    row = (await connection.execute(statement)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such person")
    return _build_view(row)


async def get_staff_names(connection: AsyncConnection, ids: Collection[UUID]) -> dict[UUID, str]:
    """Get the names of people by id; unknown ids are left out."""
    rows = await connection.execute(select(_user.id, _user.name).where(_user.id.in_(ids)))
    return {row.id: row.name for row in rows}


async def list_names_with_role(connection: AsyncConnection, role: StaffRole) -> list[str]:
    """List the names of people who have this role and may sign in: whom others can ask."""
    rows = await connection.execute(
        select(_user.name, _user.roles).where(_user.disabled_at.is_(None)).order_by(_user.name)
    )
    return [row.name for row in rows if role in row.roles][:MAX_NAMED_STAFF]


async def count_staff(connection: AsyncConnection) -> int:
    """Count the people who may sign in."""
    return int(await connection.scalar(select(func.count()).where(_user.disabled_at.is_(None))) or 0)


async def set_roles(
    connection: AsyncConnection, which: UUID | str, roles: Iterable[StaffRole], *, actor: Actor
) -> StaffView:
    """Replace the roles of a person; they apply at the next request. Raises `NotFoundError`, `LastAdminError`."""
    before = await _lock_staff(connection, which)
    after = replace(before, roles=_sort_roles(roles))
    if StaffRole.ADMIN not in after.roles:
        await _require_other_admin(connection, before)
    return await _write_change(connection, AuditAction.STAFF_CHANGED, before, after, actor)


async def disable_staff(connection: AsyncConnection, which: UUID | str, *, actor: Actor) -> StaffView:
    """Disable a person: their sessions and links end at once. Raises `NotFoundError`, `LastAdminError`."""
    before = await _lock_staff(connection, which)
    await _require_other_admin(connection, before)
    after = replace(before, disabled_at=before.disabled_at or actor.at)
    after = await _write_change(connection, AuditAction.STAFF_DISABLED, before, after, actor)
    await staff_link.delete_links(connection, before.id)
    await staff_session.revoke_other_sessions(connection, before.id, None, actor=actor)
    return after


async def enable_staff(connection: AsyncConnection, which: UUID | str, *, actor: Actor) -> StaffView:
    """Let a disabled person sign in again, with the password they had. Raises `NotFoundError`."""
    before = await _lock_staff(connection, which)
    return await _write_change(connection, AuditAction.STAFF_ENABLED, before, replace(before, disabled_at=None), actor)


async def set_preferences(
    connection: AsyncConnection, member_id: UUID, *, time_zone: str, uses_plain_editor: bool, actor: Actor
) -> None:
    """Set how a person sees the console. Raises `InvalidRequestError` for an unknown time zone."""
    if time_zone not in available_timezones():
        detail = "there is no such time zone; write it as Europe/Amsterdam"
        raise InvalidRequestError([Fault("/time_zone", "invalid_value", detail)])
    values = {"time_zone": time_zone, "uses_plain_editor": uses_plain_editor}
    await connection.execute(update(StaffUser).where(_user.id == member_id).values(values))
    await staff_session.record_staff_change(connection, AuditAction.STAFF_CHANGED, member_id, actor, after=values)


async def _write_change(
    connection: AsyncConnection, action: AuditAction, before: StaffView, after: StaffView, actor: Actor
) -> StaffView:
    if after == before:
        actor.record_no_change()
        return before
    values = {"roles": after.roles, "disabled_at": after.disabled_at}
    await connection.execute(update(StaffUser).where(_user.id == before.id).values(values))
    states = [{name: getattr(view, name) for name in _AUDITED} for view in (before, after)]
    await staff_session.record_staff_change(connection, action, before.id, actor, before=states[0], after=states[1])
    return after


async def _require_other_admin(connection: AsyncConnection, person: StaffView) -> None:
    """Raise `LastAdminError` if the person is the only admin. Everybody is locked, so two do not remove each other."""
    if StaffRole.ADMIN not in person.roles or person.disabled_at is not None:
        return
    rows = await connection.execute(select(_user.id, _user.roles).where(_user.disabled_at.is_(None)))
    if not any(StaffRole.ADMIN in row.roles and row.id != person.id for row in rows):
        raise LastAdminError


async def _lock_staff(connection: AsyncConnection, which: UUID | str) -> StaffView:
    # Everybody is locked in one order: few people change rarely, and so no two changes wait for each other in a circle.
    await connection.execute(select(_user.id).order_by(_user.id).with_for_update())
    return await get_staff(connection, which)


def _match_person(which: UUID | str) -> Any:
    return _user.id == which if isinstance(which, UUID) else _user.email == email_address.get_address_key(which)


def _select_staff() -> Select[Any]:
    seen_at = select(func.max(_session.seen_at)).where(_session.user_id == _user.id).scalar_subquery()
    names = (name for name in StaffView.__dataclass_fields__ if name not in {"has_password", "seen_at"})
    has_password = _user.password_hash.is_not(None).label("has_password")
    return select(*(_user[name] for name in names)).add_columns(has_password, seen_at.label("seen_at"))


def _build_view(row: Any) -> StaffView:
    return StaffView(**{**row, "roles": _sort_roles(row["roles"])})


def _sort_roles(roles: Iterable[str]) -> list[StaffRole]:
    return [role for role in StaffRole if role in frozenset(roles)]
