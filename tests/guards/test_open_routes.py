"""Routes without a key use no resources that callers need, and their pages give a browser no rights."""

import asyncio
import hashlib
import re

import httpx2
from guards.test_routes import ABOUT, OPEN, _flat
from support import marketing_template
from support.connection_load import measure_load
from support.seeded_installation import Installation

from notifier.runtime import wiring

AT_ONCE = 50
PARAMETERS = {"/assets/{name}": "{digest}.png", "/problems/{code}": "not_found", "/docs/{name}": "swagger-ui.css"}
"""The parameters of open routes; each request for a file has another one."""
PAGE_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}


def _path(path: str, number: int) -> str:
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return re.sub(r"\{[^}]*\}", PARAMETERS.get(path, "x").format(digest=digest), path)


async def test_fifty_strangers_take_at_most_one_connection(
    installation: Installation, parts: wiring.ProcessParts
) -> None:
    """Fifty concurrent requests without a key use no connection of the callers' pool, or one at most.

    Only image files, each with its own name, are looked up in the database.
    """
    async with installation.open_client(parts) as client:
        del client.headers["Authorization"]
        open_routes = OPEN | ABOUT
        assert open_routes <= {route.path for route in _flat(wiring.build_api(parts).routes)}
        for path in sorted(open_routes):
            with measure_load(parts.database) as load:
                for _ in range(2):
                    requests = [client.get(_path(path, number)) for number in range(AT_ONCE)]
                    statuses = {reply.status_code for reply in await asyncio.gather(*requests)}
            assert statuses <= {200, 404}, path
            assert load.most_out <= 1, path
            statements = [statement for statement in load.statements if statement != "BEGIN"]
            assert len(statements) <= (2 * AT_ONCE if path == "/assets/{name}" else 0), path


async def test_readiness_and_metrics_are_measured_once(installation: Installation, parts: wiring.ProcessParts) -> None:
    """Requests within a few seconds get the same bytes."""
    async with installation.open_client(parts) as client:
        for path in ("/readyz", "/metrics"):
            replies = await asyncio.gather(*(client.get(path) for _ in range(AT_ONCE)))
            assert len({reply.content for reply in replies}) == 1, path


async def test_constant_replies_are_not_sent_twice(sqlite_installation: Installation) -> None:
    """A matching ETag is answered with 304; the ETag of another release is answered in full."""
    async with sqlite_installation.open_parts() as parts, sqlite_installation.open_client(parts) as client:
        documentation = ("/openapi.json", "/docs", "/docs/start.js", "/docs/swagger-ui-bundle.js")
        for path in (*documentation, "/", "/problems", "/problems/not_found"):
            first = await client.get(path)
            tag = first.headers["etag"]
            again = await client.get(path, headers={"If-None-Match": f'"other", W/{tag}'})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag), path
            other = await client.get(path, headers={"If-None-Match": '"other"'})
            assert (other.status_code, other.content) == (200, first.content), path


async def test_every_page_is_shown_without_rights(sqlite_installation: Installation) -> None:
    """Each HTML reply forbids inline scripts, foreign content, framing and referrers."""
    pages = set()
    async with sqlite_installation.open_parts() as parts:
        key = await marketing_template.create_marketing_key(parts, "shop")
        async with sqlite_installation.open_client(parts, key) as client:
            for route in _flat(wiring.build_api(parts).routes):
                for accept in ("text/html", "*/*") if "GET" in (route.methods or ()) else ():
                    reply = await client.get(_path(route.path, 1), headers={"Accept": accept})
                    if "html" in reply.headers.get("content-type", ""):
                        pages.add(route.path)
                        _assert_without_rights(reply)
    assert pages >= {"/", "/docs", "/problems", "/problems/{code}"}


def _assert_without_rights(page: httpx2.Response) -> None:
    assert {name: page.headers.get(name) for name in PAGE_HEADERS} == PAGE_HEADERS
    policy = dict(item.strip().partition(" ")[::2] for item in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy.get("script-src", "'none'") in {"'self'", "'none'"}
    assert not re.search(r"<script[^>]*>[^<]|\son\w+=", page.text)
    assert "localStorage" not in page.text
