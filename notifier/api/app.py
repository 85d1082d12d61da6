"""The API as an ASGI application."""

from fastapi import FastAPI

import notifier
from notifier.api import audit, batches, change, content, keys, notifications, problems, submit, suppressions, whoami
from notifier.api.doors import Doors
from notifier.health.routes import create_router


def create_app(doors: Doors) -> FastAPI:
    """The application over the given parts; whoever runs it opens and closes them."""
    app = FastAPI(
        title="Notifier",
        version=notifier.__version__,
        description="POST a notification; it is durable at 202, and you can always find out what became of it.",
    )
    app.state.doors = doors
    problems.install(app)
    app.include_router(submit.router)
    app.include_router(notifications.router)
    app.include_router(content.router)
    app.include_router(change.router)
    app.include_router(batches.router)
    app.include_router(suppressions.router)
    app.include_router(audit.router)
    app.include_router(keys.router)
    app.include_router(whoami.router)
    app.include_router(create_router(doors.probes))
    return app
