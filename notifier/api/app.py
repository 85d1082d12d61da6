"""The API as an ASGI application."""

from typing import Any

from fastapi import FastAPI

import notifier
from notifier.api.assets.routes import public as public_assets_router
from notifier.api.assets.routes import router as assets_router
from notifier.api.audit.routes import router as audit_router
from notifier.api.batches.routes import router as batches_router
from notifier.api.batches.submit_routes import router as submit_batch_router
from notifier.api.dependencies import ApiDependencies
from notifier.api.errors.problem_pages import router as problem_pages_router
from notifier.api.errors.problem_responses import install_error_handlers
from notifier.api.keys.routes import router as keys_router
from notifier.api.layouts.routes import router as layouts_router
from notifier.api.notifications.change_routes import router as change_router
from notifier.api.notifications.routes import router as notifications_router
from notifier.api.notifications.submit_routes import router as submit_router
from notifier.api.openapi import description
from notifier.api.openapi.documentation_pages import router as documentation_router
from notifier.api.openapi.webhook_events import router as event_router
from notifier.api.path_cleaning import PathCleaner
from notifier.api.rate_limits import RateLimitHeaders
from notifier.api.suppressions.routes import router as suppressions_router
from notifier.api.team.routes import router as team_router
from notifier.api.templates.draft_routes import router as template_draft_router
from notifier.api.templates.gate_routes import router as gate_router
from notifier.api.templates.publish_routes import router as template_publish_router
from notifier.api.templates.routes import router as templates_router
from notifier.api.templates.version_routes import router as template_versions_router
from notifier.api.webhooks.routes import router as webhooks_router
from notifier.api.whoami.routes import router as whoami_router
from notifier.head_request import HeadAsGet
from notifier.health.probes import router as health_router

_ROUTERS = (
    submit_router,
    submit_batch_router,
    notifications_router,
    change_router,
    batches_router,
    suppressions_router,
    audit_router,
    webhooks_router,
    assets_router,
    public_assets_router,
    keys_router,
    team_router,
    whoami_router,
    templates_router,
    template_draft_router,
    template_versions_router,
    template_publish_router,
    gate_router,
    layouts_router,
    problem_pages_router,
    documentation_router,
    health_router,
)


class DocumentedFastAPI(FastAPI):
    """FastAPI with a complete OpenAPI document."""

    def openapi(self) -> dict[str, Any]:
        """Return the complete OpenAPI document."""
        if not self.openapi_schema:
            self.openapi_schema = description.complete_document(super().openapi())
        return self.openapi_schema


def create_app(dependencies: ApiDependencies) -> FastAPI:
    """Build the application; its caller opens and closes the dependencies."""
    app = build_bare_app()
    app.state.dependencies = dependencies
    app.state.probes = dependencies.probes
    app.state.streams = dependencies.streams
    return app


def build_bare_app() -> FastAPI:
    """Build the application without dependencies: enough to describe it, not to answer."""
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
    app.add_middleware(PathCleaner)
    app.add_middleware(RateLimitHeaders)
    app.add_middleware(HeadAsGet)
    app.webhooks.include_router(event_router)
    for router in _ROUTERS:
        app.include_router(router)
    return app
