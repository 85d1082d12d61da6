"""`/livez`, `/readyz` and `/metrics` of the API and of senders, with a cache.

They are public: they contain nothing secret, and many requests must not cost more than one.
"""

import asyncio
import hmac
import platform
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, SecretStr
from starlette.responses import JSONResponse, PlainTextResponse

import notifier
from notifier.auth.authenticated_key import UnauthenticatedError
from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.errors import DatabaseUnavailableError, NotFoundError
from notifier.health import table_sizes
from notifier.health.checks import CheckResult
from notifier.lookup.standby_reader import StandbyReader
from notifier.outbox import queue_counts
from notifier.states import EntryKind
from notifier.telemetry import metrics
from notifier.ttl_cache import TtlCache

READINESS_TTL_SECONDS = 5.0
"""How long a process caches its readiness and the length of the queue."""
SIZES_TTL_SECONDS = 60.0
"""How long a process caches the sizes of the tables."""
METRICS_TTL_SECONDS = 1.0
"""How long a process caches the text of its metrics."""
MAX_READINESS_SECONDS = 10.0
"""Seconds that all checks together may take."""
_CACHE_KEY = "all"
router = APIRouter(tags=["operation"])


class Probes:
    """What `/readyz` and `/metrics` show. Concurrent requests share one measurement."""

    def __init__(
        self,
        database: Database,
        standby: StandbyReader,
        readiness: Callable[[], Awaitable[list[CheckResult]]],
        clock: Clock,
        *,
        metrics_token: SecretStr | None = None,
        has_metrics: bool = True,
    ) -> None:
        self.has_metrics = has_metrics  # False: they are on another port
        self._database = database
        self._standby = standby
        self._clock = clock
        self._check = readiness
        self._token = metrics_token
        self._readiness = TtlCache(self._measure_readiness, clock, seconds=READINESS_TTL_SECONDS)
        self._queue = TtlCache(self._measure_queue, clock, seconds=READINESS_TTL_SECONDS)
        self._sizes = TtlCache(self._measure_sizes, clock, seconds=SIZES_TTL_SECONDS)
        kind = "sqlite" if database.is_sqlite else "postgresql"
        metrics.BUILD_INFO.labels(notifier.__version__, platform.python_version(), kind).set(1)
        self._exposition = TtlCache(self._format_metrics, clock, seconds=METRICS_TTL_SECONDS)

    async def get_readiness(self) -> list[CheckResult]:
        """Return every check that this process depends on, at most `READINESS_TTL_SECONDS` old."""
        return await self._readiness.get(_CACHE_KEY) or []

    async def get_metrics(self) -> bytes:
        """Return all metrics in Prometheus' text format, cached; the length of the queue may be older than the rest."""
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
        for cache in (self._readiness, self._queue, self._sizes, self._exposition):
            cache.invalidate(lambda _: True)

    async def _measure_readiness(self, _: str) -> list[CheckResult]:
        try:
            async with asyncio.timeout(MAX_READINESS_SECONDS):
                return await self._check()
        except TimeoutError:
            return [CheckResult(name="database", ok=False, detail="the checks take too long: it is overloaded")]

    async def _format_metrics(self, _: str) -> bytes:
        await self._queue.get(_CACHE_KEY)
        await self._sizes.get(_CACHE_KEY)
        if self._standby.address is not None:
            await self._standby.get_state()  # sets its metrics
        metrics.DATABASE_CONNECTIONS.set(self._database.pool_in_use())
        return metrics.format_metrics()

    async def _measure_queue(self, _: str) -> bool:
        """Set the gauges that are counted in the database. If it is out of reach, they keep their values."""
        try:
            async with self._database.inspect() as connection:
                now = self._clock.now()
                ages = {kind: await queue_counts.get_due_ages(connection, kind, now) for kind in EntryKind}
                depths = await queue_counts.count_by_state(connection)
        except DatabaseUnavailableError:
            return False
        for kind, by_priority in ages.items():
            for priority, age in by_priority.items():
                metrics.DUE_AGE_SECONDS.labels(kind.value, priority.value).set(age)
        for state, depth in depths.items():
            metrics.ENTRIES.labels(state.value).set(depth)
        return True

    async def _measure_sizes(self, _: str) -> bool:
        """Set the gauges of the tables' sizes. If the database is out of reach, they keep their values."""
        try:
            async with self._database.inspect() as connection:
                sizes = await table_sizes.measure_database(connection)
        except DatabaseUnavailableError:
            return False
        metrics.DATABASE_BYTES.set(sizes.bytes)
        metrics.DATABASE_FREE_BYTES.set(sizes.free_bytes)
        for table in sizes.tables:
            metrics.TABLE_ROWS.labels(table.name).set(table.rows)
            if table.bytes is not None:
                metrics.TABLE_BYTES.labels(table.name).set(table.bytes)
        return True


class LiveOut(BaseModel):
    """The process runs."""

    status: Literal["ok"] = "ok"


class CheckOut(BaseModel):
    """One check and what it found."""

    name: str
    ok: bool
    detail: str


class ReadyOut(BaseModel):
    """Every check that the process depends on."""

    status: Literal["ready", "not_ready"]
    checks: list[CheckOut]


@router.get("/livez", operation_id="livez", summary="Check that the process runs")
async def get_livez() -> LiveOut:
    """The process runs."""
    return LiveOut()


@router.get(
    "/readyz",
    response_model=ReadyOut,
    operation_id="readyz",
    summary="Check that the process is ready",
    responses={503: {"model": ReadyOut, "description": "A check has failed."}},
)
async def get_readyz(request: Request) -> Response:
    """Every check that this process depends on passes. The checks run at most once in five seconds."""
    findings = await _probes(request).get_readiness()
    ready = all(finding.ok for finding in findings)
    body: dict[str, Any] = {
        "status": "ready" if ready else "not_ready",
        "checks": [{"name": f.name, "ok": f.ok, "detail": f.detail} for f in findings],
    }
    return JSONResponse(body, 200 if ready else 503)


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    operation_id="metrics",
    summary="Get Prometheus metrics",
)
async def get_metrics(request: Request) -> Response:
    """Metrics in Prometheus' text format. They are up to one second old, the length of the queue up to five."""
    probes = _probes(request)
    if not probes.has_metrics:
        raise NotFoundError("the metrics are on a port of their own (NOTIFIER_API__METRICS_PORT)")
    if not probes.may_see_metrics(request.headers.get("authorization")):
        raise UnauthenticatedError("this needs the token of the metrics (NOTIFIER_METRICS_TOKEN)")
    return Response(await probes.get_metrics(), media_type=metrics.CONTENT_TYPE)


def _probes(request: Request) -> Probes:
    """Get the probes of the application."""
    probes: Probes = request.app.state.probes
    return probes
