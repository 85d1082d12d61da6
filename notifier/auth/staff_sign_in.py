"""People prove who they are: by password, or by a one-time link.

The answer and the time are the same for wrong passwords and for unknown or disabled people. No connection is held while
a password is hashed.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import email_address
from notifier.audit import Actor, AuditAction
from notifier.auth import sign_in_waits, staff_link, staff_session
from notifier.auth.password_hasher import PasswordHasher, TooManySignInsError, check_password
from notifier.auth.sign_in_waits import WaitSubject
from notifier.auth.staff_session import SessionTimes, SignedIn, SignInOrigin, StaffSession
from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.db.tables import StaffUser, get_columns
from notifier.errors import NotifierError
from notifier.telemetry import metrics

MAX_STRANGER_CONNECTIONS = 2
"""Strangers who try to sign in take no more connections of a process."""
_user = get_columns(StaffUser)


class SignInRefusedError(NotifierError):
    """The e-mail address or the password is wrong."""

    def __init__(self, wait_seconds: int = 0) -> None:
        self.wait_seconds = wait_seconds  # 0: the password was checked; else it was not, and this is how long to wait
        wait = f"Too many wrong passwords. Wait {wait_seconds} s, then try again, or ask an admin for a one-time link."
        super().__init__(wait if wait_seconds else None)


@dataclass(frozen=True, kw_only=True)
class StaffAuthenticator:
    """Signs people in."""

    database: Database
    hasher: PasswordHasher
    clock: Clock
    times: SessionTimes = SessionTimes()  # noqa: RUF009 - frozen
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_STRANGER_CONNECTIONS))

    @asynccontextmanager
    async def read_for_stranger(self) -> AsyncIterator[AsyncConnection]:
        """Open a reading connection for somebody who has not proved who they are; few are open at once."""
        async with self.turns, self.database.read_for_staff() as connection:
            yield connection

    @asynccontextmanager
    async def write_for_stranger(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction for somebody who has not proved who they are; few are open at once."""
        async with self.turns, self.database.write() as connection:
            yield connection

    async def sign_in(self, email: str, password: str, origin: SignInOrigin) -> SignedIn:
        """Sign in by password; the session has a new token. Raises `SignInRefusedError`, `TooManySignInsError`."""
        email = email_address.get_address_key(email.strip())
        by_email = sign_in_waits.build_email_subject(email)
        by_address = sign_in_waits.build_address_subject(origin.address)
        async with self.read_for_stranger() as connection:
            now = self.clock.now()
            columns = _user.id, _user.password_hash
            statement = select(*columns).where(_user.email == email, _user.disabled_at.is_(None))
            person = (await connection.execute(statement)).one_or_none()
            is_known = await staff_session.is_known_address(connection, email, origin.address, now)
        stored = person.password_hash if person is not None else None
        await self._verify_password(stored, password, [by_address] if is_known else [by_email, by_address])
        if person is None:
            raise SignInRefusedError
        actor = self._build_actor(person.id, origin)
        async with self.database.write() as connection:
            await _require_same_password(connection, person.id, stored)
            await sign_in_waits.settle_success(connection, [by_email], actor.at, keeps_others=by_address)
            signed_in = await self._create_session(connection, person.id, origin, actor)
        metrics.SIGN_INS.labels("accepted").inc()
        return signed_in

    async def use_link(self, token: str, new_password: str, origin: SignInOrigin) -> SignedIn:
        """Set a password by a one-time link, end every session of the person, and begin a new one.

        Raises `LinkEndedError`, `WeakPasswordError`, which leaves the link as it is, and `TooManySignInsError`.
        """
        async with self.read_for_stranger() as connection:
            link = await staff_link.find_link(connection, token, self.clock.now())
        check_password(new_password, link.email, link.name)
        password_hash = await self.hasher.hash_password(new_password)
        actor = self._build_actor(link.member_id, origin)
        async with self.database.write() as connection:
            link = await staff_link.find_link(connection, token, actor.at)
            await staff_link.use_up_link(connection, link, actor.at)
            await self._set_password(connection, link.member_id, password_hash, actor)
            by_email = sign_in_waits.build_email_subject(link.email)
            await sign_in_waits.settle_success(connection, [by_email], actor.at, keeps_others=None)
            return await self._create_session(connection, link.member_id, origin, actor)

    async def confirm_password(self, session: StaffSession, password: str) -> str:
        """Check the password of who is signed in; returns the session's new token.

        Raises `SignInRefusedError`, `TooManySignInsError`.
        """
        stored = await self._verify_again(session, password)
        async with self.database.write() as connection:
            await _require_same_password(connection, session.member.id, stored)
            return await staff_session.renew_token(connection, session.id, self.clock.now())

    async def change_password(
        self, session: StaffSession, old_password: str, new_password: str, *, request_id: str | None = None
    ) -> str:
        """Change the password of who is signed in and end their other sessions; returns the session's new token.

        Raises `SignInRefusedError` if the old password is wrong, `WeakPasswordError`, `TooManySignInsError`.
        """
        stored = await self._verify_again(session, old_password)
        check_password(new_password, session.member.email, session.member.name)
        password_hash = await self.hasher.hash_password(new_password)
        actor = Actor(name=session.member.actor_name, at=self.clock.now(), request_id=request_id)
        async with self.database.write() as connection:
            await _require_same_password(connection, session.member.id, stored)
            await self._set_password(connection, session.member.id, password_hash, actor, keep=session.id)
            return await staff_session.renew_token(connection, session.id, actor.at)

    async def create_session(self, member_id: UUID, origin: SignInOrigin) -> SignedIn:
        """Begin a session of a person who proved elsewhere who they are. Raises `SignInRefusedError` if disabled."""
        actor = self._build_actor(member_id, origin)
        async with self.database.write() as connection:
            await _lock_person(connection, member_id)
            signed_in = await self._create_session(connection, member_id, origin, actor)
        metrics.SIGN_INS.labels("accepted").inc()
        return signed_in

    async def _verify_again(self, session: StaffSession, password: str) -> str:
        subject = sign_in_waits.build_session_subject(session.id)
        async with self.database.read_for_staff() as connection:
            stored = await connection.scalar(select(_user.password_hash).where(_user.id == session.member.id))
        await self._verify_password(stored, password, [subject])
        async with self.database.write() as connection:
            await sign_in_waits.settle_success(connection, [subject], self.clock.now(), keeps_others=None)
        return str(stored)

    async def _verify_password(self, stored: str | None, password: str, subjects: list[WaitSubject]) -> None:
        """Count an attempt as failed, then check the password. Raises `SignInRefusedError`, `TooManySignInsError`."""
        await self._count_attempt(subjects)
        try:
            is_right = await self.hasher.verify_password(stored, password)
        except TooManySignInsError:
            async with self.write_for_stranger() as connection:
                for subject in sorted(subjects, key=lambda subject: subject.hash):
                    await sign_in_waits.take_back_attempt(connection, subject, self.clock.now())
            raise
        if not is_right:
            metrics.SIGN_INS.labels("wrong").inc()
            raise SignInRefusedError

    async def _count_attempt(self, subjects: list[WaitSubject]) -> None:
        """Count an attempt as failed. Raises `SignInRefusedError` if a wait is running."""
        async with self.read_for_stranger() as connection:  # most of what strangers do writes nothing
            wait_seconds = await sign_in_waits.get_wait_seconds(connection, subjects, self.clock.now())
        if not wait_seconds:
            async with self.write_for_stranger() as connection:
                wait_seconds = await sign_in_waits.count_attempt(connection, subjects, self.clock.now())
        if wait_seconds:
            metrics.SIGN_INS.labels("waiting").inc()
            raise SignInRefusedError(wait_seconds)

    async def _set_password(
        self, connection: AsyncConnection, member_id: UUID, password_hash: str, actor: Actor, keep: UUID | None = None
    ) -> None:
        """Store a new password; links and other sessions of the person end."""
        values = {"password_hash": password_hash}
        await connection.execute(update(StaffUser).where(_user.id == member_id).values(values))
        await staff_link.delete_links(connection, member_id)
        await staff_session.record_staff_change(connection, AuditAction.STAFF_PASSWORD_SET, member_id, actor)
        await staff_session.revoke_other_sessions(connection, member_id, keep, actor=actor)

    async def _create_session(
        self, connection: AsyncConnection, member_id: UUID, origin: SignInOrigin, actor: Actor
    ) -> SignedIn:
        return await staff_session.create_session(connection, member_id, origin=origin, times=self.times, actor=actor)

    def _build_actor(self, member_id: UUID, origin: SignInOrigin) -> Actor:
        return Actor(name=f"staff:{member_id}", at=self.clock.now(), request_id=origin.request_id)


async def _lock_person(connection: AsyncConnection, member_id: UUID) -> str | None:
    """Lock the person; returns their password's hash. Raises `SignInRefusedError` if they were disabled meanwhile."""
    statement = select(_user.password_hash).where(_user.id == member_id, _user.disabled_at.is_(None))
    row = (await connection.execute(statement.with_for_update())).one_or_none()
    if row is None:
        raise SignInRefusedError
    password_hash: str | None = row.password_hash
    return password_hash


async def _require_same_password(connection: AsyncConnection, member_id: UUID, checked: str | None) -> None:
    """Lock the person. Raises `SignInRefusedError` if they were disabled, or their password is no longer this one."""
    if await _lock_person(connection, member_id) != checked:
        raise SignInRefusedError
