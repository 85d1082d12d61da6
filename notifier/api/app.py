"""The API as an ASGI application."""

from typing import Any

from fastapi import FastAPI

import notifier
from notifier.api import (
    assets,
    audit,
    batches,
    change,
    content,
    description,
    documentation,
    event,
    gate,
    keys,
    layouts,
    notifications,
    problem_pages,
    problems,
    submit,
    suppressions,
    team,
    template_draft,
    template_publish,
    template_versions,
    templates,
    webhooks,
    whoami,
)
from notifier.api.doors import Doors
from notifier.api.limits import RateFields
from notifier.api.plain_path import PlainPath
from notifier.head_request import HeadAsGet
from notifier.health import routes


class Application(FastAPI):
    """FastAPI, with a description that says all there is to say."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        if not self.openapi_schema:
            self.openapi_schema = description.complete(super().openapi())
        return self.openapi_schema


def create_app(doors: Doors) -> FastAPI:
    """The application over the given parts; whoever runs it opens and closes them."""
    app = undressed()
    app.state.doors = doors
    app.state.probes = doors.probes
    app.state.streams = doors.streams
    return app


def undressed() -> FastAPI:
    """The application without the parts behind it: enough to describe it, not to answer."""
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
    problems.install(app)
    app.add_middleware(PlainPath)
    app.add_middleware(RateFields)
    app.add_middleware(HeadAsGet)
    app.webhooks.include_router(event.router)
    app.include_router(submit.router)
    app.include_router(notifications.router)
    app.include_router(content.router)
    app.include_router(change.router)
    app.include_router(batches.router)
    app.include_router(suppressions.router)
    app.include_router(audit.router)
    app.include_router(webhooks.router)
    app.include_router(assets.router)
    app.include_router(assets.public)
    app.include_router(keys.router)
    app.include_router(team.router)
    app.include_router(whoami.router)
    app.include_router(templates.router)
    app.include_router(template_draft.router)
    app.include_router(template_versions.router)
    app.include_router(template_publish.router)
    app.include_router(gate.router)
    app.include_router(layouts.router)
    app.include_router(problem_pages.router)
    app.include_router(documentation.router)
    app.include_router(routes.router)
    return app
