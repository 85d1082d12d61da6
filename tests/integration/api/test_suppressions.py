"""`/v1/suppressions`: add, list, lift, ownership, and errors."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from integration.api.refusal import faults, outcome, problem
from support import marketing_template
from support.seeded_installation import WELCOME, Installation

from notifier import suppression
from notifier.ids import generate_id
from notifier.runtime import wiring
from notifier.states import SuppressionReason

PATH = "/v1/suppressions"
OPT_OUT = {"address": "ada@example.com", "scope": "marketing", "reason": "unsubscribed"}


@pytest.fixture
async def shop(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the shop with every scope."""
    async with installation.open_client(parts, await marketing_template.create_marketing_key(parts, "shop")) as client:
        yield client


@pytest.fixture
async def other(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of another service with every scope."""
    async with installation.open_client(parts, await marketing_template.create_marketing_key(parts, "other")) as client:
        yield client


async def _bounce(parts: wiring.ProcessParts, recipient: str) -> None:
    async with parts.database.write() as connection:
        await suppression.suppress_recipient(
            connection, recipient, reason=SuppressionReason.RECIPIENT_REFUSED, detail="gone", now=parts.clock.now()
        )


async def _listed(client: httpx2.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    reply = await client.get(PATH, params=query)
    assert reply.status_code == 200, reply.text
    return list(reply.json()["suppressions"])


async def _deeds(client: httpx2.AsyncClient) -> list[tuple[Any, ...]]:
    entries = (await client.get("/v1/audit")).json()["entries"]
    return [(entry["action"], entry["address"], entry["before"], entry["after"]) for entry in reversed(entries)]


async def test_the_life_of_a_suppression(shop: httpx2.AsyncClient) -> None:
    """Added 201, shown by all routes, lifted 204, then 404."""
    added = await shop.post(PATH, json=OPT_OUT | {"detail": "by telephone"})
    assert added.status_code == 201, added.text
    view = added.json()
    assert set(view) == {
        "id", "address", "owner", "service", "service_id", "scope", "reason", "detail", "created_by", "created_at",
        "expires_at",
    }  # fmt: skip
    assert (view["owner"], view["detail"], view["expires_at"]) == ("service", "by telephone", None)
    assert added.headers["location"] == f"{PATH}/{view['id']}"
    assert (await shop.get(added.headers["location"])).json() == view
    assert await _listed(shop) == [view]
    lifted = await shop.request("DELETE", added.headers["location"], json={"comment": "changed her mind"})
    assert (lifted.status_code, lifted.content) == (204, b"")
    assert outcome(await shop.get(added.headers["location"])) == (404, "not_found")
    assert outcome(await shop.delete(added.headers["location"])) == (404, "not_found")
    assert await _listed(shop) == []


async def test_one_that_is_there_keeps_its_reason_and_the_later_end(
    parts: wiring.ProcessParts, shop: httpx2.AsyncClient
) -> None:
    """A second POST is 200 and only extends the end; the audit records real changes."""
    now = parts.clock.now()
    day, week = ((now + timedelta(days=days)).isoformat() for days in (1, 7))
    first = (await shop.post(PATH, json=OPT_OUT | {"expires_at": week})).json()
    ends = []
    for fields in ({"expires_at": day}, {"expires_at": week}, {"reason": "complained"}, {"expires_at": week}):
        reply = await shop.post(PATH, json=OPT_OUT | fields)
        ends.append((reply.status_code, reply.json()["expires_at"] == first["expires_at"], reply.json()["reason"]))
        assert reply.json()["id"] == first["id"]
    assert ends == [(200, True, "unsubscribed")] * 2 + [(200, False, "unsubscribed")] * 2
    assert [suppression["expires_at"] for suppression in await _listed(shop)] == [None]
    deeds = await _deeds(shop)
    assert [deed[0] for deed in deeds] == ["suppression.added", "suppression.extended"]
    assert (deeds[1][2]["expires_at"], deeds[1][3]["expires_at"]) == (first["expires_at"], None)


async def test_what_the_audit_keeps(shop: httpx2.AsyncClient) -> None:
    """The audit has actor, request and change, and the address only in its own column."""
    words = "she wrote <Ada@example.com>: no more"
    added = await shop.post(PATH, json=OPT_OUT | {"detail": words})
    view = added.json()
    await shop.request("DELETE", added.headers["location"], json={"comment": words})
    newest, first = (await shop.get("/v1/audit")).json()["entries"]
    state = {name: view[name] for name in ("scope", "reason", "created_by", "created_at", "expires_at")}
    assert (first["before"], first["after"]) == (None, state)
    assert (newest["before"], newest["after"]) == (state, {"comment": "she wrote <[address]>: no more"})
    for entry in (first, newest):
        assert (entry["object_kind"], entry["object_id"]) == ("suppression", view["id"])
        assert (entry["address"], entry["actor"]) == ("ada@example.com", view["created_by"])
        assert len(entry["request_id"]) == 16
        assert "@" not in f"{entry['before']}{entry['after']}"


async def test_an_expired_one_counts_for_nothing(
    installation: Installation, forward: tuple[wiring.ProcessParts, Any]
) -> None:
    """An expired one is listed only on request; a new POST is 201 with a new id."""
    parts, clock = forward
    async with installation.open_client(parts, await marketing_template.create_marketing_key(parts, "shop")) as shop:
        soon = (parts.clock.now() + timedelta(seconds=60)).isoformat()
        first = (await shop.post(PATH, json=OPT_OUT | {"expires_at": soon})).json()
        clock.seconds = 61.0
        assert await _listed(shop) == []
        assert await _listed(shop, include_expired=True) == [first]
        again = await shop.post(PATH, json=OPT_OUT | {"reason": "complained"})
        assert (again.status_code, again.json()["reason"]) == (201, "complained")
        assert again.json()["id"] != first["id"]
        assert await _listed(shop, include_expired=True) == [again.json()]


async def test_an_address_has_one_key(shop: httpx2.AsyncClient) -> None:
    """A10: all spellings of an address are one suppression."""
    first = await shop.post(PATH, json=OPT_OUT | {"address": "A@Bücher.EXAMPLE"})
    assert (first.status_code, first.json()["address"]) == (201, "a@xn--bcher-kva.example")
    for written in ("a@bücher.example", "A@XN--BCHER-KVA.example", "a@xn--bcher-kva.example"):
        again = await shop.post(PATH, json=OPT_OUT | {"address": written})
        assert (again.status_code, again.json()) == (200, first.json())
        assert await _listed(shop, address=written) == [first.json()]
    assert await _listed(shop, address="b@bücher.example") == []
    assert await _listed(shop, address="no address") == []


async def test_every_fault_is_told(parts: wiring.ProcessParts, shop: httpx2.AsyncClient) -> None:
    """All faults of the body are reported, and nothing is written."""
    past, far = parts.clock.now() - timedelta(seconds=1), "9999-12-31T23:59:59-14:00"
    cases: tuple[tuple[dict[str, Any], set[tuple[str, str]]], ...] = (
        ({}, {("/address", "missing_field"), ("/scope", "missing_field")}),
        (OPT_OUT | {"id": 1, "scope": "some"}, {("/id", "unknown_field"), ("/scope", "invalid_type")}),
        (OPT_OUT | {"address": "Ada <ada@example.com>"}, {("/address", "invalid_address")}),
        (OPT_OUT | {"address": "üda@example.com"}, {("/address", "smtputf8_not_supported")}),
        (OPT_OUT | {"reason": "recipient_refused"}, {("/reason", "not_yours_to_say")}),
        (OPT_OUT | {"expires_at": past.isoformat()}, {("/expires_at", "time_out_of_range")}),
        (OPT_OUT | {"expires_at": far}, {("/expires_at", "time_out_of_range")}),
        (OPT_OUT | {"expires_at": "2099-01-01T00:00:00"}, {("/expires_at", "naive_time")}),
        (OPT_OUT | {"detail": "x" * 1001}, {("/detail", "too_long")}),
    )
    for body, want in cases:
        assert faults(await shop.post(PATH, json=body)) == want, body
    assert await _listed(shop) == []
    assert await _deeds(shop) == []


async def test_the_instances_are_seen_where_they_concern_and_never_lifted(
    parts: wiring.ProcessParts, shop: httpx2.AsyncClient, other: httpx2.AsyncClient
) -> None:
    """A service sees instance-wide ones for its recipients or by address, and lifting them is 403."""
    await shop.post("/v1/notifications", json=WELCOME | {"to": "Bob@example.com"})
    await _bounce(parts, "bob@example.com")
    await _bounce(parts, "never.mailed@example.com")
    (view,) = await _listed(shop)
    assert (view["address"], view["owner"], view["reason"]) == ("bob@example.com", "instance", "recipient_refused")
    assert await _listed(other) == []
    (suppression,) = await _listed(other, address="BOB@example.com")
    assert suppression == view
    for client in (shop, other):
        assert (await client.get(f"{PATH}/{view['id']}")).json() == view
        refused = problem(await client.delete(f"{PATH}/{view['id']}"))
        assert (refused["status"], refused["code"]) == (403, "not_yours")
        assert "notifier suppressions lift" in refused["detail"]
    assert await _deeds(shop) == []
    assert await _listed(shop) == [view]


async def test_another_services_cannot_be_told_from_none(shop: httpx2.AsyncClient, other: httpx2.AsyncClient) -> None:
    """A5: another service's is 404 like an unknown one, and in no list or audit."""
    path = (await shop.post(PATH, json=OPT_OUT)).headers["location"]
    for item in (path, f"{PATH}/{generate_id()}", f"{PATH}/17"):
        assert outcome(await other.get(item)) == (404, "not_found")
        assert outcome(await other.delete(item)) == (404, "not_found")
    assert await _listed(other, address="ada@example.com") == []
    assert await _deeds(other) == []
    assert (await shop.get(path)).status_code == 200


async def test_pages_follow_each_other(parts: wiring.ProcessParts, shop: httpx2.AsyncClient) -> None:
    """Own and instance-wide ones in one order, newest first; the Link keeps the filters."""
    for number in range(3):
        await shop.post(PATH, json=OPT_OUT | {"address": f"own{number}@example.com"})
        await shop.post("/v1/notifications", json=WELCOME | {"to": f"mailed{number}@example.com"})
        await _bounce(parts, f"mailed{number}@example.com")
    url, seen = f"{PATH}?limit=2", []
    while url:
        reply = await shop.get(url)
        seen += [suppression["address"] for suppression in reply.json()["suppressions"]]
        assert (reply.json()["next"] is None) == ("next" not in reply.links)
        url = reply.links.get("next", {}).get("url", "")
    assert seen == [f"{kind}{number}@example.com" for number in (2, 1, 0) for kind in ("mailed", "own")]
    page = await shop.get(PATH, params={"scope": "marketing", "reason": "unsubscribed", "limit": 2})
    assert "scope=marketing" in page.links["next"]["url"]
    assert [suppression["address"] for suppression in page.json()["suppressions"]] == [
        "own2@example.com",
        "own1@example.com",
    ]
    assert outcome(await shop.get(PATH, params={"before": "x"})) == (422, "invalid_parameter")
    assert outcome(await shop.get(PATH, params={"adress": "x"})) == (422, "invalid_parameter")


async def test_two_at_once_are_one(shop: httpx2.AsyncClient) -> None:
    """Of concurrent POSTs one is 201, with one row and one audit entry."""
    replies = await asyncio.gather(*(shop.post(PATH, json=OPT_OUT) for _ in range(8)))
    assert sorted(reply.status_code for reply in replies) == [200] * 7 + [201]
    assert len({reply.json()["id"] for reply in replies}) == 1
    assert len(await _listed(shop)) == len(await _deeds(shop)) == 1


async def test_lift_and_add_at_the_same_time(shop: httpx2.AsyncClient) -> None:
    """Concurrent lift and add both succeed, and the audit agrees with the final list."""
    for _ in range(12):
        view = (await shop.post(PATH, json=OPT_OUT)).json()
        lifted, added = await asyncio.gather(shop.delete(f"{PATH}/{view['id']}"), shop.post(PATH, json=OPT_OUT))
        assert lifted.status_code == 204, lifted.text
        assert added.status_code in {200, 201}, added.text
        left = await _listed(shop)
        assert [item["id"] for item in left] == ([added.json()["id"]] if added.status_code == 201 else [])
    actions = [deed[0].rpartition(".")[2] for deed in await _deeds(shop)]
    assert actions.count("added") - actions.count("lifted") == len(left)


async def test_without_the_scope_nothing_is_shown(installation: Installation, parts: wiring.ProcessParts) -> None:
    """A key with only the send and read scopes gets 403."""
    async with installation.open_client(parts) as client:
        for method, path in (("GET", PATH), ("POST", PATH), ("GET", f"{PATH}/17"), ("DELETE", f"{PATH}/17")):
            assert outcome(await client.request(method, path)) == (403, "insufficient_scope")
        assert outcome(await client.get("/v1/audit")) == (403, "insufficient_scope")
