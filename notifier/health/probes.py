"""Cached readiness and metrics. They are public, so many requests must not cost more than one."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable

from pydantic import SecretStr

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.errors import DatabaseUnavailableError
from notifier.health.checks import CheckResult
from notifier.outbox import entry_store
from notifier.states import EntryKind
from notifier.telemetry import metrics
from notifier.ttl_cache import TtlCache

READINESS_TTL_SECONDS = 5.0
"""How long a process caches its readiness and the length of the queue."""
METRICS_TTL_SECONDS = 1.0
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
        readiness: Callable[[], Awaitable[list[CheckResult]]],
        *,
        metrics_token: SecretStr | None = None,
        has_metrics: bool = True,
    ) -> None:
        self.has_metrics = has_metrics  # False: they are on another port
        self._database = database
        self._clock = clock
        self._check = readiness
        self._token = metrics_token
        self._readiness = TtlCache(self._measure_readiness, clock, seconds=READINESS_TTL_SECONDS)
        self._queue = TtlCache(self._measure_queue, clock, seconds=READINESS_TTL_SECONDS)
        self._exposition = TtlCache(self._format_metrics, clock, seconds=METRICS_TTL_SECONDS)

    async def get_readiness(self) -> list[CheckResult]:
        """Return every check that this process depends on, at most `PROBE_SECONDS` old."""
        return await self._readiness.get(_CACHE_KEY) or []

    async def get_metrics(self) -> bytes:
        """Return all metrics in Prometheus' text format: `EXPOSITION_SECONDS` old, the queue `PROBE_SECONDS`."""
        return await self._exposition.get(_CACHE_KEY) or b""

    def may_see_metrics(self, authorization: str | None) -> bool:
        """True if no token is set, or the Authorization header contains it."""
        if self._token is None:
            return True
        scheme, _, token = (authorization or "").partition(" ")
        expected = self._token.get_secret_value().encode()
        return scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(errors="replace"), expected)

    def invalidate(self) -> None:
        """Drop all cached values."""
        for cache in (self._readiness, self._queue, self._exposition):
            cache.invalidate(lambda _: True)

    async def _measure_readiness(self, _: str) -> list[CheckResult]:
        try:
            async with asyncio.timeout(MAX_READINESS_SECONDS):
                return await self._check()
        except TimeoutError:
            return [CheckResult(name="database", ok=False, detail="the checks take too long: it is overloaded")]

    async def _format_metrics(self, _: str) -> bytes:
        await self._queue.get(_CACHE_KEY)
        metrics.DATABASE_CONNECTIONS.set(self._database.pool_in_use())
        return metrics.format_metrics()

    async def _measure_queue(self, _: str) -> bool:
        """Set the gauges that are counted in the database. If it is out of reach, they keep their values."""
        try:
            async with self._database.inspect() as connection:
                now = self._clock.now()
                ages = {kind: await entry_store.get_due_ages(connection, kind, now) for kind in EntryKind}
                depths = await entry_store.count_by_state(connection)
        except DatabaseUnavailableError:
            return False
        for kind, by_priority in ages.items():
            for priority, age in by_priority.items():
                metrics.DUE_AGE_SECONDS.labels(kind.value, priority.value).set(age)
        for state, depth in depths.items():
            metrics.ENTRIES.labels(state.value).set(depth)
        return True
