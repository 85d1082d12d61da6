"""The options of reports and of `notify`, which are checked when their schedule is saved."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from integration.api.refusal import faults
from support.document_blocks import list_blocks
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import Installation

from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import KeyScope
from notifier.auth.key_admin import NewKey
from notifier.runtime import wiring


@contextlib.asynccontextmanager
async def _open_client(
    installation: Installation, parts: wiring.ProcessParts, *, of_instance: bool = False
) -> AsyncIterator[httpx2.AsyncClient]:
    """Open a client of the shop, or with an admin key."""
    async with parts.database.write() as connection:
        shop = await service_admin.find_service(connection, "shop")
        wish = NewKey(scopes=(KeyScope.ADMIN,) if of_instance else (KeyScope.SCHEDULES,))
        _, key = await key_admin.insert_key(connection, None if of_instance else shop, wish, now=parts.clock.now())
    async with installation.open_client(parts, key) as client:
        yield client


def _build_body(action: str, options: dict[str, Any]) -> dict[str, Any]:
    return {"timing": "0 9 * * *", "zone": "Europe/Berlin", "action": action, "options": options}


WELCOME = {"to": "ada@example.com", "template": "welcome", "variables": {"name": "Ada", "product": "Larkspur"}}
WRONG: list[tuple[str, dict[str, Any], set[tuple[str, str]]]] = [
    ("report", {}, {("/options/to", "missing_field")}),
    ("report", {"to": "nobody"}, {("/options/to", "invalid_address")}),
    ("report", {"to": 5}, {("/options/to", "invalid_value")}),
    ("report", {"to": "a@example.com", "cc": "b@example.com"}, {("/options/cc", "invalid_value")}),
    ("report", {"to": "a@example.com", "cc": ["b@example.com", "c"]}, {("/options/cc/1", "invalid_address")}),
    ("report", {"to": "a@example.com", "zone": "UTC"}, {("/options/zone", "unknown_field")}),
    ("report", {"to": "a@example.com", "template": "nothing"}, {("/options/template", "unknown_template")}),
    ("report", {"to": "a@example.com", "locale": "?"}, {("/options/locale", "invalid_locale")}),
    ("report", {"to": "a@example.com", "service": "shop"}, {("/options/service", "unknown_field")}),
    ("notify", {"to": "a@example.com"}, {("/options/template", "missing_field")}),
    ("notify", WELCOME | {"variables": {"name": "Ada"}}, {("/options/variables/product", "missing_variable")}),
    ("notify", WELCOME | {"variables": []}, {("/options/variables", "invalid_value")}),
    ("notify", WELCOME | {"from": "a@elsewhere.example"}, {("/options/from", "from_not_allowed")}),
    ("notify", WELCOME | {"priority": "urgent"}, {("/options/priority", "invalid_value")}),
    ("notify", WELCOME | {"tags": ["x"] * 11}, {("/options/tags", "invalid_value")}),
    ("notify", WELCOME | {"a/b": 1}, {("/options/a~1b", "unknown_field")}),
]


@pytest.mark.parametrize(("action", "options", "expected"), WRONG)
async def test_a_wrong_option_is_refused_when_it_is_saved(
    installation: Installation,
    parts: wiring.ProcessParts,
    action: str,
    options: dict[str, Any],
    expected: set[tuple[str, str]],
) -> None:
    """Each mistake is named with its place, and no schedule is written."""
    async with _open_client(installation, parts) as client:
        reply = await client.put("/v1/schedules/daily", json=_build_body(action, options))
        assert reply.status_code == 422, reply.text
        assert faults(reply) == expected
        assert (await client.get("/v1/schedules/daily")).status_code == 404


async def test_a_template_that_takes_no_report_is_refused(
    installation: Installation, parts: wiring.ProcessParts
) -> None:
    """The report's variables must fit the template."""
    async with _open_client(installation, parts) as client:
        body = _build_body("report", {"to": "ops@example.com", "template": "welcome"})
        reply = await client.put("/v1/schedules/daily", json=body)
    assert {pointer for pointer, _ in faults(reply)} == {"/options/template"}


async def test_a_schedule_of_the_instance_names_a_service(
    installation: Installation, parts: wiring.ProcessParts
) -> None:
    """Without a service, or with one that does not exist, it is refused; with one it is saved."""
    async with _open_client(installation, parts, of_instance=True) as client:
        for service, code in ((None, "missing_field"), ("nobody", "unknown_service")):
            options: dict[str, Any] = {"to": "ops@example.com"} | ({"service": service} if service else {})
            reply = await client.put("/v1/schedules/daily", json=_build_body("report", options))
            assert faults(reply) == {("/options/service", code)}
        for action, wanted in (("report", {"to": "ops@example.com"}), ("notify", WELCOME)):
            body = _build_body(action, dict(wanted) | {"service": "shop"})
            reply = await client.put(f"/v1/schedules/{action}", json=body)
            assert reply.status_code == 200, reply.text


async def test_the_documented_schedules_are_saved(installation: Installation, parts: wiring.ProcessParts) -> None:
    """Each schedule in docs/statistics.md is accepted as it stands there."""
    blocks = list_blocks("docs/statistics.md", "json")
    assert len(blocks) == 2
    async with _open_client(installation, parts) as client:
        for number, block in enumerate(blocks):
            reply = await client.put(f"/v1/schedules/example-{number}", json=json.loads(block.text))
            assert reply.status_code == 200, reply.text


async def test_a_schedule_that_is_run_by_hand_mails_its_report(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """From the schedule to the relay: a real sender counts, submits and sends; the notification is a submit."""
    async with _open_client(installation, parts) as client:
        await client.put("/v1/schedules/morning", json=_build_body("report", {"to": "ops@example.com"}))
        begun = await client.post("/v1/schedules/morning/run")
        assert begun.status_code == 202, begun.text
        async with wiring.run_sender(parts):
            (mail,) = await relay.wait_for(1)
    assert mail.recipient == "ops@example.com"
    assert b"Subject: shop daily report, " in mail.data
    async with installation.open_client(parts) as client:
        (found,) = (await client.get("/v1/notifications", params={"to": "ops@example.com"})).json()["notifications"]
        job = (await client.get(begun.headers["location"])).json()
    assert (job["state"], job["counts"]["notifications"]) == ("succeeded", 1)
    assert found["id"] in job["log"][-1]["text"]
