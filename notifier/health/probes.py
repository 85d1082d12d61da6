"""Cached readiness and metrics. They are public, so many requests must not cost more than one."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable

from pydantic import SecretStr

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.errors import DatabaseUnavailableError
from notifier.health.checks import Finding
from notifier.outbox import store
from notifier.recall import Recall
from notifier.states import EntryKind
from notifier.telemetry import metrics

PROBE_SECONDS = 5.0
"""How long a process caches its readiness and the length of the queue."""
EXPOSITION_SECONDS = 1.0
"""How long a process caches the text of its metrics."""
MAX_READINESS_SECONDS = 10.0
"""Seconds that all checks together may take."""
_CACHE_KEY = "all"


class Probes:
    """What `/readyz` and `/metrics` show. Concurrent requests share one measurement."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        readiness: Callable[[], Awaitable[list[Finding]]],
        *,
        metrics_token: SecretStr | None = None,
        has_metrics: bool = True,
    ) -> None:
        self.has_metrics = has_metrics  # False: they are on another port
        self._database = database
        self._clock = clock
        self._check = readiness
        self._token = metrics_token
        self._readiness = Recall(self._measure_readiness, clock, seconds=PROBE_SECONDS)
        self._queue = Recall(self._measure_queue, clock, seconds=PROBE_SECONDS)
        self._exposition = Recall(self._write_exposition, clock, seconds=EXPOSITION_SECONDS)

    async def readiness(self) -> list[Finding]:
        """Return every check that this process depends on, at most `PROBE_SECONDS` old."""
        return await self._readiness.look_up(_CACHE_KEY) or []

    async def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format: `EXPOSITION_SECONDS` old, the queue `PROBE_SECONDS`."""
        return await self._exposition.look_up(_CACHE_KEY) or b""

    def may_see_metrics(self, authorization: str | None) -> bool:
        """True if no token is set, or the Authorization header contains it."""
        if self._token is None:
            return True
        scheme, _, token = (authorization or "").partition(" ")
        expected = self._token.get_secret_value().encode()
        return scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(errors="replace"), expected)

    def forget(self) -> None:
        """Drop all cached values."""
        for cache in (self._readiness, self._queue, self._exposition):
            cache.forget(lambda _: True)

    async def _measure_readiness(self, _: str) -> list[Finding]:
        try:
            async with asyncio.timeout(MAX_READINESS_SECONDS):
                return await self._check()
        except TimeoutError:
            return [Finding(name="database", ok=False, detail="the checks take too long: it is overloaded")]

    async def _write_exposition(self, _: str) -> bytes:
        await self._queue.look_up(_CACHE_KEY)
        metrics.DATABASE_CONNECTIONS.set(self._database.pool_in_use())
        return metrics.exposition()

    async def _measure_queue(self, _: str) -> bool:
        """Set the gauges that are counted in the database. If it is out of reach, they keep their values."""
        try:
            async with self._database.inspect() as connection:
                now = self._clock.now()
                ages = {kind: await store.due_age(connection, kind, now) for kind in EntryKind}
                depths = await store.depth(connection)
        except DatabaseUnavailableError:
            return False
        for kind, by_priority in ages.items():
            for priority, age in by_priority.items():
                metrics.DUE_AGE_SECONDS.labels(kind.value, priority.value).set(age)
        for state, depth in depths.items():
            metrics.ENTRIES.labels(state.value).set(depth)
        return True
