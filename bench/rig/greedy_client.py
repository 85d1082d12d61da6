"""A client that uses all that it is allowed: `python -m bench.rig.greedy_client ATTACK PORT KEY ADMIN_KEY`.

It prints "ready" when each of its loops has had a reply, and at SIGTERM the count of each status.
"""

import asyncio
import json
import secrets
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any
from uuid import uuid4

import httpx2

SIZES = (15 * 1024 * 1024 - 64, 512 * 1024 - 64, 256 * 1024 - 64)
"""Bytes of bodies, just below the limits that the API documents."""
READERS = 4
STRANGERS = 20
HALF_REQUESTS = 1_100
STREAMS = 100
PATIENCE = 120.0
PAUSE_SECONDS = 0.2
"""Seconds to wait after a refusal with `Retry-After`, or a lost connection."""
OPEN_ROUTES = ("/metrics", "/readyz", "/openapi.json", "/docs", "/livez")
EXPENSIVE_HTML = "<ol><li><blockquote>" * 150 + "<p>Tea</p>\n" * 400 + "</blockquote></li></ol>" * 150


@dataclass(kw_only=True)
class GreedyClient:
    """A caller with a service's key and one with an administrator's, each with its own connections."""

    port: int
    key: str
    admin_key: str
    statuses: Counter[str] = field(default_factory=Counter)
    awaited: int = 0  # replies until the attack is under way
    under_way: asyncio.Event = field(default_factory=asyncio.Event)
    http: httpx2.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        limits = httpx2.Limits(max_connections=None)
        self.http = httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}", timeout=PATIENCE, limits=limits, trust_env=False
        )

    def count_answer(self) -> None:
        """Record that a loop has had a reply."""
        self.awaited -= 1
        if self.awaited <= 0:
            self.under_way.set()

    async def send(self, method: str, path: str, *, key: str | None = None, body: bytes | None = None) -> None:
        """Send a request, count its status, and pause if it is refused by a rate limit."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        try:
            response = await self.http.request(method, path, content=body, headers=headers)
        except httpx2.TransportError:
            self.statuses["no answer"] += 1
            await asyncio.sleep(PAUSE_SECONDS)
            return
        self.statuses[str(response.status_code)] += 1
        if response.status_code in {429, 503}:
            await asyncio.sleep(PAUSE_SECONDS)

    async def read_openapi(self) -> Mapping[str, Any]:
        """Read the description of the API."""
        openapi: Mapping[str, Any] = (await self.http.get("/openapi.json")).json()
        return openapi


Loop = Callable[[], Awaitable[None]]


async def list_body_loops(client: GreedyClient) -> list[Loop]:
    """Send the largest and widest bodies to each route that takes JSON."""
    requests = cycle(list(_requests_with_bodies(await client.read_openapi(), client)))

    async def send_next() -> None:
        method, path, key, name = next(requests)
        for size in SIZES:
            for body in _worst_bodies(name, size):
                await client.send(method, path, key=key, body=body)

    return [send_next] * READERS


async def list_read_loops(client: GreedyClient) -> list[Loop]:
    """Request the longest pages of each route that can be read."""
    openapi = await client.read_openapi()
    paths = cycle([path for path, operations in openapi["paths"].items() if "get" in operations])

    async def read_next() -> None:
        path = _fill_path(next(paths))
        if not path.endswith("/progress"):
            await client.send("GET", f"{path}?limit=200", key=_choose_key(path, client))

    return [read_next] * READERS


async def list_unknown_key_loops(client: GreedyClient) -> list[Loop]:
    """Send an unknown key, a new one each time."""

    async def send_unknown() -> None:
        prefix = client.key.rsplit("_", 1)[0]
        await client.send("GET", "/v1/notifications", key=f"{prefix}_{secrets.token_urlsafe(32)}")

    return [send_unknown] * STRANGERS


async def list_stranger_loops(client: GreedyClient) -> list[Loop]:
    """Request the routes that need no key."""
    paths = cycle(OPEN_ROUTES)

    async def read_open() -> None:
        await client.send("GET", next(paths))

    return [read_open] * STRANGERS


async def list_stream_loops(client: GreedyClient) -> list[Loop]:
    """Open event streams of a batch for tomorrow, so that they last."""
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    item = {"to": "a@simulator.example", "template": "welcome", "send_at": later}
    batch = {"notifications": [item | {"variables": {"name": "A", "product": "B"}}]}
    headers = {"Authorization": f"Bearer {client.key}"}
    response = await client.http.post("/v1/notifications/batch", json=batch, headers=headers)
    path = f"/v1/batches/{response.json()['batch_id']}/progress"

    async def follow() -> None:
        try:
            async with client.http.stream("GET", path, headers=headers) as response:
                client.statuses[str(response.status_code)] += 1
                client.count_answer()
                async for _ in response.aiter_bytes():
                    pass
        except httpx2.TransportError:
            client.statuses["no answer"] += 1
        await asyncio.sleep(PAUSE_SECONDS)

    return [follow] * STREAMS


async def list_half_request_loops(client: GreedyClient) -> list[Loop]:
    """Open connections, send half a request and wait."""

    async def wait_on_half() -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        except OSError:
            client.statuses["not connected"] += 1
            await asyncio.sleep(PAUSE_SECONDS)
            return
        with suppress(OSError):
            writer.write(b"POST /v1/notifications HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Le")
            client.count_answer()
            answer = await reader.read(1024)
            client.statuses[answer[9:12].decode("ascii", "replace") or "closed"] += 1
        writer.close()
        await asyncio.sleep(PAUSE_SECONDS)

    return [wait_on_half] * HALF_REQUESTS


async def list_mail_loops(client: GreedyClient) -> list[Loop]:
    """Send batches of mails whose text and styles grow during rendering."""
    item = {"to": "worst@simulator.example", "content": {"subject": "Tea", "html": EXPENSIVE_HTML}, "priority": "high"}
    body = json.dumps({"notifications": [item] * 20}).encode()

    async def send_batch() -> None:
        await client.send("POST", "/v1/notifications/batch", key=client.key, body=body)
        await asyncio.sleep(PAUSE_SECONDS)

    return [send_batch]


ATTACKS: Mapping[str, Callable[[GreedyClient], Awaitable[list[Loop]]]] = {
    "bodies": list_body_loops,
    "reads": list_read_loops,
    "open-routes": list_stranger_loops,
    "unknown-keys": list_unknown_key_loops,
    "streams": list_stream_loops,
    "half-requests": list_half_request_loops,
    "mails": list_mail_loops,
}


def _requests_with_bodies(openapi: Mapping[str, Any], client: GreedyClient) -> Iterator[tuple[str, str, str, str]]:
    """List method, path, key, and the name of a list in the body, of each operation that takes JSON."""
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {}) if isinstance(operation, dict) else {}
            if "application/json" not in content:
                continue
            schema = content["application/json"]["schema"]
            while "$ref" in schema:
                schema = openapi["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
            properties = schema.get("properties", {})
            lists = [name for name, shape in properties.items() if '"array"' in json.dumps(shape)]
            yield method.upper(), _fill_path(path), _choose_key(path, client), (lists or ["variables"])[0]


def _worst_bodies(name: str, size: int) -> Iterator[bytes]:
    """Build a list of `{}`, a list of numbers, and an object of unknown fields, of so many bytes."""
    yield b'{"%s":[%s{}]}' % (name.encode(), b"{}," * (size // 3 - 10))
    yield b'{"%s":[%s0]}' % (name.encode(), b"0," * (size // 2 - 10))
    yield b"{%s}" % b",".join(b'"a%07d":0' % number for number in range(size // 13 - 1))


def _fill_path(path: str) -> str:
    """Fill the path's parameters with values that could exist."""
    while "{" in path:
        before, _, rest = path.partition("{")
        name, _, after = rest.partition("}")
        path = before + ("welcome" if name == "slug" else str(uuid4())) + after
    return path


def _choose_key(path: str, client: GreedyClient) -> str:
    is_administrative = path.startswith(("/v1/templates", "/v1/layouts", "/v1/assets", "/v1/audit", "/v1/render"))
    return client.admin_key if is_administrative else client.key


async def main(attack: str, port: str, key: str, admin_key: str) -> int:
    """Attack until SIGTERM."""
    client = GreedyClient(port=int(port), key=key, admin_key=admin_key)
    loops = await ATTACKS[attack](client)

    async def repeat(loop: Loop) -> None:
        while True:
            await loop()
            client.count_answer()

    client.awaited = min(len(loops), STRANGERS)
    tasks = [asyncio.create_task(repeat(loop)) for loop in loops]
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, tasks[0].cancel)
    announcing = asyncio.create_task(client.under_way.wait())
    announcing.add_done_callback(lambda _: print("ready", flush=True))
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks)
    print(json.dumps(client.statuses), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
