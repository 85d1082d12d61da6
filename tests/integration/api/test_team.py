"""`PUT /v1/team-recipients`: changes the recipients of team keys, and is audited without addresses."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from integration.api.clock import ForwardClock
from integration.api.refusal import faults, outcome
from support import marketing_template
from support.seeded_installation import WELCOME, Installation

from notifier.runtime import wiring

PATH = "/v1/team-recipients"


@pytest.fixture
async def shop(
    installation: Installation, forward: tuple[wiring.ProcessParts, ForwardClock]
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the shop with every scope."""
    parts, _ = forward
    async with installation.open_client(parts, await marketing_template.create_marketing_key(parts, "shop")) as client:
        yield client


async def _key(shop: httpx2.AsyncClient, kind: str) -> dict[str, str]:
    """Create a key of this kind, and return its header."""
    scopes = ["notifications:send", "keys:manage"]
    made = await shop.post("/v1/keys", json={"name": kind, "kind": kind, "scopes": scopes})
    assert made.status_code == 201, made.text
    return {"Authorization": f"Bearer {made.json()['key']}"}


async def test_who_is_of_the_team_is_changed(
    shop: httpx2.AsyncClient, forward: tuple[wiring.ProcessParts, ForwardClock]
) -> None:
    """New members can be mailed within a second, and the audit has one entry without an address."""
    _, clock = forward
    team = await _key(shop, "team")
    assert outcome(await shop.post("/v1/notifications", json=WELCOME, headers=team)) == (422, "recipient_not_allowed")
    for _ in range(2):
        reply = await shop.put(PATH, json={"recipients": ["Ada@Example.com", "@Team.example", "ada@example.com"]})
        assert (reply.status_code, reply.json()) == (200, {"recipients": ["ada@example.com", "@team.example"]})
    clock.seconds += 1.0
    assert (await shop.post("/v1/notifications", json=WELCOME, headers=team)).status_code == 202
    whoami = (await shop.get("/v1/whoami", headers=team)).json()
    assert whoami["team_recipients"] == ["@team.example", "ada@example.com"]
    entries = (await shop.get("/v1/audit", params={"object_kind": "service"})).json()["entries"]
    assert [(entry["action"], entry["before"]["team"], entry["after"]["team"]) for entry in entries] == [
        ("service.changed", [], ["[address]", "@team.example"])
    ]


@pytest.mark.parametrize("kind", ["team", "test"])
async def test_a_weaker_key_does_not_let_itself_in(shop: httpx2.AsyncClient, kind: str) -> None:
    """Without the scope the reply is 403, and the team is unchanged."""
    weak = await _key(shop, kind)
    refused = await shop.put(PATH, json={"recipients": ["@example.com"]}, headers=weak)
    assert outcome(refused) == (403, "key_kind_not_allowed")
    assert (await shop.get("/v1/audit", params={"object_kind": "service"})).json()["entries"] == []


async def test_every_fault_has_its_place(shop: httpx2.AsyncClient) -> None:
    """All faults are reported together with their pointers."""
    reply = await shop.put(PATH, json={"recipients": ["ada@example.com", "nobody", "@"]})
    assert faults(reply) == {("/recipients/1", "invalid_address"), ("/recipients/2", "invalid_address")}
    assert faults(await shop.put(PATH, json={})) == {("/recipients", "missing_field")}
