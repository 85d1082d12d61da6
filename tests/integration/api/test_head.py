"""HEAD, trailing slashes and unknown paths over a real socket, as probes and proxies send them."""

import asyncio
import contextlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

import httpx2
from starlette.routing import Route
from support.seeded_installation import WELCOME

from notifier.runtime import wiring

_MAY_DIFFER = {"x-request-id", "date", "ratelimit"}


def _flat(routes: Iterable[Any]) -> Iterator[Route]:
    for route in routes:
        if isinstance(route, Route):
            yield route
        else:
            yield from _flat(route.original_router.routes)


def _fields(reply: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in reply.headers.items() if name not in _MAY_DIFFER}


async def test_head_is_get_without_its_body(served: httpx2.AsyncClient, parts: wiring.ProcessParts) -> None:
    """For every GET route, HEAD has the same status and header fields, and no body."""
    path = (await served.post("/v1/notifications", json=WELCOME)).headers["location"]
    paths = {route.path for route in _flat(wiring.build_api(parts).routes) if "GET" in (route.methods or ())}
    paths |= {
        path,
        "/v1/notifications?limit=1",
        "/v1/notifications?limit=0",
        "/nothing",
        "/v1/notifications/",
        "/docs/",
    }
    statuses = set()
    for item in sorted(paths - {"/metrics"}):
        url = re.sub(r"\{[^}]*\}", "17", item)
        head, get = await served.head(url), await served.get(url)
        assert head.status_code == get.status_code, url
        assert _fields(head) == _fields(get), url
        assert head.content == b"", url
        statuses.add(get.status_code)
    assert statuses >= {200, 404, 422}
    assert (await served.head("/metrics")).status_code == 200


async def test_head_without_a_key_is_401(served: httpx2.AsyncClient) -> None:
    """HEAD needs a key like GET."""
    reply = await served.head("/v1/notifications", headers={"Authorization": ""})
    assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")


async def test_head_is_405_where_get_is(served: httpx2.AsyncClient) -> None:
    """Allow lists HEAD exactly where it lists GET."""
    for path in ("/v1/notifications/batch", "/v1/notifications/17/cancel", "/v1/render"):
        reply = await served.head(path)
        assert (reply.status_code, reply.headers["allow"], reply.content) == (405, "POST", b"")
    reply = await served.delete("/livez")
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET, HEAD")


async def test_head_of_a_stream_ends_at_once(served: httpx2.AsyncClient) -> None:
    """HEAD of a batch's stream gets its header fields and no events; the connection stays usable."""
    batch = (await served.post("/v1/notifications/batch", json={"notifications": [WELCOME]})).json()["batch_id"]
    async with asyncio.timeout(50):
        head = await served.head(f"/v1/batches/{batch}/progress")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"].startswith("text/event-stream")
        assert (await served.get("/livez")).status_code == 200


async def test_a_slash_too_many_is_404_and_no_redirect(served: httpx2.AsyncClient) -> None:
    """A trailing slash gives the 404 of an unknown path for any method and Host, and writes nothing."""
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
        for path in ("/v1/notifications/", "/v1//notifications", "//v1/notifications", "/livez/", "/docs/", "/nothing"):
            reply = await served.request(method, path, headers={"Host": "notifier.example"}, json=WELCOME)
            assert reply.status_code == 404, (method, path)
            assert "location" not in reply.headers
            assert reply.headers["content-type"] == "application/problem+json"
            if method != "HEAD":
                assert reply.json()["code"] == "not_found"
                assert reply.json()["detail"] != "Not Found"
    assert (await served.get("/v1/notifications")).json()["notifications"] == []


async def test_the_next_page_does_not_depend_on_the_host(served: httpx2.AsyncClient) -> None:
    """An invalid or hostile Host never appears in a link."""
    for name in "abc":
        await served.post("/v1/notifications", json=WELCOME | {"to": f"{name}@example.com"})
    for host in ("evil.example/x?", "evil.example", "a b", "[::1", ""):
        reply = await served.get("/v1/notifications?limit=1", headers={"Host": host})
        if reply.status_code == 200:
            assert reply.headers["link"].startswith("</v1/notifications?limit=1&before="), host


async def test_the_probes_of_a_sender_speak_as_the_api_does(parts: wiring.ProcessParts) -> None:
    """A sender's probes answer HEAD, unknown paths and slashes like the API."""
    async with wiring.run_sender(parts) as running:
        listener = wiring.open_listener("127.0.0.1", 0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with (
            wiring.serve_http(wiring.build_sender_app(parts, running), listener),
            httpx2.AsyncClient(base_url=url) as probe,
        ):
            for path in ("/livez", "/readyz"):
                head, get = await probe.head(path), await probe.get(path)
                assert (head.status_code, _fields(head), head.content) == (200, _fields(get), b"")
            for path in ("/livez/", "//livez", "/nothing", "/docs"):
                reply = await probe.get(path)
                assert (reply.status_code, reply.json()["code"]) == (404, "not_found")
            assert (await probe.post("/livez")).headers["allow"] == "GET, HEAD"


async def test_what_is_no_http_is_refused_without_a_trace(served: httpx2.AsyncClient) -> None:
    """Invalid HTTP and an endless header field are 400, and the next connection works."""
    host, port = served.base_url.host, served.base_url.port
    for raw in (b"\x16\x03\x01\x00\xa5\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * 200_000 + b"\r\n\r\n"):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(raw)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(50):
                assert (await reader.read(12)).startswith(b"HTTP/1.1 400")
        writer.close()
    assert (await served.get("/livez")).status_code == 200
