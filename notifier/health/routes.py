"""`/livez`, `/readyz` and `/metrics`, for the API and for a sender: open to all, and they say nothing secret."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from starlette.responses import JSONResponse, PlainTextResponse

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


router = APIRouter(tags=["operation"])


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
async def livez() -> LiveOut:
    """The process runs."""
    return LiveOut()


@router.get(
    "/readyz",
    response_model=ReadyOut,
    operation_id="readyz",
    summary="Check that the process is ready",
    responses={503: {"model": ReadyOut, "description": "A check has failed."}},
)
async def readyz(request: Request) -> Response:
    """Every check that this process depends on passes."""
    findings = await _probes(request).readiness()
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
async def exposition(request: Request) -> Response:
    """Prometheus' text format; how far behind the queue is, is read at this moment."""
    await _measure_queue(_probes(request))
    return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)


def _probes(request: Request) -> Probes:
    """What the application was given as `state.probes`."""
    found: Probes = request.app.state.probes
    return found


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
