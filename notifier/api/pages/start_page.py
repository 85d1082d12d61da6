"""`/`: what this server is, and where to go on; and the page for paths that do not exist."""

from functools import cache

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

import notifier
from notifier.api.errors.problem_responses import NOT_FOUND, answer_http_error
from notifier.api.pages.constant_reply import ConstantReply, accepts_json, build_reply
from notifier.api.pages.page_template import render_page
from notifier.telemetry import metrics

router = APIRouter(include_in_schema=False)


class StartOut(BaseModel):
    """What this server is, and where to go on."""

    name: str = "Notifier"
    version: str = notifier.__version__
    documentation: str = "/docs"
    openapi: str = "/openapi.json"
    problems: str = "/problems"
    readiness: str = "/readyz"
    console: str | None = Field(description="Null if it is not enabled.")


@router.get("/")
async def get_start_page(request: Request) -> Response:
    """Show what this server is. HTML, unless `Accept` asks for JSON."""
    has_console: bool = request.app.state.dependencies.console.enabled
    build = _build_start_json if accepts_json(request) else _build_start_page
    return build(has_console=has_console).answer(request)


@cache
def _build_start_json(*, has_console: bool) -> ConstantReply:
    start = StartOut(console="/console/" if has_console else None)
    return build_reply(start.model_dump_json().encode(), "application/json", vary="Accept")


@cache
def _build_start_page(*, has_console: bool) -> ConstantReply:
    return render_page("start", "", has_console=has_console)


async def answer_unknown_path(request: Request, error: Exception) -> Response:
    """Answer a path that does not exist: with a page for browsers, else with a problem."""
    if "text/html" not in request.headers.get("accept", ""):
        problem = await answer_http_error(request, error)
        problem.headers["Vary"] = "Accept"
        return problem
    metrics.REFUSED.labels("not_found").inc()
    page = _build_unknown_path_page()
    headers = {name: value for name, value in page.headers.items() if name not in {"ETag", "Cache-Control"}}
    return Response(page.content, NOT_FOUND, headers)


@cache
def _build_unknown_path_page() -> ConstantReply:
    return render_page("unknown_path", "/")
