"""Open connections to one relay, kept for the next mail and given up before the relay gets tired of them."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import TracebackType

from notifier.errors import NotifierError
from notifier.outcomes import NotTried
from notifier.settings import SmtpSettings
from notifier.smtp.connection_limit import ConnectionLimit
from notifier.smtp.smtp_connector import MAX_CONNECT_TRIES, RelayUnreachableError, SmtpConnector
from notifier.smtp.smtp_session import SmtpSession
from notifier.smtp.transaction import SmtpTransaction
from notifier.telemetry import metrics

MAX_MAILS_PER_CONNECTION = 100
MAX_AGE_SECONDS = 300.0
MAX_IDLE_SECONDS = 30.0
RECENT_REPLY_SECONDS = 60.0
"""A connection that was answered so many seconds ago shows that the relay is there, though it refuses one more."""


@dataclass(frozen=True, kw_only=True)
class AnnounceLimits:
    """When a mail is announced behind another; seconds."""

    max_last_seconds: float = 1.0  # on a connection whose last mail took no longer: a permit does not last for ever
    max_wait: float = 5.0  # then whoever was announced, and still waits for the end of the mail before, goes elsewhere
    pause: float = 60.0  # without it, after an announced mail was dropped without a word


class ConnectionNotAssignedError(NotifierError):
    """Nothing was handed over: the mail before took too long, all is stopped, or another connection is needed."""


@dataclass(eq=False)
class _WaitingMail:
    """A mail that waits for a connection. Its turn is a session to carry it, or None: a place, to open one."""

    transaction: SmtpTransaction | None  # None: it wants a connection for something else
    fresh: bool
    turn: asyncio.Future[SmtpSession | None]
    patience: asyncio.TimerHandle | None = None  # once it was announced behind another

    def lose_patience(self) -> None:
        """Whoever waits too long behind another goes elsewhere, before the permit is too old."""
        if not self.turn.done():
            self.turn.set_exception(ConnectionNotAssignedError())


class SessionPool:
    """At most so many sessions as the setting allows and the relay takes, each used by one mail at a time.

    Where mails wait, the first of them is announced on the connection whose mail has just left, behind its final dot.
    """

    def __init__(self, settings: SmtpSettings, announcing: AnnounceLimits = AnnounceLimits()) -> None:
        self._connector = SmtpConnector(settings)
        self.limit = ConnectionLimit(settings.host, settings.max_connections)
        self._announcing = announcing
        self._used = 0  # places: mails that have a session or open one
        self._waiting: deque[_WaitingMail] = deque()  # first come, first served
        self._behind: dict[SmtpSession, _WaitingMail] = {}  # who was announced, on which session
        self._announcing_from = 0.0  # monotonic
        self._idle: list[SmtpSession] = []  # the one used last stands last
        self._busy: set[SmtpSession] = set()
        self._opening = 0
        self._is_away = False  # the last try to open a connection has failed, or is not over
        self._leaving: dict[SmtpSession, asyncio.Task[None]] = {}  # saying goodbye
        self._sweep: asyncio.TimerHandle | None = None
        self._sessions = metrics.SMTP_SESSIONS.labels(settings.host)
        self._counted = 0

    def acquire(self, *, fresh: bool = False, transaction: SmtpTransaction | None = None) -> "PooledSession":
        """A session of one's own in the block; `fresh` asks for a new connection, unless the relay takes no more.

        Raises `RelayUnreachableError`; and `LeftBehindError`, if the transaction was announced in vain.
        """
        return PooledSession(self, _WaitingMail(transaction, fresh, asyncio.get_running_loop().create_future()))

    async def wait_for_session(self, one: _WaitingMail) -> SmtpSession:
        """The half of `session` before the block."""
        self._waiting.append(one)
        while True:
            session = await self._turn(one)
            if session is not None:
                return session
            try:
                session = (None if one.fresh else self._reusable()) or await self._open()
            except RelayUnreachableError as error:
                if not self.reduce_limit(error.outcome):
                    self._send_away(partial(RelayUnreachableError, error.outcome))  # or each would knock in its turn
                    self._free_place()
                    raise
                one.fresh, one.turn = False, asyncio.get_running_loop().create_future()
                self._waiting.appendleft(one)
                self._free_place()
            except BaseException:
                self._free_place()
                raise
            else:
                self._busy.add(session)
                self._count()
                self._hand_out_places()  # once one stands, more may be opened
                return session

    def release(self, session: SmtpSession) -> None:
        """The half after it: whoever was announced on the session goes on with it, whatever has become of it."""
        behind = self._behind.pop(session, None)
        if behind is not None and not behind.turn.done():
            if behind.patience is not None:
                behind.patience.cancel()
            behind.turn.set_result(session)
            return
        self._busy.discard(session)
        if session.is_usable:
            self._keep(session)
        else:  # or between a command and its reply, because whoever was announced has left
            session.abort()
        self._count()
        self._free_place()

    def reduce_limit(self, outcome: NotTried) -> bool:
        """The relay takes no more connections; False if none works, so that this is an outage."""
        standing = [session for session in (*self._busy, *self._idle) if session.is_connected]
        if not any(time.monotonic() - session.used_at < RECENT_REPLY_SECONDS for session in standing):
            return False
        self.limit.record_refused(len(standing), outcome, self._opening)
        return True

    def pause_announcing(self) -> None:
        """An announced mail was dropped without a word: this relay may not like it, so it gets a rest of that."""
        self._announcing_from = time.monotonic() + self._announcing.pause

    async def close(self) -> None:
        """Say goodbye on every idle connection and cut the others."""
        self.abort()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for session in list(self._idle):
            self._say_goodbye(session)
        await asyncio.gather(*self._leaving.values())
        self._count()

    def abort(self) -> None:
        """Cut the connections that are in a transaction, and send away who waits for one."""
        self._send_away(ConnectionNotAssignedError)
        for session in self._busy:
            session.abort()

    async def _turn(self, one: _WaitingMail) -> SmtpSession | None:
        self._hand_out_places()
        try:
            return await one.turn
        except BaseException:
            if one.transaction is not None:
                one.transaction.withdraw()
            if one.turn.done() and not one.turn.cancelled() and one.turn.exception() is None:  # it came too late
                self._return(one.turn.result())
            raise

    def _return(self, session: SmtpSession | None) -> None:
        if session is None:
            self._free_place()
        else:
            session.abort()
            self.release(session)

    def _send_away(self, why: Callable[[], Exception]) -> None:
        """All who wait, and have not been announced."""
        for one in self._waiting:
            if not one.turn.done():
                one.turn.set_exception(why())
        self._waiting.clear()

    def _free_place(self) -> None:
        self._used -= 1
        self._hand_out_places()

    def _hand_out_places(self) -> None:
        """To those who wait, as many as there are."""
        while self._waiting and self._used < self.limit.get_max_users(self._standing()):
            one = self._waiting.popleft()
            if not one.turn.done():
                self._used += 1
                one.turn.set_result(None)

    def _next_on(self, session: SmtpSession) -> SmtpTransaction | None:
        """The mail that is announced on a session whose own mail has left."""
        while self._waiting and self._waiting[0].turn.done():
            self._waiting.popleft()
        first = self._waiting[0] if self._waiting else None
        if first is None or first.transaction is None or first.fresh or not self._may_announce(session):
            return None
        self._behind[session] = self._waiting.popleft()
        first.patience = asyncio.get_running_loop().call_later(self._announcing.max_wait, first.lose_patience)
        return first.transaction

    def _may_announce(self, session: SmtpSession) -> bool:
        trusted = (
            session.last_seconds <= self._announcing.max_last_seconds and time.monotonic() >= self._announcing_from
        )
        return trusted and session.mail_count + 1 < MAX_MAILS_PER_CONNECTION and _is_young(session)

    def _reusable(self) -> SmtpSession | None:
        """The idle session used last, so that the others may age out; those past their limits are closed."""
        while self._idle:
            session = self._idle[-1]
            if session.is_usable and _is_young(session) and session.mail_count < MAX_MAILS_PER_CONNECTION:
                return self._idle.pop()
            self._say_goodbye(session)
        return None

    async def _open(self) -> SmtpSession:
        await self._make_room()
        self._opening += 1
        standing = self._standing()
        # What was taken before is tried again at once; one more than that, or after an outage, is tried once.
        is_usual = self.limit.was_exceeded(standing) if standing else not self._is_away
        self._is_away = True
        try:
            session = await self._connector.open_session(tries=MAX_CONNECT_TRIES if is_usual else 1)
        finally:
            self._opening -= 1
        self._is_away = False
        session.when_lost(partial(self._forget, session))
        session.get_next = partial(self._next_on, session)
        self.limit.record_opened(self._standing() + 1, self._opening)
        return session

    async def _make_room(self) -> None:
        """Close what nobody uses where one more connection would be one too many for the relay."""
        while self._opening + self._standing() + len(self._leaving) >= self.limit.get_max_open(self._standing()):
            if self._idle and not self._leaving:
                self._say_goodbye(self._idle[0])
            if not self._leaving:
                return
            await asyncio.wait(self._leaving.values(), return_when=asyncio.FIRST_COMPLETED)

    def _standing(self) -> int:
        return len(self._busy) + len(self._idle)

    def _keep(self, session: SmtpSession) -> None:
        self._idle.append(session)
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(MAX_IDLE_SECONDS, self._sweep_out)

    def _forget(self, session: SmtpSession) -> None:
        """A lost connection is kept by nobody."""
        if session in self._idle:
            self._idle.remove(session)
            self._count()

    def _sweep_out(self) -> None:
        """Say goodbye where no mail came in time; look again when the next is due."""
        self._sweep = None
        for session in [session for session in self._idle if not _is_young(session)]:
            self._say_goodbye(session)
        if self._idle:
            wait = max(MAX_IDLE_SECONDS - (time.monotonic() - self._idle[0].used_at), 1.0)
            self._sweep = asyncio.get_running_loop().call_later(wait, self._sweep_out)

    def _say_goodbye(self, session: SmtpSession) -> None:
        self._idle.remove(session)
        self._leaving[session] = task = asyncio.create_task(session.quit())
        task.add_done_callback(lambda _: self._leaving.pop(session))

    def _count(self) -> None:
        if (count := self._standing()) != self._counted:
            self._counted = count
            self._sessions.set(count)


class PooledSession:
    """One use of a session."""

    def __init__(self, pool: SessionPool, one: _WaitingMail) -> None:
        self._pool = pool
        self._one = one

    async def __aenter__(self) -> SmtpSession:
        """Wait for one's turn."""
        self._session = await self._pool.wait_for_session(self._one)
        return self._session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the session back; after an exception it carries nothing more."""
        if error is not None:
            self._session.abort()
        self._pool.release(self._session)


def _is_young(session: SmtpSession) -> bool:
    now = time.monotonic()
    return now - session.opened_at < MAX_AGE_SECONDS and now - session.used_at < MAX_IDLE_SECONDS
