"""The pool of open connections to one relay, kept for the next mail and closed before the relay closes them."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from notifier.errors import NotifierError
from notifier.outcomes import NotTried
from notifier.smtp.connection_limit import ConnectionLimit
from notifier.smtp.mail_transaction import SmtpTransaction
from notifier.smtp.smtp_session import MAX_CONNECT_TRIES, RelayUnreachableError, SmtpConnector, SmtpSession
from notifier.smtp_settings import SmtpSettings
from notifier.telemetry import metrics

MAX_MAILS_PER_CONNECTION = 100
MAX_AGE_SECONDS = 300.0
MAX_IDLE_SECONDS = 30.0
RECENT_REPLY_SECONDS = 60.0
"""A connection with a reply this recent shows that the relay works, although it refuses one more."""


@dataclass(frozen=True, kw_only=True)
class AnnounceLimits:
    """When a mail is announced behind another. All values are seconds."""

    max_last_seconds: float = 1.0  # only on a connection whose last mail was no slower, because a permit expires
    max_wait: float = 5.0  # how long an announced mail waits for the end of the mail before it takes another connection
    pause: float = 60.0  # no announcing after an announced mail was dropped without a reply


class ConnectionNotAssignedError(NotifierError):
    """The mail got no connection: the mail before took too long, all is stopped, or another connection is needed."""


@dataclass(eq=False)
class _WaitingMail:
    """A mail that waits for a connection. The result of `turn` is a session, or None: it may open one."""

    transaction: SmtpTransaction | None  # None: the connection is for something else
    fresh: bool
    turn: asyncio.Future[SmtpSession | None]
    timer: asyncio.TimerHandle | None = None  # once it was announced behind another

    def give_up(self) -> None:
        """Make the mail take another connection, before its permit is too old."""
        if not self.turn.done():
            self.turn.set_exception(ConnectionNotAssignedError())


class SessionPool:
    """As many sessions as the setting allows and the relay accepts, each used by one mail at a time.

    Where mails wait, the first of them is announced on the connection whose mail has just left, behind its final dot.
    """

    def __init__(self, settings: SmtpSettings, announcing: AnnounceLimits = AnnounceLimits()) -> None:
        self._connector = SmtpConnector(settings)
        self.limit = ConnectionLimit(settings.host, settings.max_connections)
        self._announcing = announcing
        self._users = 0  # mails that have a session or open one
        self._waiting: deque[_WaitingMail] = deque()  # first come, first served
        self._announced: dict[SmtpSession, _WaitingMail] = {}  # the mail that is announced on a session
        self._announcing_from = 0.0  # monotonic
        self._idle: list[SmtpSession] = []  # the one used last is last
        self._busy: set[SmtpSession] = set()
        self._opening = 0
        self._is_away = False  # the last attempt to open a connection has failed, or is running
        self._closing: dict[SmtpSession, asyncio.Task[None]] = {}  # sending QUIT
        self._sweep: asyncio.TimerHandle | None = None
        self._sessions = metrics.SMTP_SESSIONS.labels(settings.host)
        self._counted = 0

    @asynccontextmanager
    async def acquire(
        self, *, fresh: bool = False, transaction: SmtpTransaction | None = None
    ) -> AsyncIterator[SmtpSession]:
        """Give a session for the block; `fresh` asks for a new connection, unless the relay accepts no more.

        Raises `RelayUnreachableError`, and `ConnectionNotAssignedError` for a transaction that was announced in vain.
        """
        session = await self._wait_for_session(
            _WaitingMail(transaction, fresh, asyncio.get_running_loop().create_future())
        )
        try:
            yield session
        except BaseException:
            session.abort()
            raise
        finally:
            self._give_back(session)

    async def _wait_for_session(self, waiting: _WaitingMail) -> SmtpSession:
        self._waiting.append(waiting)
        while True:
            session = await self._wait_for_turn(waiting)
            if session is not None:
                return session
            try:
                session = (None if waiting.fresh else self._take_idle()) or await self._open()
            except RelayUnreachableError as error:
                if not self.reduce_limit(error.outcome):
                    self._refuse_all(partial(RelayUnreachableError, error.outcome))  # or each would try it as well
                    self._remove_user()
                    raise
                waiting.fresh, waiting.turn = False, asyncio.get_running_loop().create_future()
                self._waiting.appendleft(waiting)
                self._remove_user()
            except BaseException:
                self._remove_user()
                raise
            else:
                self._busy.add(session)
                self._update_metric()
                self._admit_waiting()  # after the first connection more may be opened
                return session

    def _give_back(self, session: SmtpSession) -> None:
        """Take a session back; the mail that was announced on it goes on with it, whatever its state."""
        announced = self._announced.pop(session, None)
        if announced is not None and not announced.turn.done():
            if announced.timer is not None:
                announced.timer.cancel()
            announced.turn.set_result(session)
            return
        self._busy.discard(session)
        if session.is_usable:
            self._keep(session)
        else:  # closed, or between a command and its reply, because the announced mail has left
            session.abort()
        self._update_metric()
        self._remove_user()

    def reduce_limit(self, outcome: NotTried) -> bool:
        """Record that the relay accepts no more connections; return False if none works, which is an outage."""
        connected = [session for session in (*self._busy, *self._idle) if session.is_connected]
        if not any(time.monotonic() - session.used_at < RECENT_REPLY_SECONDS for session in connected):
            return False
        self.limit.record_refused(len(connected), outcome, self._opening)
        return True

    def pause_announcing(self) -> None:
        """Announce nothing for a while, because an announced mail was dropped without a reply."""
        self._announcing_from = time.monotonic() + self._announcing.pause

    async def close(self) -> None:
        """Send QUIT on every idle connection and cut the others."""
        self.abort()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for session in list(self._idle):
            self._quit(session)
        await asyncio.gather(*self._closing.values())
        self._update_metric()

    def abort(self) -> None:
        """Cut the connections that are in a transaction, and refuse the mails that wait for one."""
        self._refuse_all(ConnectionNotAssignedError)
        for session in self._busy:
            session.abort()

    async def _wait_for_turn(self, waiting: _WaitingMail) -> SmtpSession | None:
        self._admit_waiting()
        turn = waiting.turn
        try:
            return await turn
        except BaseException:
            if waiting.transaction is not None:
                waiting.transaction.withdraw()
            if turn.done() and not turn.cancelled() and turn.exception() is None:  # its turn came too late
                if (session := turn.result()) is None:
                    self._remove_user()
                else:
                    session.abort()
                    self._give_back(session)
            raise

    def _refuse_all(self, build_error: Callable[[], Exception]) -> None:
        """Refuse all mails that wait and have not been announced."""
        for waiting in self._waiting:
            if not waiting.turn.done():
                waiting.turn.set_exception(build_error())
        self._waiting.clear()

    def _remove_user(self) -> None:
        self._users -= 1
        self._admit_waiting()

    def _admit_waiting(self) -> None:
        """Let waiting mails take or open a connection, as many as the limit allows."""
        while self._waiting and self._users < self.limit.get_max_users(self._count_connected()):
            waiting = self._waiting.popleft()
            if not waiting.turn.done():
                self._users += 1
                waiting.turn.set_result(None)

    def _announce_on(self, session: SmtpSession) -> SmtpTransaction | None:
        """Choose the mail that is announced on a session whose own mail has left."""
        while self._waiting and self._waiting[0].turn.done():
            self._waiting.popleft()
        first = self._waiting[0] if self._waiting else None
        if first is None or first.transaction is None or first.fresh or not self._may_announce(session):
            return None
        self._announced[session] = self._waiting.popleft()
        first.timer = asyncio.get_running_loop().call_later(self._announcing.max_wait, first.give_up)
        return first.transaction

    def _may_announce(self, session: SmtpSession) -> bool:
        if session.last_seconds > self._announcing.max_last_seconds or time.monotonic() < self._announcing_from:
            return False
        return session.mail_count + 1 < MAX_MAILS_PER_CONNECTION and _is_young(session)

    def _take_idle(self) -> SmtpSession | None:
        """Take the idle session used last, so that the others can expire; close those past their limits."""
        while self._idle:
            session = self._idle[-1]
            if session.is_usable and _is_young(session) and session.mail_count < MAX_MAILS_PER_CONNECTION:
                return self._idle.pop()
            self._quit(session)
        return None

    async def _open(self) -> SmtpSession:
        await self._close_surplus()
        self._opening += 1
        connected = self._count_connected()
        # A connection that the relay accepted before is retried at once; one more, or after an outage, is tried once.
        is_usual = self.limit.has_accepted_more(connected) if connected else not self._is_away
        self._is_away = True
        try:
            session = await self._connector.open_session(tries=MAX_CONNECT_TRIES if is_usual else 1)
        finally:
            self._opening -= 1
        self._is_away = False
        session.set_on_lost(partial(self._forget, session))
        session.get_next = partial(self._announce_on, session)
        self.limit.record_opened(self._count_connected() + 1, self._opening)
        return session

    async def _close_surplus(self) -> None:
        """Close idle connections where one more connection would be too many for the relay."""
        while self._opening + self._count_connected() + len(self._closing) >= self.limit.get_max_open(
            self._count_connected()
        ):
            if self._idle and not self._closing:
                self._quit(self._idle[0])
            if not self._closing:
                return
            await asyncio.wait(self._closing.values(), return_when=asyncio.FIRST_COMPLETED)

    def _count_connected(self) -> int:
        return len(self._busy) + len(self._idle)

    def _keep(self, session: SmtpSession) -> None:
        self._idle.append(session)
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(MAX_IDLE_SECONDS, self._close_expired)

    def _forget(self, session: SmtpSession) -> None:
        """Remove a lost connection."""
        if session in self._idle:
            self._idle.remove(session)
            self._update_metric()

    def _close_expired(self) -> None:
        """Close the connections that were idle for too long; run again when the next one expires."""
        self._sweep = None
        for session in [session for session in self._idle if not _is_young(session)]:
            self._quit(session)
        if self._idle:
            wait = max(MAX_IDLE_SECONDS - (time.monotonic() - self._idle[0].used_at), 1.0)
            self._sweep = asyncio.get_running_loop().call_later(wait, self._close_expired)

    def _quit(self, session: SmtpSession) -> None:
        self._idle.remove(session)
        self._closing[session] = task = asyncio.create_task(session.quit())
        task.add_done_callback(lambda _: self._closing.pop(session))

    def _update_metric(self) -> None:
        if (count := self._count_connected()) != self._counted:
            self._counted = count
            self._sessions.set(count)


def _is_young(session: SmtpSession) -> bool:
    now = time.monotonic()
    return now - session.opened_at < MAX_AGE_SECONDS and now - session.used_at < MAX_IDLE_SECONDS
