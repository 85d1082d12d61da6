"""An admin key finds, explains and changes mail of every service, or of the one that it names."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from integration.api.refusal import faults, outcome
from support import api_caller
from support.seeded_installation import WELCOME, Installation

from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import ADMIN_SCOPES, KeyScope
from notifier.auth.key_admin import NewKey
from notifier.runtime import wiring
from notifier.states import KeyKind

PATH = "/v1/notifications"


@pytest.fixture
async def admin(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    """A client with an admin key."""
    scopes = (KeyScope.ADMIN, KeyScope.READ, KeyScope.ACT, KeyScope.CONTENT, KeyScope.SUPPRESSIONS)
    async with installation.open_client(parts, await _create_key(parts, None, *scopes)) as client:
        yield client


async def _create_key(parts: wiring.ProcessParts, service: str | None, *scopes: KeyScope) -> str:
    now = parts.clock.now()
    async with parts.database.write() as connection:
        if service is None:
            new = NewKey(name="desk", kind=KeyKind.LIVE, scopes=scopes)
            return (await key_admin.insert_key(connection, None, new, now=now))[1]
        service_id = await service_admin.find_service(connection, service)
        return await key_admin.create_live_key(connection, service_id, scopes=list(scopes), now=now)


async def _submit(installation: Installation, parts: wiring.ProcessParts, key: str | None = None) -> str:
    async with installation.open_client(parts, key) as client:
        reply = await client.post(PATH, json=WELCOME)
        assert reply.status_code == 202, reply.text
        return str(reply.json()["id"])


async def test_an_admin_sees_all_services_or_one(
    installation: Installation, parts: wiring.ProcessParts, admin: httpx2.AsyncClient
) -> None:
    """The list has every service's mail, with its name; `service` narrows each route to one."""
    ids = {
        "shop": await _submit(installation, parts),
        "other": await _submit(installation, parts, installation.keys.other),
    }
    listed = (await admin.get(PATH)).json()["notifications"]
    assert {(one["service"], one["id"]) for one in listed} == set(ids.items())
    for name, id_ in ids.items():
        (own,) = (await admin.get(PATH, params={"service": name, "to": str(WELCOME["to"])})).json()["notifications"]
        assert own["id"] == id_
        for tail in ("", "/events", "/explain", "/content"):
            assert (await admin.get(f"{PATH}/{id_}{tail}", params={"service": name})).status_code == 200
            wrong = "other" if name == "shop" else "shop"
            assert (await admin.get(f"{PATH}/{id_}{tail}", params={"service": wrong})).status_code == 404
    assert faults(await admin.get(PATH, params={"service": "nobody"})) == {("/query/service", "invalid_parameter")}
    services = (await admin.get("/v1/services")).json()["services"]
    assert [service["name"] for service in services] == ["other", "shop"]


async def test_an_admin_key_for_templates_reads_no_mail(installation: Installation, parts: wiring.ProcessParts) -> None:
    """The scopes that an admin key has by default show no mail and no suppression of a service."""
    id_ = await _submit(installation, parts)
    async with installation.open_client(parts, await _create_key(parts, None, *ADMIN_SCOPES)) as client:
        for path in (PATH, f"{PATH}/{id_}", f"{PATH}/{id_}/content", "/v1/suppressions"):
            assert outcome(await client.get(path)) == (403, "insufficient_scope"), path
        assert outcome(await client.post(f"{PATH}/{id_}/cancel")) == (403, "insufficient_scope")


async def test_a_service_names_no_service(installation: Installation, client: httpx2.AsyncClient) -> None:
    """A service's key is about its own service only, and lists no services."""
    refused = faults(await client.get(PATH, params={"service": "shop"}))
    assert refused == {("/query/service", "invalid_parameter")}
    assert outcome(await client.get("/v1/services")) == (403, "insufficient_scope")


async def test_an_admin_changes_mail_of_a_service(
    installation: Installation, parts: wiring.ProcessParts, admin: httpx2.AsyncClient
) -> None:
    """A cancel by an admin key is in the timeline under the key's name, and in the audit of the service."""
    id_ = await _submit(installation, parts)
    wrong = await admin.post(f"{PATH}/{id_}/cancel", params={"service": "other"})
    assert wrong.status_code == 404
    cancelled = await admin.post(f"{PATH}/{id_}/cancel", params={"service": "shop"}, json={"comment": "by telephone"})
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    events = (await admin.get(f"{PATH}/{id_}/events")).json()["events"]
    assert events[0]["actor_name"].startswith("shop, key ")
    assert (events[-1]["kind"], events[-1]["actor_name"]) == ("cancelled", "admin, key desk (live)")
    answer = (await admin.get(f"{PATH}/{id_}/explain")).json()["answer"]
    assert (answer["kind"], answer["actions"]) == ("no", [])


async def test_an_admin_suppresses_for_all_or_for_one(
    installation: Installation, parts: wiring.ProcessParts, admin: httpx2.AsyncClient
) -> None:
    """Without a service a suppression is the instance's; each is listed, and can be lifted."""
    path = "/v1/suppressions"
    wanted = {"address": "ada@example.com", "scope": "all", "reason": "requested"}
    whole = await admin.post(path, json=wanted)
    own = await admin.post(path, json=wanted, params={"service": "shop"})
    assert [(one.status_code, one.json()["owner"]) for one in (whole, own)] == [(201, "instance"), (201, "service")]
    assert whole.json()["service_id"] is None
    listed = (await admin.get(path, params={"address": "ada@example.com"})).json()["suppressions"]
    assert [one["id"] for one in listed] == [own.json()["id"], whole.json()["id"]]
    for one in listed:
        assert (await admin.delete(f"{path}/{one['id']}")).status_code == 204
    assert (await admin.get(path)).json()["suppressions"] == []


async def test_a_key_that_may_act_need_not_send(installation: Installation, parts: wiring.ProcessParts) -> None:
    """With `notifications:act` a key stops mail and submits none; `notifications:send` implies it."""
    actor = await _create_key(parts, "shop", KeyScope.ACT)
    id_, other_id = await _submit(installation, parts), await _submit(installation, parts)
    async with installation.open_client(parts, actor) as client:
        assert outcome(await client.post(PATH, json=WELCOME)) == (403, "insufficient_scope")
        assert (await client.post(f"{PATH}/{id_}/cancel")).status_code == 200
    async with installation.open_client(parts, await _create_key(parts, "shop", KeyScope.SEND)) as client:
        assert (await client.post(f"{PATH}/{other_id}/cancel")).status_code == 200
    async with installation.open_client(parts, await _create_key(parts, "shop", KeyScope.READ)) as client:
        assert outcome(await client.post(f"{PATH}/{id_}/cancel")) == (403, "insufficient_scope")


async def test_a_refused_mail_is_explained_in_words(
    installation: Installation, parts: wiring.ProcessParts, client: httpx2.AsyncClient
) -> None:
    """The attempt has the meaning of its code, and the answer names the address and what to do."""
    async with wiring.run_sender(parts):
        path = await api_caller.submit_mail(client, "failed@simulator.example")
        await api_caller.wait_for_status(client, path, "failed")
    (attempt,) = (await client.get(path)).json()["attempts"]
    answer = (await client.get(f"{path}/explain")).json()["answer"]
    assert attempt["meaning"]
    assert answer["kind"] == "no"
    assert "retry" in answer["actions"]
