"""Every route that changes something writes to the audit, except those listed here with a reason."""

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from support.seeded_installation import Installation

from notifier.api.dependencies import AuditDependency, get_request_audit
from notifier.runtime import wiring

CHANGING = {"POST", "PUT", "PATCH", "DELETE"}
EXCEPT = {
    ("POST", "/v1/notifications"): "the notification itself says who submitted it and when, and it is the busy one",
    ("POST", "/v1/notifications/batch"): "the same, a thousand times",
}


def _flat(routes: Iterable[Any]) -> Iterator[APIRoute]:
    """The routes of the API, also those of included routers."""
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif hasattr(route, "original_router"):
            yield from _flat(route.original_router.routes)


def _requires_audit(dependant: Any) -> bool:
    """Whether a route depends on the audit, directly or through another dependency."""
    return dependant.call is get_request_audit or any(map(_requires_audit, dependant.dependencies))


def _silent(app: FastAPI) -> set[tuple[str, str]]:
    """The routes that change something and do not depend on the audit."""
    return {
        (method, route.path)
        for route in _flat(app.routes)
        for method in (route.methods or set()) & CHANGING
        if not _requires_audit(route.dependant)
    }


async def test_every_route_that_changes_something_is_audited(
    installation: Installation, parts: wiring.ProcessParts
) -> None:
    """Every changing route depends on `AuditDependency` or is listed here; every listed route is still an exception."""
    app = wiring.build_api(parts)
    assert _silent(app) == set(EXCEPT)
    audited = {route.path for route in _flat(app.routes) if _requires_audit(route.dependant)}
    assert "/v1/suppressions/{suppression_id}" in audited


def test_a_route_that_does_not_ask_is_found() -> None:
    """The guard reports a route without the audit, and not one with it."""
    app = FastAPI()

    @app.delete("/forgotten")
    async def forgotten() -> None:
        """Change something without an audit."""

    @app.post("/asks")
    async def asking(request_audit: AuditDependency) -> None:
        """Change something with an audit."""
        request_audit.record_no_change()

    assert _silent(app) == {("DELETE", "/forgotten")}
