"""`/v1/services` and the keys of services: an admin key creates, changes and lists them."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from integration.api.refusal import faults, outcome
from sqlalchemy import select
from support.seeded_installation import Installation

from notifier.auth import key_admin
from notifier.auth.authenticated_key import KeyScope
from notifier.auth.key_admin import NewKey
from notifier.db.tables import AuditEntry, get_columns
from notifier.runtime import operator_api, wiring

SERVICES = "/v1/services"


@pytest.fixture
async def admin(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    """A client with an admin key that may manage keys, and send and read."""
    scopes = (KeyScope.ADMIN, KeyScope.KEYS, KeyScope.SEND, KeyScope.READ, KeyScope.AUDIT)
    async with parts.database.write() as connection:
        _, key = await key_admin.insert_key(connection, None, NewKey(scopes=scopes), now=parts.clock.now())
    async with installation.open_client(parts, key) as client:
        yield client


async def test_a_service_is_created_and_changed(admin: httpx2.AsyncClient, parts: wiring.ProcessParts) -> None:
    """A service is created once, changed by id or name, and each change is in the audit."""
    body = {"name": "billing", "from_domains": ["Billing.example"], "team_recipients": ["Ada@x.org", "@x.org"]}
    created = await admin.post(SERVICES, json=body)
    assert created.status_code == 201
    service = created.json()
    assert (await admin.get(created.headers["location"])).json() == service
    assert (service["from_domains"], service["team_recipients"]) == (["billing.example"], ["ada@x.org", "@x.org"])
    assert outcome(await admin.post(SERVICES, json=body)) == (409, "service_exists")
    changed = await admin.patch(f"{SERVICES}/billing", json={"rate_per_minute": 0, "keep_content_days": 3})
    assert changed.json() == service | {"rate_per_minute": 0, "keep_content_days": 3}
    back = await admin.patch(f"{SERVICES}/{service['id']}", json={"default_days": True, "team_recipients": []})
    assert back.json() == service | {"rate_per_minute": 0, "team_recipients": []}
    assert back.json() in (await admin.get(SERVICES)).json()["services"]
    entry = get_columns(AuditEntry)
    async with parts.database.read() as connection:
        statement = select(entry.action).where(entry.object_id == service["id"]).order_by(entry.id)
        actions = (await connection.execute(statement)).scalars().all()
    assert actions == ["service.created", "service.changed", "service.changed"]


@pytest.mark.parametrize(
    ("body", "want"),
    [
        ({"name": "a b"}, ("/name", "invalid_type")),
        ({"name": "x", "keep_content_days": 91}, ("/keep_content_days", "out_of_range")),
        ({"name": "x", "team_recipients": ["bob"]}, ("/team_recipients/0", "invalid_address")),
    ],
)
async def test_wrong_values_are_named(admin: httpx2.AsyncClient, body: dict[str, Any], want: tuple[str, str]) -> None:
    """A name that no path can have, more days than the operator allows, and a wrong address are refused."""
    assert faults(await admin.post(SERVICES, json=body)) == {want}
    for name in ("x", "a%00b", "%ff", "x" * 500):
        assert outcome(await admin.get(f"{SERVICES}/{name}")) == (404, "not_found"), name


async def test_only_an_admin_key_manages_services(client: httpx2.AsyncClient) -> None:
    """A service's key neither sees nor changes services, and names none."""
    for method, path in (
        ("GET", SERVICES),
        ("GET", f"{SERVICES}/shop"),
        ("POST", SERVICES),
        ("PATCH", f"{SERVICES}/x"),
    ):
        assert outcome(await client.request(method, path)) == (403, "insufficient_scope")


async def test_an_admin_key_manages_keys_of_services(admin: httpx2.AsyncClient) -> None:
    """A key is created for a named service, found by prefix, rotated and revoked; nobody gives what they lack."""
    shop = {"service": "shop"}
    created = await admin.post("/v1/keys", params=shop, json={"name": "app", "kind": "test"})
    assert created.status_code == 201
    key = created.json()
    assert (key["service"], key["scopes"]) == ("shop", ["notifications:send", "notifications:read"])
    assert (await admin.get(f"/v1/keys/{key['prefix']}")).json() | {"key": key["key"]} == key
    listed = (await admin.get("/v1/keys", params=shop)).json()["keys"]
    assert key["id"] in {each["id"] for each in listed}
    assert {each["service"] for each in listed} == {"shop"}
    assert None in {each["service"] for each in (await admin.get("/v1/keys")).json()["keys"]}
    new = (await admin.post(f"/v1/keys/{key['prefix']}/rotate")).json()
    assert (new["service"], new["replaces"]["id"]) == ("shop", key["id"])
    assert (await admin.delete(f"/v1/keys/{new['id']}")).json()["revoked_at"]
    stronger = await admin.post("/v1/keys", params=shop, json={"name": "x", "scopes": ["content:read"]})
    assert outcome(stronger) == (403, "insufficient_scope")
    another_admin = await admin.post("/v1/keys", json={"name": "x", "scopes": ["admin", "audit:read"]})
    assert another_admin.json()["key"].startswith("ntf_admin_")
    without_scope = {"Authorization": f"Bearer {another_admin.json()['key']}"}
    assert outcome(await admin.get("/v1/keys", headers=without_scope)) == (403, "insufficient_scope")
    for query, body, place in (
        (shop, {"name": "x", "scopes": ["admin"]}, "/scopes/0"),
        ({}, {"name": "x", "kind": "test", "scopes": ["admin"]}, "/kind"),
    ):
        assert faults(await admin.post("/v1/keys", params=query, json=body)) == {(place, "invalid_value")}
    assert outcome(await admin.get("/v1/keys", params={"service": "nobody"})) == (422, "invalid_parameter")


async def test_no_served_api_knows_the_operator(parts: wiring.ProcessParts, client: httpx2.AsyncClient) -> None:
    """The token of an API inside a command is no key elsewhere; there it may do everything."""
    app, token = operator_api.build_operator_api(parts, "operator:ada")
    headers = {"Authorization": f"Bearer {token}"}
    assert (await client.get(SERVICES, headers=headers)).status_code == 401
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://operator") as inside:
        assert (await inside.get(SERVICES, headers=headers)).status_code == 200
        assert (await inside.get(SERVICES, headers={"Authorization": "Bearer x"})).status_code == 401
