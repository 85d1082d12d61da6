"""The API as an ASGI application."""

from typing import Any

from fastapi import FastAPI

import notifier
from notifier.api import description
from notifier.api.assets import public as public_assets_router
from notifier.api.assets import router as assets_router
from notifier.api.audit import router as audit_router
from notifier.api.batches import router as batches_router
from notifier.api.change import router as change_router
from notifier.api.content import router as content_router
from notifier.api.documentation import router as documentation_router
from notifier.api.doors import Doors
from notifier.api.event import router as event_router
from notifier.api.gate import router as gate_router
from notifier.api.keys import router as keys_router
from notifier.api.layouts import router as layouts_router
from notifier.api.limits import RateFields
from notifier.api.notifications import router as notifications_router
from notifier.api.plain_path import PlainPath
from notifier.api.problem_pages import router as problem_pages_router
from notifier.api.problems import install
from notifier.api.submit import router as submit_router
from notifier.api.suppressions import router as suppressions_router
from notifier.api.team import router as team_router
from notifier.api.template_draft import router as template_draft_router
from notifier.api.template_publish import router as template_publish_router
from notifier.api.template_versions import router as template_versions_router
from notifier.api.templates import router as templates_router
from notifier.api.webhooks import router as webhooks_router
from notifier.api.whoami import router as whoami_router
from notifier.head_request import HeadAsGet
from notifier.health.routes import router as health_router

_ROUTERS = (
    submit_router,
    notifications_router,
    content_router,
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


class Application(FastAPI):
    """FastAPI with a complete OpenAPI document."""

    def openapi(self) -> dict[str, Any]:
        """Return the complete OpenAPI document."""
        if not self.openapi_schema:
            self.openapi_schema = description.complete(super().openapi())
        return self.openapi_schema


def create_app(doors: Doors) -> FastAPI:
    """Build the application; its caller opens and closes the dependencies."""
    app = undressed()
    app.state.doors = doors
    app.state.probes = doors.probes
    app.state.streams = doors.streams
    return app


def undressed() -> FastAPI:
    """Build the application without dependencies: enough to describe it, not to answer."""
    app = Application(
        title="Notifier",
        version=notifier.__version__,
        description=description.ABOUT,
        openapi_tags=description.TAGS,
        servers=description.SERVERS,
        license_info=description.LICENSE,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    install(app)
    app.add_middleware(PlainPath)
    app.add_middleware(RateFields)
    app.add_middleware(HeadAsGet)
    app.webhooks.include_router(event_router)
    for router in _ROUTERS:
        app.include_router(router)
    return app
