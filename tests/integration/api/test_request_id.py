"""Each response has an `X-Request-Id`, and problems, log lines and the audit name the same id."""

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import select, update
from support import marketing_template
from support.seeded_installation import WELCOME, Installation

from notifier.db.tables import AuditEntry, TemplateVersion, get_columns
from notifier.runtime import wiring

HEADER = "X-Request-Id"
KEY = b"ntf_live_000000000000" + b"0" * 32


def _list_lines(logged: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in logged.getvalue().splitlines()]


@pytest.mark.parametrize("id_", ["a", "order-17.A_b", "0" * 64])
async def test_a_well_formed_id_of_the_caller_is_kept(client: httpx2.AsyncClient, id_: str) -> None:
    """It is in the response and in the problem."""
    accepted = await client.post("/v1/notifications", json=WELCOME, headers={HEADER: id_})
    refused = await client.get("/nothing", headers={HEADER: id_})
    assert (accepted.status_code, accepted.headers[HEADER]) == (202, id_)
    assert (refused.headers[HEADER], refused.json()["request_id"]) == (id_, id_)


@pytest.mark.parametrize("id_", [b"", b"0" * 65, b"a b", b"a,b", b"ada@example.com", b"caf\xe9", b"a\nb", b'"a"', KEY])
async def test_another_id_is_replaced(client: httpx2.AsyncClient, id_: bytes) -> None:
    """An id that is too long, has other characters, or is an API key by mistake, is not used anywhere."""
    reply = await client.get("/nothing", headers=[(HEADER.encode(), id_)])
    assert len(reply.headers[HEADER]) == 16
    assert reply.json()["request_id"] == reply.headers[HEADER]


async def test_every_response_has_an_id_of_its_own(client: httpx2.AsyncClient) -> None:
    """Responses, refusals and probes, whatever their status and method."""
    requests = [
        ("GET", "/livez", 200), ("HEAD", "/v1/notifications", 200), ("GET", "/nothing", 404), ("BREW", "/v1/keys", 405),
        ("POST", "/v1/notifications", 415), ("GET", "/v1/notifications?limit=0", 422), ("GET", "/docs", 200),
    ]  # fmt: skip
    replies = [await client.request(method, path) for method, path, _ in requests]
    assert [reply.status_code for reply in replies] == [status for _, _, status in requests]
    assert len({reply.headers[HEADER] for reply in replies}) == len(requests)


async def test_probes_on_their_own_port_have_it_too(parts: wiring.ProcessParts) -> None:
    """Also what they refuse."""
    transport = httpx2.ASGITransport(app=wiring.build_probe_app(parts))
    async with httpx2.AsyncClient(transport=transport, base_url="http://probes") as probes:
        assert (await probes.get("/livez", headers={HEADER: "probe-1"})).headers[HEADER] == "probe-1"
        assert (await probes.get("/nothing")).json()["request_id"]


async def test_an_event_stream_has_it(served: httpx2.AsyncClient) -> None:
    """In the head of the response, which comes before the first event; meanwhile the request is in progress."""
    later = {"send_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
    batch = (await served.post("/v1/notifications/batch", json={"notifications": [WELCOME | later]})).json()
    path = f"/v1/batches/{batch['batch_id']}/progress"
    async with served.stream("GET", path, headers={HEADER: "stream-1"}) as stream:
        assert (stream.status_code, stream.headers[HEADER]) == (200, "stream-1")
        exposition = (await served.get("/metrics")).text
    assert float(exposition.partition("\nnotifier_http_requests_in_flight ")[2].split()[0]) >= 2
    assert f'route="{path.replace(batch["batch_id"], "{batch_id}")}",status="200"' in exposition


async def test_the_log_lines_of_a_request_have_its_id(sqlite_installation: Installation, logged: io.StringIO) -> None:
    """A fault of the program is logged with the id of the request, and the 500 names it."""
    async with sqlite_installation.open_parts() as parts, sqlite_installation.open_client(parts) as client:
        async with parts.database.write() as connection:
            await connection.execute(update(TemplateVersion).values(variables_schema={"type": "no such type"}))
        reply = await client.post("/v1/notifications", json=WELCOME, headers={HEADER: "fault-1"})
    assert (reply.status_code, reply.headers[HEADER], reply.json()["request_id"]) == (500, "fault-1", "fault-1")
    (line,) = [line for line in _list_lines(logged) if line["event"] == "request_failed"]
    assert line["request_id"] == "fault-1"


async def test_the_audit_has_the_id(installation: Installation, parts: wiring.ProcessParts) -> None:
    """The longest id fits into the database, and an id that comes twice is no fault."""
    key = await marketing_template.create_marketing_key(parts, "shop")
    async with installation.open_client(parts, key) as client:
        for name in ("ada", "bob"):
            body = {"address": f"{name}@example.com", "scope": "all"}
            reply = await client.post("/v1/suppressions", json=body, headers={HEADER: "9" * 64})
            assert reply.status_code == 201, reply.text
    async with parts.database.read() as connection:
        ids = (await connection.execute(select(get_columns(AuditEntry).request_id))).scalars().all()
    assert ids.count("9" * 64) == 2


async def test_the_access_log_has_one_line_for_each_request(installation: Installation, logged: io.StringIO) -> None:
    """It has the template of the route and the key, but no path, query, address or user agent; probes are left out."""
    noisy = installation.with_settings(api={"access_log": True})
    async with noisy.open_parts() as parts, noisy.open_client(parts) as client:
        accepted = await client.post("/v1/notifications", json=WELCOME, headers={HEADER: "access-1"})
        await client.get(accepted.headers["location"] + "?secret=hunter2", headers={"User-Agent": "spy"})
        await client.get("/ada@example.com?q=hunter2", headers={"Authorization": "Bearer x"})
        await client.get("/livez")
    lines = [line for line in _list_lines(logged) if line["event"] == "request_served"]
    assert [(line["method"], line["route"], line["status"]) for line in lines] == [
        ("POST", "/v1/notifications", 202),
        ("GET", "/v1/notifications/{notification_id}", 200),
        ("GET", "other", 404),
    ]
    assert (lines[0]["request_id"], lines[0]["bytes_in"] > 50, lines[0]["bytes_out"]) == (
        "access-1", True, len(accepted.content)
    )  # fmt: skip
    assert all(line["key_id"] and line["service_id"] and line["duration_ms"] >= 0 for line in lines[:2])
    assert (lines[2]["key_id"], lines[2]["service_id"]) == (None, None)
    for word in ("ada@", "hunter2", "spy", accepted.json()["id"]):
        assert word not in logged.getvalue()


async def test_there_is_no_access_log_by_default(client: httpx2.AsyncClient, logged: io.StringIO) -> None:
    """Requests are not logged unless the setting says so."""
    await client.post("/v1/notifications", json=WELCOME)
    assert "request_served" not in logged.getvalue()
