"""Access: keys, scopes, and which notifications a service sees."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from integration.api.clock import ForwardClock
from integration.api.refusal import NOTHING, Written, outcome, problem
from sqlalchemy import update
from support.seeded_installation import WELCOME, Installation

from notifier.auth.authenticated_key import KeyScope
from notifier.db.tables import ApiKey, get_columns
from notifier.ids import generate_id
from notifier.runtime import wiring

ROUTES = (("POST", "/v1/notifications"), ("GET", "/v1/notifications"), ("GET", f"/v1/notifications/{generate_id()}"))
NO_KEY = {
    "no header": None,
    "empty": "",
    "scheme only": "Bearer",
    "another scheme": "Basic c2hvcDpzZWNyZXQ=",
    "no scheme": "{key}",
    "made up": "Bearer secret",
    "two keys": "Bearer {key} {key}",
    "key with more behind it": "Bearer {key}0",
    "key cut short": "Bearer {prefix}",
    "unknown key": "Bearer ntf_live_AAAAAAAAAAAA" + "b" * 32,
    "unknown test key": "Bearer ntf_test_AAAAAAAAAAAA" + "b" * 32,
    "kind that there is not": "Bearer ntf_root_AAAAAAAAAAAA" + "b" * 32,
    "right id, wrong secret": "Bearer {prefix}" + "0" * 32,
}


async def _change(parts: wiring.ProcessParts, key: str, **values: Any) -> None:
    """Change the row of an API key."""
    prefix = key[:-32]
    async with parts.database.write() as connection:
        changed = await connection.execute(update(ApiKey).where(get_columns(ApiKey).prefix == prefix).values(**values))
        assert changed.rowcount == 1


@dataclass(frozen=True)
class Refused:
    """The reply to a caller without a valid key, except the request id."""

    status: int
    challenge: str
    body: dict[str, Any]

    @classmethod
    def by(cls, reply: httpx2.Response) -> "Refused":
        """The reply in this form."""
        body = problem(reply) | {"request_id": ""}
        return cls(reply.status_code, reply.headers["www-authenticate"], body)


async def test_whatever_is_wrong_with_a_key_the_reply_is_the_same(
    installation: Installation, parts: wiring.ProcessParts, client: httpx2.AsyncClient, written: Written
) -> None:
    """Missing, unknown, wrong, revoked and expired keys get the same 401."""
    now = datetime.now(UTC)
    await _change(parts, installation.keys.other, revoked_at=now)
    await _change(parts, installation.keys.reader, expires_at=now - timedelta(seconds=1))
    good = installation.keys.shop
    tokens = {name: text and text.format(key=good, prefix=good[:-32]) for name, text in NO_KEY.items()}
    tokens |= {"revoked": f"Bearer {installation.keys.other}", "expired": f"Bearer {installation.keys.reader}"}
    del client.headers["Authorization"]
    replies = {
        (name, method, path): Refused.by(
            await client.request(method, path, headers={"Authorization": token} if token is not None else {})
        )
        for name, token in tokens.items()
        for method, path in ROUTES
    }
    first = next(iter(replies.values()))
    assert (first.status, first.challenge, first.body["code"]) == (401, "Bearer", "unauthenticated")
    assert {name: item for name, item in replies.items() if item != first} == {}
    assert await written() == NOTHING


async def test_a_key_just_recognised_does_not_lend_its_name(
    installation: Installation, client: httpx2.AsyncClient
) -> None:
    """While a key is cached, its id with another secret is still refused."""
    assert (await client.get("/v1/notifications")).status_code == 200
    forged = {"Authorization": f"Bearer {installation.keys.shop[:-32]}{'0' * 32}"}
    assert outcome(await client.get("/v1/notifications", headers=forged)) == (401, "unauthenticated")


@pytest.mark.parametrize(("field", "after"), [("revoked_at", 1.0), ("expires_at", 61.0)])
async def test_a_remembered_key_ends_within_a_second(
    installation: Installation, forward: tuple[wiring.ProcessParts, ForwardClock], field: str, after: float
) -> None:
    """A cached key is refused within a second of its revocation, and at once when it expires."""
    parts, clock = forward
    async with installation.open_client(parts) as client:
        if field == "expires_at":
            await _change(parts, installation.keys.shop, expires_at=clock.now() + timedelta(seconds=60))
        assert (await client.get("/v1/notifications")).status_code == 200
        if field == "revoked_at":
            await _change(parts, installation.keys.shop, revoked_at=clock.now())
        clock.seconds = after
        assert outcome(await client.get("/v1/notifications")) == (401, "unauthenticated")


async def test_the_scheme_is_read_without_regard_to_case(
    installation: Installation, parts: wiring.ProcessParts
) -> None:
    """The scheme `bearer` is the same as `Bearer` (RFC 9110 §11.1)."""
    async with installation.open_client(parts) as client:
        headers = {"Authorization": f"bearer {installation.keys.shop}"}
        assert (await client.get("/v1/notifications", headers=headers)).status_code == 200


async def test_a_key_without_the_scope_is_403(
    installation: Installation, parts: wiring.ProcessParts, client: httpx2.AsyncClient, written: Written
) -> None:
    """A read-only key cannot send, and a send-only key cannot read."""
    async with installation.open_client(parts, installation.keys.reader) as reader:
        reply = await reader.post("/v1/notifications", json=WELCOME)
        assert outcome(reply) == (403, "insufficient_scope")
        assert "notifications:send" in problem(reply)["detail"]
        assert (await reader.get("/v1/notifications")).status_code == 200
    assert await written() == NOTHING
    await _change(parts, installation.keys.other, scopes=[KeyScope.SEND.value])
    async with installation.open_client(parts, installation.keys.other) as sender:
        location = (await sender.post("/v1/notifications", json=WELCOME)).headers["location"]
        for path in ("/v1/notifications", location):
            assert outcome(await sender.get(path)) == (403, "insufficient_scope")


async def test_another_services_notification_does_not_exist(
    installation: Installation, parts: wiring.ProcessParts, client: httpx2.AsyncClient
) -> None:
    """Another service's id, an unknown id and an invalid id get the same 404."""
    location = (await client.post("/v1/notifications", json=WELCOME)).headers["location"]
    assert (await client.get(location)).status_code == 200
    async with installation.open_client(parts, installation.keys.other) as other:
        paths = (location, f"/v1/notifications/{generate_id()}", "/v1/notifications/17", "/v1/notifications/%00")
        problems = [problem(await other.get(path)) | {"request_id": ""} for path in paths]
        listed = (await other.get("/v1/notifications")).json()
    assert [item["code"] for item in problems] == ["not_found"] * 4
    assert all(item == problems[0] for item in problems)
    assert listed == {"notifications": [], "next": None}
