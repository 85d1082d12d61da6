"""`/v1/audit`: what each change records in its own transaction, and what a service sees of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request
from integration.api.refusal import outcome
from sqlalchemy import func, select
from support import api_caller, marketing_template
from support.seeded_installation import Installation

from notifier import audit
from notifier.api.dependencies import AuditDependency, authenticate_service, get_dependencies
from notifier.api.errors import problem_responses
from notifier.audit import Actor, AuditAction, AuditRecord, NotForTheAuditError
from notifier.auth.authenticated_key import KeyScope
from notifier.db.tables import AuditEntry
from notifier.ids import generate_id
from notifier.runtime import wiring
from notifier.states import Status
from notifier.telemetry.request_observer import RequestObserver


@pytest.fixture
async def shop(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the shop with every scope."""
    async with installation.open_client(parts, await marketing_template.create_marketing_key(parts, "shop")) as client:
        yield client


async def _count(parts: wiring.ProcessParts) -> int:
    async with parts.database.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(AuditEntry))).scalar_one())


async def test_each_change_of_a_notification_is_kept(parts: wiring.ProcessParts, shop: httpx2.AsyncClient) -> None:
    """Cancel, retry and resolve record actor, change and comment, without addresses in the comment."""
    for verb, status, body, after in (
        ("cancel", None, {"comment": "for ada@example.com"}, {"status": "cancelled", "comment": "for [address]"}),
        ("retry", Status.FAILED, {}, {"status": "queued"}),
        ("resolve", Status.UNKNOWN, {"as": "sent"}, {"status": "sent"}),
    ):
        path = await api_caller.submit_mail(shop, "Ada@example.com")
        if status is not None:
            await api_caller.set_notification(parts.database, path, status=status)
        assert (await shop.post(f"{path}/{verb}", json=body)).status_code == 200
        entry = (await shop.get("/v1/audit", params={"limit": 1})).json()["entries"][0]
        before = {"status": status or "queued"}
        assert entry["action"] == f"notification.{ {'cancel': 'cancelled', 'retry': 'retried'}.get(verb, 'resolved') }"
        assert (entry["before"], entry["after"]) == (before, after)
        assert (entry["object_kind"], entry["object_id"]) == ("notification", path.rpartition("/")[2])
        assert entry["actor"].startswith("key:")
        assert entry["address"] == "ada@example.com"


async def test_what_changes_nothing_is_not_kept(parts: wiring.ProcessParts, shop: httpx2.AsyncClient) -> None:
    """Repeated and refused cancels are not recorded; of many concurrent ones, one is."""
    path = await api_caller.submit_mail(shop)
    replies = await asyncio.gather(*(shop.post(f"{path}/cancel") for _ in range(5)))
    assert {reply.status_code for reply in replies} == {200}
    assert outcome(await shop.post(f"{path}/retry")) == (409, "not_retryable")
    assert outcome(await shop.post(f"/v1/notifications/{generate_id()}/cancel")) == (404, "not_found")
    assert await _count(parts) == 1


async def test_a_service_sees_its_own(
    installation: Installation, parts: wiring.ProcessParts, shop: httpx2.AsyncClient
) -> None:
    """A service sees all changes to its own objects, and no others."""
    await shop.post(f"{await api_caller.submit_mail(shop)}/cancel")
    mine = (await shop.get("/v1/audit")).json()["entries"]
    async with parts.database.write() as connection:
        (service_id,) = (await connection.execute(select(AuditEntry.service_id))).scalars()  # type: ignore[call-overload]
        for owner in (service_id, None):
            deed = AuditRecord(
                action=AuditAction.SUPPRESSION_LIFTED,
                object_id=generate_id(),
                service_id=owner,
            )
            await audit.write_audit_record(connection, deed, Actor(name="operator:night", at=parts.clock.now()))
    seen = (await shop.get("/v1/audit")).json()["entries"]
    assert [item["actor"] for item in seen] == ["operator:night", mine[0]["actor"]]
    assert (seen[0]["before"], seen[0]["after"], seen[0]["request_id"]) == (None, None, None)
    async with installation.open_client(parts, await marketing_template.create_marketing_key(parts, "other")) as other:
        assert (await other.get("/v1/audit")).json() == {"entries": [], "next": None}


async def test_it_is_filtered_and_paged(shop: httpx2.AsyncClient) -> None:
    """Filtered by object and actor; the Link leads through all pages, newest first, and keeps the filters."""
    paths = [await api_caller.submit_mail(shop) for _ in range(5)]
    for path in paths:
        await shop.post(f"{path}/cancel")
    ids = [path.rpartition("/")[2] for path in paths]
    (item,) = (await shop.get("/v1/audit", params={"object_id": ids[2]})).json()["entries"]
    url, seen = f"/v1/audit?limit=2&object_kind=notification&actor={item['actor']}", []
    while url:
        reply = await shop.get(url)
        seen += [entry["object_id"] for entry in reply.json()["entries"]]
        url = reply.links.get("next", {}).get("url", "")
    assert seen == ids[::-1]
    for nobody in ({"object_kind": "suppression"}, {"actor": "key:nobody"}, {"object_id": str(generate_id())}):
        assert (await shop.get("/v1/audit", params=nobody)).json()["entries"] == []
    for wrong in ({"limit": 0}, {"limit": 201}, {"object_kind": "x"}, {"by": "x"}, {"object_id": "17"}):
        assert outcome(await shop.get("/v1/audit", params=wrong)) == (422, "invalid_parameter")


async def test_a_deed_that_fails_leaves_no_entry(parts: wiring.ProcessParts) -> None:
    """The audit entry is rolled back with the operation."""
    async with parts.database.write() as connection:
        deed = AuditRecord(
            action=AuditAction.CONTENT_VIEWED,
            object_id=generate_id(),
            service_id=None,
        )
        await audit.write_audit_record(connection, deed, Actor(name="key:17", at=parts.clock.now()))
        await connection.rollback()
    assert await _count(parts) == 0


@pytest.mark.parametrize(
    "state", [{"secret": "x"}, {"settings": {"secret_hash": "x"}}, {"variables": {}}, {"address": "x"}, {"to": "x"}]
)
async def test_what_must_not_be_kept_for_ever_is_refused(parts: wiring.ProcessParts, state: dict[str, Any]) -> None:
    """Secrets, variables, content and addresses in before or after raise an error at any depth."""
    for fields in ({"before": state}, {"after": state}):
        deed = AuditRecord(
            action=AuditAction.CONTENT_VIEWED,
            object_id=generate_id(),
            service_id=None,
            **fields,  # type: ignore[arg-type]
        )
        async with parts.database.write() as connection:
            with pytest.raises(NotForTheAuditError):
                await audit.write_audit_record(connection, deed, Actor(name="key:17", at=parts.clock.now()))
    assert await _count(parts) == 0


async def test_a_route_that_reports_nothing_cannot_answer(
    installation: Installation, parts: wiring.ProcessParts
) -> None:
    """A route that depends on the audit must report a record or "no change", else it answers 500."""
    app = FastAPI()
    app.state.dependencies = wiring.build_api(parts).state.dependencies
    problem_responses.install_error_handlers(app)

    @app.post("/forgets")
    async def forgets(request_audit: AuditDependency) -> str:
        return f"{request_audit.has_answered}"

    @app.post("/says")
    async def says(request_audit: AuditDependency) -> str:
        request_audit.record_no_change()
        return "said"

    @app.get("/looks")
    async def looks(request: Request, request_audit: AuditDependency) -> int:
        who = await authenticate_service(request, KeyScope.READ)
        deed = AuditRecord(
            action=AuditAction.CONTENT_VIEWED,
            object_id=generate_id(),
            service_id=who.service_id,
        )
        async with get_dependencies(request).database.write() as connection:
            await audit.write_audit_record(connection, deed, request_audit.get_actor(who))
        return await _count(parts)

    transport = httpx2.ASGITransport(app=RequestObserver(app), raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {installation.keys.shop}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://notifier", headers=headers) as client:
        assert (await client.post("/forgets")).status_code == 500
        assert (await client.post("/says")).json() == "said"
        assert (await client.get("/looks")).json() == 1
