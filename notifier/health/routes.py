"""`/livez`, `/readyz` and `/metrics`, for the API and for a sender: open to all, and they say nothing secret."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Response
from starlette.responses import JSONResponse

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.errors import DatabaseUnavailableError
from notifier.health.checks import Finding
from notifier.outbox import store
from notifier.states import EntryKind
from notifier.telemetry import metrics


@dataclass(frozen=True, kw_only=True)
class Probes:
    """What the routes ask."""

    database: Database
    clock: Clock
    readiness: Callable[[], Awaitable[list[Finding]]]


def create_router(probes: Probes) -> APIRouter:
    """The three routes over these probes."""
    router = APIRouter(tags=["operation"])

    @router.get("/livez", operation_id="livez")
    async def livez() -> dict[str, str]:
        """The process runs."""
        return {"status": "ok"}

    @router.get("/readyz", operation_id="readyz")
    async def readyz() -> Response:
        """Every check that this process depends on passes."""
        findings = await probes.readiness()
        ready = all(finding.ok for finding in findings)
        body: dict[str, Any] = {
            "status": "ready" if ready else "not_ready",
            "checks": [{"name": f.name, "ok": f.ok, "detail": f.detail} for f in findings],
        }
        return JSONResponse(body, 200 if ready else 503)

    @router.get("/metrics", operation_id="metrics")
    async def exposition() -> Response:
        """Prometheus' text format; how far behind the queue is, is read at this moment."""
        await _measure_queue(probes)
        return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)

    return router


async def _measure_queue(probes: Probes) -> None:
    """Set the gauges that only the database knows; without it they keep what they had."""
    metrics.DATABASE_CONNECTIONS.set(probes.database.pool_in_use())
    try:
        async with probes.database.read() as connection:
            now = probes.clock.now()
            ages = {kind: await store.due_age(connection, kind, now) for kind in EntryKind}
            depths = await store.depth(connection)
    except DatabaseUnavailableError:
        return
    for kind, by_priority in ages.items():
        for priority, age in by_priority.items():
            metrics.DUE_AGE_SECONDS.labels(kind.value, priority.value).set(age)
    for state, depth in depths.items():
        metrics.ENTRIES.labels(state.value).set(depth)
