"""`/v1/webhooks` from the caller's side, on both databases."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from integration.webhooks.conftest import Shop, key_of
from standardwebhooks.webhooks import WebhookVerificationError
from support import api_caller
from support.seeded_installation import Installation
from support.webhook_receiver import build_reply

from notifier.auth.authenticated_key import KeyScope
from notifier.runtime import wiring
from notifier.webhooks.webhook_event import EVENT_TYPES

NOWHERE = "/v1/webhooks/0192f0c1-2345-7000-8000-000000000000"


def _codes(body: dict[str, Any]) -> list[tuple[str, str]]:
    return [(fault["pointer"], fault["code"]) for fault in body["errors"]]


async def test_the_secret_is_shown_once(shop: Shop) -> None:
    """The secret is returned at creation only."""
    endpoint = await shop.endpoint(description="Orders", events=["notification.sent", "notification.sent"])
    assert endpoint["secret"].startswith("whsec_")
    assert endpoint["events"] == ["notification.sent"]
    current = (await shop.client.get(f"/v1/webhooks/{endpoint['id']}")).json()
    listed = (await shop.client.get("/v1/webhooks")).json()
    assert current == {name: value for name, value in endpoint.items() if name != "secret"}
    assert listed == {"webhooks": [current]}


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({}, [("/url", "missing_field")]),
        ({"url": "http://hooks.example.org/"}, [("/url", "invalid_url")]),
        ({"url": "https://169.254.169.254/"}, [("/url", "invalid_url")]),
        ({"url": 1}, [("/url", "invalid_type")]),
        ({"url": "https://a.example/" + "a" * 2048}, [("/url", "too_long")]),
        ({"url": "https://a.example/", "events": ["notification.sent", "x"]}, [("/events/1", "unknown_event_type")]),
        ({"url": "https://a.example/", "events": ["webhook.test"]}, [("/events/0", "unknown_event_type")]),
        ({"url": "https://a.example/", "colour": "red"}, [("/colour", "unknown_field")]),
        ({"url": "", "events": ["x"]}, [("/url", "invalid_url"), ("/events/0", "unknown_event_type")]),
    ],
)
async def test_what_is_refused(shop: Shop, body: dict[str, Any], faults: list[tuple[str, str]]) -> None:
    """Each fault is reported with a pointer in a 422, and nothing is written."""
    refused = await shop.client.post("/v1/webhooks", json=body)
    assert (refused.status_code, _codes(refused.json())) == (422, faults)
    assert (await shop.client.get("/v1/webhooks")).json() == {"webhooks": []}


async def test_every_type_can_be_asked_for(shop: Shop) -> None:
    """An endpoint can subscribe to the event type of each status."""
    assert (await shop.endpoint(events=list(EVENT_TYPES)))["events"] == list(EVENT_TYPES)


async def test_ten_and_no_more(shop: Shop) -> None:
    """A service has at most ten endpoints, even with concurrent requests."""
    requests = [shop.client.post("/v1/webhooks", json={"url": "https://a.example/"}) for _ in range(12)]
    codes = sorted(reply.status_code for reply in await asyncio.gather(*requests))
    assert codes == [201] * 10 + [409] * 2
    refused = await shop.client.post("/v1/webhooks", json={"url": "https://a.example/"})
    assert refused.json()["code"] == "too_many_endpoints"


async def test_changing(shop: Shop) -> None:
    """A PATCH changes only the named fields; disabling records who did it, and enabling clears that."""
    endpoint = await shop.endpoint()
    path = f"/v1/webhooks/{endpoint['id']}"
    changed = await shop.client.patch(path, json={"events": ["notification.bounced"], "disabled": True})
    assert changed.status_code == 200
    assert changed.json()["url"] == endpoint["url"]
    assert changed.json()["events"] == ["notification.bounced"]
    assert changed.json()["disabled_because"] == "disabled by its owner"
    enabled = (await shop.client.patch(path, json={"disabled": False, "description": "x"})).json()
    assert (enabled["disabled_at"], enabled["disabled_because"], enabled["description"]) == (None, None, "x")
    for bad in ({"url": "http://a.example/"}, {"disabled": 1}, {"url": None}, {"secret": "whsec_"}):
        assert (await shop.client.patch(path, json=bad)).status_code == 422


async def test_deleting(shop: Shop) -> None:
    """Pending deliveries of a deleted endpoint are not sent."""
    endpoint = await shop.endpoint()
    await api_caller.submit_mail(shop.client)
    notification_id = (await shop.client.get("/v1/notifications")).json()["notifications"][0]["id"]
    await shop.client.post(f"/v1/notifications/{notification_id}/cancel")
    assert (await shop.client.delete(f"/v1/webhooks/{endpoint['id']}")).status_code == 204
    assert (await shop.client.get(f"/v1/webhooks/{endpoint['id']}")).status_code == 404
    async with wiring.run_sender(shop.parts):
        await api_caller.wait_until_drained(shop.parts.database)
    assert shop.receiver.heard == []


async def test_what_is_anothers_is_not_there(shop: Shop, installation: Installation) -> None:
    """Another service's endpoint is 404 on every route, like an unknown id; a missing scope is 403."""
    endpoint = await shop.endpoint()
    others = [f"/v1/webhooks/{endpoint['id']}", NOWHERE, "/v1/webhooks/x"]
    doors = [("GET", ""), ("DELETE", ""), ("POST", "/test"), ("GET", "/deliveries"), ("POST", "/rotate-secret")]
    doors += [("GET", f"/deliveries/{endpoint['id']}"), ("POST", f"/deliveries/{endpoint['id']}/replay")]
    async with installation.open_client(shop.parts, await key_of(shop.parts, "other")) as other:
        for path in others:
            for method, door in doors:
                answer = await other.request(method, path + door)
                assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (method, path + door)
            assert (await other.patch(path, json={"description": ""})).status_code == 404
            replayed = await other.post(f"{path}/replay", json={"since": "2026-01-01T00:00:00Z"})
            assert replayed.status_code == 404
        assert (await other.get("/v1/webhooks")).json() == {"webhooks": []}
    async with installation.open_client(shop.parts, await key_of(shop.parts, "shop", KeyScope.SEND)) as sender:
        assert (await sender.get("/v1/webhooks")).json()["code"] == "insufficient_scope"


async def test_rotation(shop: Shop) -> None:
    """During the overlap both secrets are valid; without an overlap only the new one is."""
    endpoint = await shop.endpoint()
    path = f"/v1/webhooks/{endpoint['id']}"
    second = (await shop.client.post(f"{path}/rotate-secret", json={"overlap_seconds": 3600})).json()
    assert second["previous_until"] > shop.parts.clock.now().isoformat()
    async with wiring.run_sender(shop.parts):
        await shop.client.post(f"{path}/test")
        (heard,) = await shop.receiver.wait_for(1)
        for secret in (endpoint["secret"], second["secret"]):
            assert heard.verified(secret)["type"] == "webhook.test"
        third = (await shop.client.post(f"{path}/rotate-secret", json={"overlap_seconds": 0})).json()
        await shop.client.post(f"{path}/test")
        _, last = await shop.receiver.wait_for(2)
    last.verified(third["secret"])
    for secret in (endpoint["secret"], second["secret"]):
        with pytest.raises(WebhookVerificationError):
            last.verified(secret)
    too_long = await shop.client.post(f"{path}/rotate-secret", json={"overlap_seconds": 8 * 86400})
    assert _codes(too_long.json()) == [("/overlap_seconds", "invalid_type")]


async def test_a_test_event(shop: Shop) -> None:
    """A test event is sent whatever the endpoint subscribes to; for a disabled endpoint it is 409."""
    endpoint = await shop.endpoint(events=["notification.bounced"])
    async with wiring.run_sender(shop.parts):
        sent = await shop.client.post(f"/v1/webhooks/{endpoint['id']}/test")
        (heard,) = await shop.receiver.wait_for(1)
    event = heard.verified(endpoint["secret"])
    assert (sent.status_code, sent.json()["state"], sent.json()["event_id"]) == (202, "pending", heard.id)
    assert (event["type"], event["data"]["endpoint_id"]) == ("webhook.test", endpoint["id"])
    await shop.client.patch(f"/v1/webhooks/{endpoint['id']}", json={"disabled": True})
    refused = await shop.client.post(f"/v1/webhooks/{endpoint['id']}/test")
    assert (refused.status_code, refused.json()["code"]) == (409, "endpoint_disabled")


async def test_replaying(shop: Shop) -> None:
    """A replay repeats one delivery, or all failed ones since a time, with the same id and bytes."""
    endpoint = await shop.endpoint()
    path = f"/v1/webhooks/{endpoint['id']}"
    shop.receiver.script(build_reply("410 Gone"))
    since = (shop.parts.clock.now() - timedelta(minutes=1)).isoformat()
    async with wiring.run_sender(shop.parts) as running:
        await api_caller.submit_mail(shop.client)
        await shop.receiver.wait_for(1)
        await running.drain()
        (failed,) = await shop.deliveries(endpoint, state="failed")
        refused = await shop.client.post(f"{path}/replay", json={"since": since})
        assert refused.json()["code"] == "endpoint_disabled"
        await shop.client.patch(path, json={"disabled": False})
        again = await shop.client.post(f"{path}/replay", json={"since": since})
        assert (again.status_code, again.json()) == (202, {"replayed": 1, "more": False})
        assert (await shop.client.post(f"{path}/replay", json={"since": since})).json()["replayed"] == 0
        await shop.receiver.wait_for(2)
        alone = await shop.client.post(f"{path}/deliveries/{failed['id']}/replay")
        assert (alone.status_code, alone.json()["event_id"]) == (202, failed["event_id"])
        requests = await shop.receiver.wait_for(3)
        await running.drain()
    assert len({(request.id, request.body) for request in requests}) == 1
    assert len(await shop.deliveries(endpoint)) == 3
    naive = await shop.client.post(f"{path}/replay", json={"since": "2026-01-01T00:00:00"})
    assert naive.status_code == 422


async def test_deliveries_in_pages(shop: Shop) -> None:
    """Deliveries are listed newest first, paged by cursor and Link, and filtered by state."""
    endpoint = await shop.endpoint()
    ids = [(await shop.client.post(f"/v1/webhooks/{endpoint['id']}/test")).json()["id"] for _ in range(5)]
    path, seen_ids = f"/v1/webhooks/{endpoint['id']}/deliveries?limit=2&state=pending", []
    while path:
        page = await shop.client.get(path)
        seen_ids += [delivery["id"] for delivery in page.json()["deliveries"]]
        link = page.headers.get("link", "")
        assert ("before=" in link) == (page.json()["next"] is not None)
        path = link.removeprefix("<").partition(">")[0]
    assert seen_ids == ids[::-1]
    assert await shop.deliveries(endpoint, state="failed") == []
    for bad in ({"state": "gone"}, {"limit": "0"}, {"before": "x"}):
        assert (await shop.client.get(f"/v1/webhooks/{endpoint['id']}/deliveries", params=bad)).status_code == 422


async def test_a_change_of_nothing_is_refused(shop: Shop) -> None:
    """An empty PATCH is refused as a caller's mistake, and changes nothing."""
    endpoint = await shop.endpoint()
    reply = await shop.client.patch(f"/v1/webhooks/{endpoint['id']}", json={})
    assert (reply.status_code, reply.json()["code"]) == (422, "missing_field")


async def test_what_was_put_in_says_where_it_is(shop: Shop) -> None:
    """Creating a test event or a replay returns a Location."""
    endpoint = await shop.endpoint()
    response = await shop.client.post(f"/v1/webhooks/{endpoint['id']}/test")
    again = await shop.client.post(f"{response.headers['location']}/replay")
    for reply in (response, again):
        assert (await shop.client.get(reply.headers["location"])).json()["id"] == reply.json()["id"]
