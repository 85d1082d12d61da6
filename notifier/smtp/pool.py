"""Open connections to one relay, kept for the next mail and given up before the relay gets tired of them."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from notifier.settings import Security, SmtpSettings
from notifier.smtp.session import Session, open_session
from notifier.telemetry import metrics

MOST_MAILS = 100
OLDEST_SECONDS = 300.0
IDLE_SECONDS = 30.0


class SessionPool:
    """At most `max_connections` sessions to the relay, each used by one mail at a time."""

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._limit = asyncio.Semaphore(settings.max_connections)
        self._idle: list[Session] = []
        self._busy: set[Session] = set()
        self._tls: ssl.SSLContext | None = None
        self._sessions = metrics.SMTP_SESSIONS.labels(settings.host)

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
                if session.usable:
                    self._idle.append(session)
                self._count()

    async def close(self) -> None:
        """Say goodbye on every idle connection and cut the others."""
        self.abort()
        idle, self._idle = self._idle, []
        await asyncio.gather(*(session.quit() for session in idle))
        self._count()

    def abort(self) -> None:
        """Cut the connections that are in a transaction."""
        for session in self._busy:
            session.abort()

    def _reusable(self) -> Session | None:
        """The idle session used last, so that the others may age out; drops those past their limits."""
        now = time.monotonic()
        while self._idle:
            session = self._idle.pop()
            young = now - session.opened_at < OLDEST_SECONDS and now - session.used_at < IDLE_SECONDS
            if session.usable and young and session.sent < MOST_MAILS:
                return session
            session.abort()
        return None

    async def _open(self) -> Session:
        if self._tls is None and self._settings.effective_security is not Security.NONE:
            self._tls = await asyncio.to_thread(_tls_context, self._settings)
        return await open_session(self._settings, self._tls)

    def _count(self) -> None:
        self._sessions.set(len(self._idle) + len(self._busy))


def _tls_context(settings: SmtpSettings) -> ssl.SSLContext:
    """A verifying context; built once, because loading the certificates is slow."""
    context = ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
