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
from notifier.smtp.connect import CONNECT_TRIES, Connector, RelayUnreachableError
from notifier.smtp.connection_limit import ConnectionLimit
from notifier.smtp.session import Session
from notifier.smtp.transaction import Transaction
from notifier.telemetry import metrics

MOST_MAILS = 100
OLDEST_SECONDS = 300.0
IDLE_SECONDS = 30.0
WORKING_SECONDS = 60.0
"""A connection that was answered so many seconds ago shows that the relay is there, though it refuses one more."""


@dataclass(frozen=True, kw_only=True)
class Announcing:
    """When a mail is announced behind another; seconds."""

    quick: float = 1.0  # on a connection whose last mail took no longer: a permit does not last for ever
    patience: float = 5.0  # then whoever was announced, and still waits for the end of the mail before, goes elsewhere
    rest: float = 60.0  # without it, after an announced mail was dropped without a word


class LeftBehindError(NotifierError):
    """Nothing was handed over: the mail before took too long, all is stopped, or another connection is needed."""


@dataclass(eq=False)
class _Waiting:
    """A mail that waits for a connection. Its turn is a session to carry it, or None: a place, to open one."""

    transaction: Transaction | None  # None: it wants a connection for something else
    fresh: bool
    turn: asyncio.Future[Session | None]
    patience: asyncio.TimerHandle | None = None  # once it was announced behind another

    def lose_patience(self) -> None:
        """Whoever waits too long behind another goes elsewhere, before the permit is too old."""
        if not self.turn.done():
            self.turn.set_exception(LeftBehindError())


class SessionPool:
    """At most so many sessions as the setting allows and the relay takes, each used by one mail at a time.

    Where mails wait, the first of them is announced on the connection whose mail has just left, behind its final dot.
    """

    def __init__(self, settings: SmtpSettings, announcing: Announcing = Announcing()) -> None:
        self._connector = Connector(settings)
        self.limit = ConnectionLimit(settings.host, settings.max_connections)
        self._announcing = announcing
        self._used = 0  # places: mails that have a session or open one
        self._waiting: deque[_Waiting] = deque()  # first come, first served
        self._behind: dict[Session, _Waiting] = {}  # who was announced, on which session
        self._announcing_from = 0.0  # monotonic
        self._idle: list[Session] = []  # the one used last stands last
        self._busy: set[Session] = set()
        self._opening = 0
        self._is_away = False  # the last try to open a connection has failed, or is not over
        self._leaving: dict[Session, asyncio.Task[None]] = {}  # saying goodbye
        self._sweep: asyncio.TimerHandle | None = None
        self._sessions = metrics.SMTP_SESSIONS.labels(settings.host)
        self._counted = 0

    def session(self, *, fresh: bool = False, transaction: Transaction | None = None) -> "Use":
        """A session of one's own in the block; `fresh` asks for a new connection, unless the relay takes no more.

        Raises `RelayUnreachableError`; and `LeftBehindError`, if the transaction was announced in vain.
        """
        return Use(self, _Waiting(transaction, fresh, asyncio.get_running_loop().create_future()))

    async def take(self, one: _Waiting) -> Session:
        """The half of `session` before the block."""
        self._waiting.append(one)
        while True:
            session = await self._turn(one)
            if session is not None:
                return session
            try:
                session = (None if one.fresh else self._reusable()) or await self._open()
            except RelayUnreachableError as error:
                if not self.refuse_one_more(error.outcome):
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

    def give_back(self, session: Session) -> None:
        """The half after it: whoever was announced on the session goes on with it, whatever has become of it."""
        behind = self._behind.pop(session, None)
        if behind is not None and not behind.turn.done():
            if behind.patience is not None:
                behind.patience.cancel()
            behind.turn.set_result(session)
            return
        self._busy.discard(session)
        if session.usable:
            self._keep(session)
        else:  # or between a command and its reply, because whoever was announced has left
            session.abort()
        self._count()
        self._free_place()

    def refuse_one_more(self, outcome: NotTried) -> bool:
        """The relay takes no more connections; False if none works, so that this is an outage."""
        standing = [session for session in (*self._busy, *self._idle) if session.stands]
        if not any(time.monotonic() - session.used_at < WORKING_SECONDS for session in standing):
            return False
        self.limit.refused(len(standing), outcome, self._opening)
        return True

    def announce_later(self) -> None:
        """An announced mail was dropped without a word: this relay may not like it, so it gets a rest of that."""
        self._announcing_from = time.monotonic() + self._announcing.rest

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
        self._send_away(LeftBehindError)
        for session in self._busy:
            session.abort()

    async def _turn(self, one: _Waiting) -> Session | None:
        self._hand_out_places()
        try:
            return await one.turn
        except BaseException:
            if one.transaction is not None:
                one.transaction.withdraw()
            if one.turn.done() and not one.turn.cancelled() and one.turn.exception() is None:  # it came too late
                self._return(one.turn.result())
            raise

    def _return(self, session: Session | None) -> None:
        if session is None:
            self._free_place()
        else:
            session.abort()
            self.give_back(session)

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
        while self._waiting and self._used < self.limit.find_places(self._standing()):
            one = self._waiting.popleft()
            if not one.turn.done():
                self._used += 1
                one.turn.set_result(None)

    def _next_on(self, session: Session) -> Transaction | None:
        """The mail that is announced on a session whose own mail has left."""
        while self._waiting and self._waiting[0].turn.done():
            self._waiting.popleft()
        first = self._waiting[0] if self._waiting else None
        if first is None or first.transaction is None or first.fresh or not self._may_announce(session):
            return None
        self._behind[session] = self._waiting.popleft()
        first.patience = asyncio.get_running_loop().call_later(self._announcing.patience, first.lose_patience)
        return first.transaction

    def _may_announce(self, session: Session) -> bool:
        trusted = session.took <= self._announcing.quick and time.monotonic() >= self._announcing_from
        return trusted and session.sent + 1 < MOST_MAILS and _is_young(session)

    def _reusable(self) -> Session | None:
        """The idle session used last, so that the others may age out; those past their limits are closed."""
        while self._idle:
            session = self._idle[-1]
            if session.usable and _is_young(session) and session.sent < MOST_MAILS:
                return self._idle.pop()
            self._say_goodbye(session)
        return None

    async def _open(self) -> Session:
        await self._make_room()
        self._opening += 1
        standing = self._standing()
        # What was taken before is tried again at once; one more than that, or after an outage, is tried once.
        is_usual = self.limit.is_known(standing) if standing else not self._is_away
        self._is_away = True
        try:
            session = await self._connector.open_session(tries=CONNECT_TRIES if is_usual else 1)
        finally:
            self._opening -= 1
        self._is_away = False
        session.when_lost(partial(self._forget, session))
        session.ask_for_next = partial(self._next_on, session)
        self.limit.opened(self._standing() + 1, self._opening)
        return session

    async def _make_room(self) -> None:
        """Close what nobody uses where one more connection would be one too many for the relay."""
        while self._opening + self._standing() + len(self._leaving) >= self.limit.find_ceiling(self._standing()):
            if self._idle and not self._leaving:
                self._say_goodbye(self._idle[0])
            if not self._leaving:
                return
            await asyncio.wait(self._leaving.values(), return_when=asyncio.FIRST_COMPLETED)

    def _standing(self) -> int:
        return len(self._busy) + len(self._idle)

    def _keep(self, session: Session) -> None:
        self._idle.append(session)
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._sweep_out)

    def _forget(self, session: Session) -> None:
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
            wait = max(IDLE_SECONDS - (time.monotonic() - self._idle[0].used_at), 1.0)
            self._sweep = asyncio.get_running_loop().call_later(wait, self._sweep_out)

    def _say_goodbye(self, session: Session) -> None:
        self._idle.remove(session)
        self._leaving[session] = task = asyncio.create_task(session.quit())
        task.add_done_callback(lambda _: self._leaving.pop(session))

    def _count(self) -> None:
        if (count := self._standing()) != self._counted:
            self._counted = count
            self._sessions.set(count)


class Use:
    """One use of a session."""

    def __init__(self, pool: SessionPool, one: _Waiting) -> None:
        self._pool = pool
        self._one = one

    async def __aenter__(self) -> Session:
        """Wait for one's turn."""
        self._session = await self._pool.take(self._one)
        return self._session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the session back; after an exception it carries nothing more."""
        if error is not None:
            self._session.abort()
        self._pool.give_back(self._session)


def _is_young(session: Session) -> bool:
    now = time.monotonic()
    return now - session.opened_at < OLDEST_SECONDS and now - session.used_at < IDLE_SECONDS
