"""`/livez`, `/readyz` and `/metrics` of the API and of senders. They are public and contain nothing secret."""

from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from starlette.responses import JSONResponse, PlainTextResponse

from notifier.auth.authenticated_key import UnauthenticatedError
from notifier.errors import NotFoundError
from notifier.health.probes import Probes
from notifier.telemetry import metrics

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
