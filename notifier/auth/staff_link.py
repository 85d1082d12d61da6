"""One-time links by which a person sets a password: the first within 72 hours, a new one within an hour.

Whoever makes a link hands it to the person; Notifier sends none. A new link ends the older ones. Opening a link changes
nothing, because programs that look at mail open links; the form behind it uses it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Actor, AuditAction
from notifier.auth.staff_session import generate_token, hash_token, record_staff_change
from notifier.db.tables import LinkPurpose, StaffLink, StaffUser, get_columns
from notifier.errors import NotFoundError, NotifierError
from notifier.ids import generate_id

LINK_LIFETIMES = {LinkPurpose.WELCOME: timedelta(hours=72), LinkPurpose.RESET: timedelta(hours=1)}
_link, _user = get_columns(StaffLink), get_columns(StaffUser)


class LinkEndedError(NotifierError):
    """This link was used already, or is too old. Ask an admin for a new one."""


class StaffDisabledError(NotifierError):
    """This person is disabled: enable them first."""


@dataclass(frozen=True, kw_only=True)
class LinkView:
    """A link that can be used, and whose it is."""

    id: UUID
    member_id: UUID
    email: str
    name: str
    purpose: LinkPurpose
    expires_at: datetime

    @property
    def is_first(self) -> bool:
        """Whether the person has not signed in before, and says where they are."""
        return self.purpose is LinkPurpose.WELCOME


@dataclass(frozen=True, kw_only=True)
class NewLink:
    """A new link and its token, which cannot be read again."""

    token: str
    purpose: LinkPurpose
    expires_at: datetime

    def build_url(self, console_url: str) -> str:
        """Build the address that the person opens. `console_url` is the URL of this instance from outside."""
        return f"{console_url.rstrip('/')}/console/welcome/{self.token}"


async def create_link(connection: AsyncConnection, member_id: UUID, *, actor: Actor) -> NewLink:
    """Create a link for the person's first password, or for a new one. Raises `NotFoundError`, `StaffDisabledError`."""
    columns = _user.password_hash, _user.disabled_at
    row = (await connection.execute(select(*columns).where(_user.id == member_id).with_for_update())).one_or_none()
    if row is None:
        raise NotFoundError("there is no such person")
    if row.disabled_at is not None:
        raise StaffDisabledError
    purpose = LinkPurpose.WELCOME if row.password_hash is None else LinkPurpose.RESET
    await delete_links(connection, member_id)
    link = NewLink(token=generate_token(), purpose=purpose, expires_at=actor.at + LINK_LIFETIMES[purpose])
    values: dict[str, Any] = {
        "id": generate_id(),
        "user_id": member_id,
        "purpose": purpose,
        "token_hash": hash_token(link.token),
        "created_at": actor.at,
        "expires_at": link.expires_at,
    }
    await connection.execute(insert(StaffLink).values(values))
    after = {"purpose": purpose.value, "expires_at": link.expires_at}
    await record_staff_change(connection, AuditAction.STAFF_LINK_CREATED, member_id, actor, after=after)
    return link


async def find_link(connection: AsyncConnection, token: str, now: datetime) -> LinkView:
    """Find a link that can be used. Raises `LinkEndedError`, the same for every cause."""
    columns = _link.id, _user.id.label("member_id"), _user.email, _user.name, _link.purpose, _link.expires_at
    statement = select(*columns).join(StaffUser, _user.id == _link.user_id).where(_link.token_hash == hash_token(token))
    statement = statement.where(_link.used_at.is_(None), _link.expires_at > now, _user.disabled_at.is_(None))
    row = (await connection.execute(statement)).mappings().one_or_none()
    if row is None:
        raise LinkEndedError
    return LinkView(**row)


async def use_up_link(connection: AsyncConnection, link: LinkView, now: datetime) -> None:
    """Use up a link. Raises `LinkEndedError` if somebody else did at the same moment."""
    is_unused = _link.id == link.id, _link.used_at.is_(None), _link.expires_at > now
    used = await connection.execute(update(StaffLink).where(*is_unused).values(used_at=now))
    if used.rowcount != 1:
        raise LinkEndedError


async def delete_links(connection: AsyncConnection, member_id: UUID) -> None:
    """Delete the links of a person."""
    await connection.execute(delete(StaffLink).where(_link.user_id == member_id))
