"""The API as an ASGI application."""

from copy import copy
from functools import cache
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import State
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import notifier
from notifier.api.assets.routes import public as public_assets_router
from notifier.api.assets.routes import router as assets_router
from notifier.api.audit.routes import router as audit_router
from notifier.api.batches.routes import router as batches_router
from notifier.api.batches.routes import submit_router as submit_batch_router
from notifier.api.dependencies import QUOTA_STATE, ApiDependencies
from notifier.api.errors.problem_responses import NOT_FOUND, install_error_handlers
from notifier.api.feeds.routes import router as feeds_router
from notifier.api.jobs.routes import router as jobs_router
from notifier.api.keys.routes import router as keys_router
from notifier.api.layouts.routes import router as layouts_router
from notifier.api.merges.routes import router as merges_router
from notifier.api.notifications.routes import router as notifications_router
from notifier.api.notifications.submit_routes import router as submit_router
from notifier.api.openapi import description
from notifier.api.openapi.webhook_events import router as event_router
from notifier.api.pages.documentation import router as documentation_router
from notifier.api.pages.problem_pages import router as problems_router
from notifier.api.pages.start_page import answer_unknown_path
from notifier.api.pages.start_page import router as start_router
from notifier.api.schedules.routes import router as schedules_router
from notifier.api.services.routes import router as services_router
from notifier.api.staff.routes import router as staff_router
from notifier.api.statistics.routes import router as statistics_router
from notifier.api.suppressions.routes import router as suppressions_router
from notifier.api.template_files.routes import router as template_files_router
from notifier.api.templates.draft_routes import router as template_draft_router
from notifier.api.templates.publish_routes import router as template_publish_router
from notifier.api.templates.routes import router as templates_router
from notifier.api.webhooks.routes import router as webhooks_router
from notifier.head_request import HeadAsGet
from notifier.health.probes import router as health_router
from notifier.request_path import PathCleaner
from notifier.telemetry.request_observer import RequestObserver
from notifier.throttle import token_bucket

_ROUTERS = (
    submit_router,
    submit_batch_router,
    notifications_router,
    batches_router,
    suppressions_router,
    audit_router,
    webhooks_router,
    assets_router,
    public_assets_router,
    jobs_router,
    schedules_router,
    services_router,
    statistics_router,
    feeds_router,
    merges_router,
    keys_router,
    staff_router,
    templates_router,
    template_draft_router,
    template_publish_router,
    template_files_router,
    layouts_router,
    problems_router,
    documentation_router,
    start_router,
    health_router,
)


class RateLimitHeaders:
    """ASGI middleware that adds the rate-limit fields to every answer, also to refusals."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and (quotas := state.get(QUOTA_STATE)):
                fields = token_bucket.build_rate_limit_fields(quotas)
                encoded = [(name.lower().encode(), value.encode()) for name, value in fields]
                message["headers"] = [*message.get("headers", ()), *encoded]
            await send(message)

        await self._app(scope, receive, sending)


class DocumentedFastAPI(FastAPI):
    """FastAPI with a complete OpenAPI document."""

    def openapi(self) -> dict[str, Any]:
        """Return the complete OpenAPI document, which is the same for every application in this process."""
        return _build_document()


def create_app(dependencies: ApiDependencies, *, access_log: bool = False) -> FastAPI:
    """Build the application; its caller opens and closes the dependencies.

    Its routes are those of every application in this process, because FastAPI takes long to prepare them.
    """
    app = copy(build_bare_app())
    app.state = State()
    app.state.dependencies = dependencies
    app.state.probes = dependencies.probes
    app.state.streams = dependencies.streams
    app.middleware_stack = RequestObserver(app.build_middleware_stack(), access_log=access_log)
    return app


@cache
def _build_document() -> dict[str, Any]:
    return description.complete_document(FastAPI.openapi(build_bare_app()))


@cache
def build_bare_app() -> FastAPI:
    """Build the application without dependencies, which is enough for its OpenAPI document."""
    app = DocumentedFastAPI(
        title="Notifier",
        version=notifier.__version__,
        description=description.API_DESCRIPTION,
        openapi_tags=description.TAGS,
        servers=description.SERVERS,
        license_info=description.LICENSE,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    install_error_handlers(app)
    app.add_exception_handler(NOT_FOUND, answer_unknown_path)
    app.add_middleware(PathCleaner)
    app.add_middleware(RateLimitHeaders)
    app.add_middleware(HeadAsGet)
    app.webhooks.include_router(event_router)
    for router in _ROUTERS:
        app.include_router(router)
    return app
