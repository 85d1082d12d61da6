"""Open connections to one relay, kept for the next mail and given up before the relay gets tired of them."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from notifier.settings import Security, SmtpSettings
from notifier.smtp.connect import open_session
from notifier.smtp.session import Session
from notifier.telemetry import metrics

MOST_MAILS = 100
OLDEST_SECONDS = 300.0
IDLE_SECONDS = 30.0


class SessionPool:
    """At most `max_connections` sessions to the relay, each used by one mail at a time."""

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._limit = asyncio.Semaphore(settings.max_connections)
        self._idle: list[Session] = []  # the one used last stands last
        self._busy: set[Session] = set()
        self._opening = 0
        self._leaving: dict[Session, asyncio.Task[None]] = {}  # saying goodbye
        self._sweep: asyncio.TimerHandle | None = None
        self._tls: ssl.SSLContext | None = None
        self._sessions = metrics.SMTP_SESSIONS.labels(settings.host)
        self._counted = 0

    @asynccontextmanager
    async def session(self, *, fresh: bool = False) -> AsyncIterator[Session]:
        """A session of one's own for one mail; `fresh` asks for a new connection. Raises `RelayUnreachableError`."""
        async with self._limit:
            session = (None if fresh else self._reusable()) or await self._open()
            self._busy.add(session)
            self._count()
            try:
                yield session
            except BaseException:
                session.abort()
                raise
            finally:
                self._busy.discard(session)
                self._give_back(session)
                self._count()

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
        """Cut the connections that are in a transaction."""
        for session in self._busy:
            session.abort()

    def _reusable(self) -> Session | None:
        """The idle session used last, so that the others may age out; those past their limits are closed."""
        while self._idle:
            session = self._idle.pop()
            if session.usable and _is_young(session) and session.sent < MOST_MAILS:
                return session
            session.abort()
        return None

    async def _open(self) -> Session:
        self._opening += 1
        try:
            self._make_room()
            if self._tls is None and self._settings.effective_security is not Security.NONE:
                self._tls = await asyncio.to_thread(_tls_context, self._settings)
            session = await open_session(self._settings, self._tls)
        finally:
            self._opening -= 1
        session.when_lost(partial(self._forget, session))
        return session

    def _make_room(self) -> None:
        """Close what nobody uses where one more connection would be one too many."""
        spare = [*self._leaving, *self._idle]
        excess = self._opening + len(self._busy) + len(spare) - self._settings.max_connections
        for session in spare[: max(excess, 0)]:
            session.abort()

    def _give_back(self, session: Session) -> None:
        if session.usable:
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
        if (count := len(self._idle) + len(self._busy)) != self._counted:
            self._counted = count
            self._sessions.set(count)


def _is_young(session: Session) -> bool:
    now = time.monotonic()
    return now - session.opened_at < OLDEST_SECONDS and now - session.used_at < IDLE_SECONDS


def _tls_context(settings: SmtpSettings) -> ssl.SSLContext:
    """A verifying context; built once, because loading the certificates is slow."""
    context = ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
