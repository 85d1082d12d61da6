"""Sessions of staff: who is signed in, since when, and where from.

A token has 256 random bits; the row has its SHA-256. A session ends half an hour after its last use, twelve hours after
its beginning, when it is revoked, and when its person is disabled, always at the next request.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import audit
from notifier.audit import Actor, AuditAction, AuditRecord
from notifier.auth import sign_in_waits
from notifier.auth.authenticated_key import InsufficientScopeError, KeyScope
from notifier.auth.staff_roles import StaffRole, get_role_scopes
from notifier.console_settings import ConsoleSettings
from notifier.db.tables import StaffLogin, StaffUser, get_columns
from notifier.errors import NotFoundError
from notifier.ids import generate_id

SEEN_PRECISION = timedelta(minutes=1)
"""By how much the time of the last use may be too early."""
KEEP_SESSIONS = timedelta(days=30)
"""How long a row is kept: its client address is known to belong to the person."""
MAX_FLASH_LENGTH = 500
_MAX_BROWSER_LENGTH, _MAX_ADDRESS_LENGTH = 200, 64
_session, _user = get_columns(StaffLogin), get_columns(StaffUser)
_SESSIONS = (
    select(*_session)
    .add_columns(_user.email, _user.name, _user.roles, _user.time_zone, _user.uses_plain_editor)
    .join(StaffUser, _user.id == _session.user_id)
)


@dataclass(frozen=True, kw_only=True)
class SessionTimes:
    """When sessions end by themselves."""

    idle: timedelta = timedelta(minutes=30)  # after the last use
    longest: timedelta = timedelta(hours=12)  # after the beginning

    @classmethod
    def from_settings(cls, settings: ConsoleSettings) -> "SessionTimes":
        """Read the times from the settings of the console."""
        return cls(idle=timedelta(minutes=settings.idle_minutes), longest=timedelta(hours=settings.max_hours))


@dataclass(frozen=True, kw_only=True)
class StaffMember:
    """A person who is signed in, and what they may do."""

    id: UUID
    email: str
    name: str
    roles: frozenset[StaffRole]
    scopes: frozenset[str]
    time_zone: str  # IANA
    uses_plain_editor: bool

    @property
    def actor_name(self) -> str:
        """The name under which records are written."""
        return f"staff:{self.id}"

    def has_scope(self, scope: KeyScope) -> bool:
        """Whether the person has the scope."""
        return scope.value in self.scopes

    def require_scope(self, scope: KeyScope) -> None:
        """Raise `InsufficientScopeError` unless the person has the scope."""
        if not self.has_scope(scope):
            raise InsufficientScopeError(scope)


@dataclass(frozen=True, kw_only=True)
class StaffSession:
    """A session of a person."""

    id: UUID
    member: StaffMember
    created_at: datetime
    seen_at: datetime  # to within a minute
    password_at: datetime  # when the person last proved who they are
    expires_at: datetime
    flash: str | None
    from_address: str
    browser: str


@dataclass(frozen=True, kw_only=True)
class SignedIn:
    """A new session and its token, which cannot be read again."""

    token: str
    session: StaffSession


@dataclass(frozen=True, kw_only=True)
class SignInOrigin:
    """The request by which a session begins."""

    address: str  # of the client
    browser: str  # the User-Agent
    request_id: str | None = None


def generate_token() -> str:
    """Generate a token of 256 random bits, which can be in a URL and in a cookie."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> bytes:
    """Hash a token for its row. SHA-256 without salt is enough for 256 random bits."""
    return hashlib.sha256(token.encode(errors="replace")).digest()


async def find_session(
    connection: AsyncConnection, token: str, now: datetime, times: SessionTimes = SessionTimes()
) -> StaffSession | None:
    """Find the session of a token. None if it is unknown, idle, over, revoked, or of a disabled person."""
    statement = _SESSIONS.where(_session.token_hash == hash_token(token), *_is_live(now, times))
    row = (await connection.execute(statement)).one_or_none()
    return _build_session(row) if row is not None else None


async def touch_session(connection: AsyncConnection, session_id: UUID, now: datetime) -> None:
    """Write that the session is in use, at most once a minute."""
    await connection.execute(
        update(StaffLogin).where(_session.id == session_id, _session.seen_at < now - SEEN_PRECISION).values(seen_at=now)
    )


async def create_session(
    connection: AsyncConnection, member_id: UUID, *, origin: SignInOrigin, times: SessionTimes, actor: Actor
) -> SignedIn:
    """Create a session with a new token. Rows that have been kept long enough are deleted."""
    await connection.execute(delete(StaffLogin).where(_session.created_at < actor.at - KEEP_SESSIONS))
    token, id_ = generate_token(), generate_id()
    values = {
        "id": id_,
        "user_id": member_id,
        "token_hash": hash_token(token),
        "created_at": actor.at,
        "seen_at": actor.at,
        "password_at": actor.at,
        "expires_at": actor.at + times.longest,
        "from_address": sign_in_waits.group_address(origin.address)[:_MAX_ADDRESS_LENGTH],
        "browser": _clean(origin.browser)[:_MAX_BROWSER_LENGTH],
    }
    await connection.execute(insert(StaffLogin).values(values))
    row = (await connection.execute(_SESSIONS.where(_session.id == id_))).one()
    await record_staff_change(connection, AuditAction.STAFF_SIGNED_IN, member_id, actor, after={"session": id_})
    return SignedIn(token=token, session=_build_session(row))


async def renew_token(connection: AsyncConnection, session_id: UUID, now: datetime) -> str:
    """Give the session a new token, because the person has just proved again who they are; returns the token."""
    token = generate_token()
    await connection.execute(
        update(StaffLogin)
        .where(_session.id == session_id)
        .values(token_hash=hash_token(token), password_at=now, seen_at=now)
    )
    return token


async def list_sessions(
    connection: AsyncConnection, member_id: UUID, now: datetime, times: SessionTimes = SessionTimes()
) -> list[StaffSession]:
    """List the live sessions of a person, newest first."""
    statement = _SESSIONS.where(_session.user_id == member_id, *_is_live(now, times)).order_by(_session.id.desc())
    return [_build_session(row) for row in await connection.execute(statement)]


async def sign_out(connection: AsyncConnection, session: StaffSession, *, actor: Actor) -> None:
    """End the session of this browser."""
    await end_sessions(connection, session.member.id, AuditAction.STAFF_SIGNED_OUT, actor, _session.id == session.id)


async def revoke_session(connection: AsyncConnection, member_id: UUID, session_id: UUID, *, actor: Actor) -> None:
    """End a session of the person. Raises `NotFoundError` if the person has no such session; twice is no error."""
    condition = _session.id == session_id
    row = await connection.execute(select(_session.id).where(condition, _session.user_id == member_id))
    if row.one_or_none() is None:
        raise NotFoundError("there is no such session")
    await end_sessions(connection, member_id, AuditAction.STAFF_SESSION_REVOKED, actor, condition)


async def revoke_other_sessions(
    connection: AsyncConnection, member_id: UUID, keep: UUID | None, *, actor: Actor
) -> int:
    """End every session of the person but one (None: all); returns how many."""
    conditions = () if keep is None else (_session.id != keep,)
    return await end_sessions(connection, member_id, AuditAction.STAFF_SESSION_REVOKED, actor, *conditions)


async def is_known_address(connection: AsyncConnection, email: str, address: str, now: datetime) -> bool:
    """Whether the person with this e-mail address signed in from this client address in the last 30 days."""
    conditions = _user.email == email, _session.from_address == sign_in_waits.group_address(address)
    statement = select(_session.id).join(StaffUser, _user.id == _session.user_id).where(*conditions)
    statement = statement.where(_session.created_at > now - KEEP_SESSIONS).limit(1)
    return (await connection.execute(statement)).one_or_none() is not None


async def set_flash(connection: AsyncConnection, session_id: UUID, text: str) -> None:
    """Keep a text that the next page shows once."""
    values = {"flash": text[:MAX_FLASH_LENGTH]}
    await connection.execute(update(StaffLogin).where(_session.id == session_id).values(values))


async def take_flash(connection: AsyncConnection, session_id: UUID) -> str | None:
    """Remove the text that the next page shows, and return it; None if there is none."""
    condition = _session.id == session_id
    text: str | None = await connection.scalar(select(_session.flash).where(condition).with_for_update())
    if text is not None:
        await connection.execute(update(StaffLogin).where(condition).values(flash=None))
    return text


async def end_sessions(
    connection: AsyncConnection,
    member_id: UUID,
    action: AuditAction,
    actor: Actor,
    *conditions: ColumnElement[bool],
) -> int:
    """End the sessions of the person that have not ended, with one audit record; returns how many."""
    ended = (
        update(StaffLogin)
        .where(_session.user_id == member_id, _session.ended_at.is_(None), _session.expires_at > actor.at, *conditions)
        .values(ended_at=actor.at)
        .returning(_session.id)
    )
    ids = list((await connection.execute(ended)).scalars())
    if ids:
        await record_staff_change(connection, action, member_id, actor, after={"sessions": ids})
    else:
        actor.record_no_change()
    return len(ids)


async def record_staff_change(
    connection: AsyncConnection,
    action: AuditAction,
    member_id: UUID,
    actor: Actor,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Write an audit record about a person."""
    record = AuditRecord(action=action, object_id=member_id, service_id=None, before=before, after=after)
    await audit.write_audit_record(connection, record, actor)


def _is_live(now: datetime, times: SessionTimes) -> tuple[ColumnElement[bool], ...]:
    is_used = _session.seen_at > now - times.idle
    return _session.ended_at.is_(None), _session.expires_at > now, is_used, _user.disabled_at.is_(None)


def _build_session(row: Row[Any]) -> StaffSession:
    roles = frozenset(StaffRole(role) for role in row.roles)
    member = StaffMember(
        id=row.user_id,
        email=row.email,
        name=row.name,
        roles=roles,
        scopes=get_role_scopes(roles),
        time_zone=row.time_zone,
        uses_plain_editor=row.uses_plain_editor,
    )
    return StaffSession(
        id=row.id,
        member=member,
        created_at=row.created_at,
        seen_at=row.seen_at,
        password_at=row.password_at,
        expires_at=row.expires_at,
        flash=row.flash,
        from_address=row.from_address,
        browser=row.browser,
    )


def _clean(text: str) -> str:
    """Replace characters that PostgreSQL does not store, and control characters."""
    return "".join(character if character.isprintable() else " " for character in text)
