"""`/v1/keys` and `/v1/whoami`: create, list, rotate and revoke keys, and the limits of what a key may grant."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from integration.api.clock import ForwardClock
from integration.api.refusal import faults, outcome
from support import marketing_template
from support.seeded_installation import Installation

from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import SERVICE_SCOPES, KeyScope
from notifier.auth.authenticator import KeyUsageWriter
from notifier.auth.key_admin import NewKey
from notifier.runtime import wiring
from notifier.states import KeyKind

PATH = "/v1/keys"
ALL = [scope.value for scope in SERVICE_SCOPES]


@pytest.fixture
async def shop(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the shop with every scope."""
    async with installation.open_client(parts, await marketing_template.create_marketing_key(parts, "shop")) as client:
        yield client


async def _key(parts: wiring.ProcessParts, **wish: Any) -> tuple[str, str]:
    """Create a key of the shop; return its id and the key."""
    async with parts.database.write() as connection:
        service = await service_admin.find_service(connection, "shop")
        id_, key = await key_admin.insert_key(connection, service, NewKey(**wish), now=parts.clock.now())
    return str(id_), key


def _by(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def test_the_life_of_a_key(
    installation: Installation, parts: wiring.ProcessParts, shop: httpx2.AsyncClient
) -> None:
    """A key is shown once, works, is listed without secret, can be revoked twice, and is audited."""
    made = await shop.post(PATH, json={"name": "nightly", "kind": "test", "scopes": ["notifications:read"]})
    assert made.status_code == 201, made.text
    view = made.json()
    key = view.pop("key")
    assert key.startswith("ntf_test_")
    assert view["prefix"] == key[:-32]
    assert (view["name"], view["kind"], view["scopes"]) == ("nightly", "test", ["notifications:read"])
    assert (made.headers["location"], made.headers["cache-control"]) == (f"{PATH}/{view['id']}", "no-store")
    assert (await shop.get("/v1/notifications", headers=_by(key))).status_code == 200
    listed = (await shop.get(PATH)).json()["keys"]
    assert listed[0] | {"last_used_at": None} == view
    assert len(listed) == 4
    assert key[-32:] not in (await shop.get(PATH)).text

    for _ in range(2):
        gone = await shop.delete(f"{PATH}/{view['id']}")
        assert gone.status_code == 200, gone.text
        assert gone.json()["revoked_at"] is not None
    assert view["id"] not in [item["id"] for item in (await shop.get(PATH)).json()["keys"]]
    assert (await shop.get(PATH, params={"include_ended": True})).json()["keys"][0]["id"] == view["id"]
    entries = (await shop.get("/v1/audit")).json()["entries"]
    assert [(item["action"], item["object_id"]) for item in entries] == [
        ("key.revoked", view["id"]),
        ("key.created", view["id"]),
    ]
    assert key[-32:] not in str(entries)
    async with installation.open_client(parts, key) as client:
        assert outcome(await client.get("/v1/notifications")) == (401, "unauthenticated")


async def test_a_key_gives_no_more_than_it_has(parts: wiring.ProcessParts, shop: httpx2.AsyncClient) -> None:
    """A key cannot grant a scope or kind that it lacks, nor rotate a stronger key."""
    _, weak = await _key(parts, kind=KeyKind.TEAM, scopes=(KeyScope.KEYS, KeyScope.READ))
    live, _ = await _key(parts, scopes=(KeyScope.READ,))
    strong, _ = await _key(parts, kind=KeyKind.TEAM, scopes=(KeyScope.READ, KeyScope.SEND))
    for body, want in (
        ({"kind": "live", "scopes": ["notifications:read"]}, (403, "key_kind_not_allowed")),
        ({"scopes": ["notifications:read"]}, (403, "key_kind_not_allowed")),
        ({"kind": "test", "scopes": ["notifications:send"]}, (403, "insufficient_scope")),
        ({"kind": "test"}, (403, "insufficient_scope")),
        ({"kind": "team", "scopes": ["notifications:read"]}, (201, "")),
        ({"kind": "test", "scopes": ["keys:manage"]}, (201, "")),
    ):
        reply = await shop.post(PATH, json={"name": "x"} | body, headers=_by(weak))
        assert outcome(reply) == want, body
    for id_, code in ((live, "key_kind_not_allowed"), (strong, "insufficient_scope")):
        assert outcome(await shop.post(f"{PATH}/{id_}/rotate", headers=_by(weak))) == (403, code)
    _, reader = await _key(parts, scopes=(KeyScope.READ,))
    for method, path in (("GET", ""), ("POST", ""), ("GET", f"/{live}"), ("DELETE", f"/{live}")):
        reply = await shop.request(method, PATH + path, headers=_by(reader))
        assert outcome(reply) == (403, "insufficient_scope")


async def test_another_services_key_does_not_exist(
    installation: Installation, parts: wiring.ProcessParts, shop: httpx2.AsyncClient
) -> None:
    """Another service's key is not listed, and is 404 for every operation."""
    id_ = (await shop.post(PATH, json={"name": "mine"})).json()["id"]
    async with installation.open_client(parts, await marketing_template.create_marketing_key(parts, "other")) as other:
        assert id_ not in (await other.get(PATH)).text
        for which in (id_, "17"):
            for method, path in (("GET", ""), ("POST", "/rotate"), ("DELETE", "")):
                assert outcome(await other.request(method, f"{PATH}/{which}{path}")) == (404, "not_found")
    assert (await shop.get(f"{PATH}/{id_}")).json()["revoked_at"] is None


async def test_rotation(installation: Installation, forward: tuple[wiring.ProcessParts, ForwardClock]) -> None:
    """The new key equals the old one, which works until the overlap ends; rotating it again is 409."""
    parts, clock = forward
    async with installation.open_client(parts, await marketing_template.create_marketing_key(parts, "shop")) as shop:
        ends = (clock.now() + timedelta(days=90)).isoformat()
        old = (await shop.post(PATH, json={"name": "app", "expires_at": ends, "rate_per_minute": 7})).json()
        assert (await shop.get("/v1/notifications", headers=_by(old["key"]))).status_code == 200
        reply = await shop.post(f"{PATH}/{old['id']}/rotate", json={"overlap_seconds": 60})
        assert reply.status_code == 201, reply.text
        new = reply.json()
        for name in ("name", "kind", "scopes", "rate_per_minute"):
            assert new[name] == old[name]
        assert new["key"] != old["key"]
        assert new["replaces"]["replaced_by"] == new["id"]
        life = [
            datetime.fromisoformat(item["expires_at"]) - datetime.fromisoformat(item["created_at"])
            for item in (old, new)
        ]
        assert abs(life[0] - life[1]) < timedelta(seconds=5)
        assert outcome(await shop.post(f"{PATH}/{old['id']}/rotate")) == (409, "key_replaced")
        clock.seconds = 50.0
        for item in (old, new):
            assert (await shop.get("/v1/notifications", headers=_by(item["key"]))).status_code == 200
        clock.seconds = 61.0
        assert outcome(await shop.get("/v1/notifications", headers=_by(old["key"]))) == (401, "unauthenticated")
        assert (await shop.get("/v1/notifications", headers=_by(new["key"]))).status_code == 200
        assert outcome(await shop.post(f"{PATH}/{old['id']}/rotate")) == (409, "key_ended")
        actions = [item["action"] for item in (await shop.get("/v1/audit")).json()["entries"]]
        assert sorted(actions) == ["key.created", "key.created", "key.rotated"]


@pytest.mark.parametrize("how", ["revoke", "rotate"])
async def test_the_end_of_a_key_in_use_is_felt_within_a_second(
    installation: Installation, forward: tuple[wiring.ProcessParts, ForwardClock], how: str
) -> None:
    """A revoked key is refused within a second, also by other processes; so is one rotated without overlap."""
    parts, clock = forward
    async with (
        installation.open_client(parts, await marketing_template.create_marketing_key(parts, "shop")) as shop,
        installation.open_client(parts) as elsewhere,
    ):
        made = (await shop.post(PATH, json={"name": "x"})).json()
        assert (await elsewhere.get("/v1/notifications", headers=_by(made["key"]))).status_code == 200
        path = f"{PATH}/{made['id']}"
        done = await (
            shop.delete(path) if how == "revoke" else shop.post(f"{path}/rotate", json={"overlap_seconds": 0})
        )
        assert done.status_code < 300, done.text
        clock.seconds = 1.0
        reply = await elsewhere.get("/v1/notifications", headers=_by(made["key"]))
        assert outcome(reply) == (401, "unauthenticated")


async def test_every_fault_is_told(shop: httpx2.AsyncClient) -> None:
    """Faults of the body are all reported, and no key is created."""
    cases: tuple[tuple[dict[str, Any], set[tuple[str, str]]], ...] = (
        ({}, {("/name", "missing_field")}),
        ({"name": "x" * 65, "id": 1}, {("/name", "too_long"), ("/id", "unknown_field")}),
        ({"name": "x", "scopes": ["all"]}, {("/scopes/0", "invalid_type")}),
        ({"name": "x", "scopes": []}, {("/scopes", "invalid_type")}),
        ({"name": "x", "kind": "dead"}, {("/kind", "invalid_type")}),
        ({"name": "x", "rate_per_minute": 0}, {("/rate_per_minute", "invalid_type")}),
        ({"name": "x", "expires_at": "2099-01-01T00:00:00"}, {("/expires_at", "naive_time")}),
        (
            {"name": "x", "expires_at": datetime(2020, 1, 1, tzinfo=UTC).isoformat()},
            {("/expires_at", "time_out_of_range")},
        ),
    )
    for body, want in cases:
        assert faults(await shop.post(PATH, json=body)) == want, body
    assert len((await shop.get(PATH)).json()["keys"]) == 3


async def test_whoami(installation: Installation, parts: wiring.ProcessParts, shop: httpx2.AsyncClient) -> None:
    """Any valid key gets its own data; only a team key gets its recipients."""
    id_, team = await _key(parts, name="people", kind=KeyKind.TEAM, scopes=(KeyScope.SEND,), rate_per_minute=5)
    whoami = (await shop.get("/v1/whoami", headers=_by(team))).json()
    created = whoami["key"].pop("created_at")
    assert datetime.fromisoformat(created) <= parts.clock.now()
    assert whoami == {
        "service": "shop",
        "key": {
            "id": id_, "name": "people", "kind": "team", "scopes": ["notifications:send"], "expires_at": None,
        },
        "scopes": ["notifications:send"],
        "limits": {"key_per_minute": 5, "service_per_minute": 120_000},
        "from_domains": ["shop.example"],
        "team_recipients": [],
    }  # fmt: skip
    mine = (await shop.get("/v1/whoami")).json()
    assert mine["scopes"] == ALL
    assert "team_recipients" not in mine
    assert outcome(await shop.get("/v1/whoami", headers=_by("none"))) == (401, "unauthenticated")


async def test_when_a_key_was_last_used(
    parts: wiring.ProcessParts, shop: httpx2.AsyncClient, forward: tuple[wiring.ProcessParts, ForwardClock]
) -> None:
    """The last use is written at most once a minute, and never moves back."""
    _, clock = forward
    id_, _ = await _key(parts)
    key = (await shop.get(f"{PATH}/{id_}")).json()
    assert key["last_used_at"] is None
    usage, seen = KeyUsageWriter(parts.database, clock), []
    for seconds in (0.0, 59.0, 61.0, 0.0):
        clock.seconds = seconds
        usage.note_use(UUID(id_))
        await usage.close()
        seen.append((await shop.get(f"{PATH}/{id_}")).json()["last_used_at"])
    assert seen[0] is not None
    assert seen[1] == seen[0]
    assert seen[2] > seen[0]
    assert seen[3] == seen[2]


async def test_a_limit_is_not_got_rid_of(
    installation: Installation, parts: wiring.ProcessParts, shop: httpx2.AsyncClient
) -> None:
    """A key with a rate limit cannot create one with a higher limit or none."""
    _, limited = await _key(parts, scopes=(KeyScope.KEYS, KeyScope.SEND), rate_per_minute=5)
    for requested, granted in ((None, 5), (9, 5), (2, 2)):
        body = {"name": "app", "kind": "live", "scopes": ["notifications:send"], "rate_per_minute": requested}
        made = await shop.post(PATH, json=body, headers=_by(limited))
        assert (made.status_code, made.json()["rate_per_minute"]) == (201, granted)


async def test_a_key_that_ends_makes_none_that_lasts_longer(
    parts: wiring.ProcessParts, shop: httpx2.AsyncClient
) -> None:
    """A new or rotated key expires no later than the key that creates it."""
    now = parts.clock.now()
    end, later, sooner = (now + timedelta(days=days) for days in (10, 11, 9))
    mine, ending = await _key(parts, scopes=tuple(SERVICE_SCOPES), expires_at=end, rate_per_minute=50)
    by = _by(ending)
    for requested, granted in ((None, end), (sooner, sooner), (end, end)):
        body = {"name": "x", "expires_at": requested.isoformat() if requested else None}
        made = (await shop.post(PATH, json=body, headers=by)).json()
        assert datetime.fromisoformat(made["expires_at"]) == granted
    refused = await shop.post(PATH, json={"name": "x", "expires_at": later.isoformat()}, headers=by)
    assert faults(refused) == {("/expires_at", "time_out_of_range")}
    for_ever, _ = await _key(parts)
    soon, _ = await _key(parts, expires_at=now + timedelta(hours=1))
    for id_ in (for_ever, mine, soon):
        made = (await shop.post(f"{PATH}/{id_}/rotate", json={"overlap_seconds": 2_592_000}, headers=by)).json()
        assert datetime.fromisoformat(made["expires_at"]) <= end
        assert datetime.fromisoformat(made["replaces"]["expires_at"]) <= max(end, now + timedelta(days=31))
        assert made["rate_per_minute"] == 50


async def test_a_service_has_a_bounded_number_of_valid_keys(
    parts: wiring.ProcessParts, shop: httpx2.AsyncClient
) -> None:
    """Expired and revoked keys do not count; rotation without overlap is possible at the maximum."""
    existing = len((await shop.get(PATH)).json()["keys"])
    async with parts.database.write() as connection:
        service, now = await service_admin.find_service(connection, "shop"), parts.clock.now()
        for _ in range(key_admin.MAX_KEYS_PER_SERVICE - existing - 1):
            await key_admin.insert_key(connection, service, NewKey(), now=now)
        await key_admin.insert_key(connection, service, NewKey(expires_at=now - timedelta(seconds=1)), now=now)
    last = await shop.post(PATH, json={"name": "last"})
    assert last.status_code == 201
    path = f"{PATH}/{last.json()['id']}"
    for refused in (shop.post(PATH, json={"name": "x"}), shop.post(f"{path}/rotate")):
        assert outcome(await refused) == (409, "too_many_keys")
    rotated = await shop.post(f"{path}/rotate", json={"overlap_seconds": 0})
    assert rotated.status_code == 201, rotated.text
    assert outcome(await shop.delete(f"{PATH}/{rotated.json()['id']}")) == (200, "")
    assert outcome(await shop.post(PATH, json={"name": "x"})) == (201, "")
