"""Errors outside routes are problems too, and an unexpected error reveals no internals."""

import io

import httpx2
from integration.api.refusal import NOTHING, Written, outcome, problem
from sqlalchemy import text, update
from support.seeded_installation import WELCOME, Installation

from notifier.db.tables import TemplateVersion
from notifier.runtime import wiring
from notifier.settings import RecipientsMode


async def test_an_unknown_path_is_a_problem(client: httpx2.AsyncClient) -> None:
    """An unknown path is a 404 problem."""
    for path in ("/v1", "/v2/notifications", "/v1/notifications/1/2/3", "/v1/notification"):
        assert outcome(await client.get(path)) == (404, "not_found"), path


async def test_a_method_that_a_path_lacks_is_a_problem(client: httpx2.AsyncClient) -> None:
    """A wrong method is 405 with Allow (RFC 9110 §15.5.6)."""
    lacking = {
        ("DELETE", "/v1/notifications"): "GET, HEAD, POST",
        ("PUT", "/v1/notifications/17"): "GET, HEAD, PATCH",
        ("PATCH", "/v1/notifications/batch"): "POST",
        ("GET", "/v1/notifications/batch"): "POST",
        ("OPTIONS", "/v1/webhooks/17"): "GET, HEAD, PATCH, DELETE",
        ("POST", "/livez"): "GET, HEAD",
    }
    for (method, path), allowed in lacking.items():
        reply = await client.request(method, path)
        assert outcome(reply) == (405, "method_not_allowed"), method
        assert reply.headers["allow"] == allowed


async def test_every_refusal_has_an_id_of_its_own(client: httpx2.AsyncClient) -> None:
    """Two equal refused requests get two request ids."""
    first, second = [problem(await client.get("/v1/notifications/17")) for _ in range(2)]
    assert first["request_id"] != second["request_id"]
    assert first | {"request_id": ""} == second | {"request_id": ""}


async def _corrupt(parts: wiring.ProcessParts) -> None:
    """Damage the stored schema of the variables, so that checking a request raises."""
    async with parts.database.write() as connection:
        await connection.execute(update(TemplateVersion).values(variables_schema={"type": "no such type"}))


async def test_an_unexpected_error_is_a_500_that_gives_nothing_away(
    client: httpx2.AsyncClient, parts: wiring.ProcessParts, written: Written, logged: io.StringIO
) -> None:
    """The 500 has no details, nothing is written, and the log has its request id."""
    await _corrupt(parts)
    reply = await client.post("/v1/notifications", json=WELCOME)
    body = problem(reply)
    assert (body["status"], body["code"], body["detail"]) == (500, "internal_error", "it has been logged")
    assert "no such type" not in reply.text
    assert body["request_id"] in logged.getvalue()
    assert await written() == NOTHING


async def test_the_log_of_an_unexpected_error_has_no_secret(
    installation: Installation, client: httpx2.AsyncClient, parts: wiring.ProcessParts, logged: io.StringIO
) -> None:
    """The logged stack trace contains no key, recipient or variable."""
    await _corrupt(parts)
    variables = {"name": "Konfidenz", "product": "Larkspur"}
    body = WELCOME | {"to": "private@example.com", "variables": variables}
    assert (await client.post("/v1/notifications", json=body)).status_code == 500
    lines = logged.getvalue()
    assert "request_failed" in lines
    assert [word for word in (installation.keys.shop, "private@example.com", "Konfidenz") if word in lines] == []


async def test_the_log_of_a_refused_statement_has_no_secret(
    client: httpx2.AsyncClient, parts: wiring.ProcessParts, written: Written, logged: io.StringIO
) -> None:
    """The values of a failed statement appear neither in the log nor in the reply."""
    async with parts.database.write() as connection:
        if parts.database.is_sqlite:
            await connection.execute(text("CREATE UNIQUE INDEX nobody_twice ON notification (recipient)"))
        else:
            await connection.execute(text("ALTER TABLE notification ADD CHECK (idempotency_key IS NULL)"))
    body = WELCOME | {"to": "private@example.com"}
    assert (await client.post("/v1/notifications", json=body)).status_code == 202
    refused = await client.post("/v1/notifications", json=body, headers={"Idempotency-Key": "confidential-1"})
    assert outcome(refused) == (500, "internal_error")
    assert await written() == (1, 1, 1)
    lines = logged.getvalue()
    assert "request_failed" in lines
    assert [word for word in ("private@example.com", "confidential-1", "INSERT INTO") if word in lines] == []


async def test_a_settings_mistake_is_not_told_to_callers(installation: Installation) -> None:
    """A refusal by the allow-list names the setting, not its addresses."""
    mode = {"mode": RecipientsMode.ALLOW, "allow": ("boss@corp.example",)}
    narrow = installation.with_settings(recipients=mode)
    async with narrow.open_parts() as parts, narrow.open_client(parts) as client:
        reply = await client.post("/v1/notifications", json=WELCOME)
        assert problem(reply)["code"] == "recipient_not_allowed"
        assert "boss@corp.example" not in reply.text
