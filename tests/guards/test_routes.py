"""Every route authenticates, except those listed here."""

from collections.abc import Iterable, Iterator
from typing import Any

from starlette.routing import Route
from support.seeded_installation import Installation

from notifier.runtime import wiring

OPEN = {"/", "/livez", "/readyz", "/metrics", "/docs", "/openapi.json", "/problems"}
ABOUT = {"/docs/{name}", "/problems/{code}", "/assets/{name}"}
"""Open routes, too; the requested name does not exist."""


def _flat(routes: Iterable[Any]) -> Iterator[Route]:
    """The routes, also those of included routers."""
    for route in routes:
        if isinstance(route, Route):
            yield route
        else:
            yield from _flat(route.original_router.routes)


async def test_every_route_asks_for_a_key(installation: Installation, parts: wiring.ProcessParts) -> None:
    """A request without a key is answered with 401 before anything else is checked."""
    authenticated = set()
    async with installation.open_client(parts, key="none") as client:
        for route in _flat(wiring.build_api(parts).routes):
            for method in (route.methods or set()) - {"HEAD"}:
                reply = await client.request(method, route.path.replace("{", "").replace("}", ""), content=b"\xff")
                if route.path in OPEN:
                    assert reply.status_code in {200, 503}, route.path
                elif route.path in ABOUT:
                    assert reply.status_code == 404, route.path
                else:
                    authenticated.add((method, route.path))
                    assert (reply.status_code, reply.json()["code"]) == (401, "unauthenticated"), route.path
    assert ("POST", "/v1/notifications") in authenticated
