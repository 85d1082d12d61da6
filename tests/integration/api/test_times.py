"""`send_at` and `expires_at`: limits, scheduling, and how waiting is shown."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from integration.api.clock import ForwardClock
from integration.api.refusal import NOTHING, Written, faults
from sqlalchemy import select
from support.seeded_installation import WELCOME, Installation

from notifier.db.tables import OutboxEntry, get_columns
from notifier.runtime import wiring

NAIVE = ("2026-12-01T12:00:00", "2026-12-01 12:00", "2026-12-01")
ENDS_OF_TIME = (
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59.999999-14:00",
)


def _in(**amount: float) -> str:
    """A time relative to now, as a caller writes it."""
    return (datetime.now(UTC) + timedelta(**amount)).isoformat()


async def _post(client: httpx2.AsyncClient, **changes: Any) -> httpx2.Response:
    return await client.post("/v1/notifications", json=WELCOME | changes)


async def _shown(client: httpx2.AsyncClient, reply: httpx2.Response) -> dict[str, Any]:
    assert reply.status_code == 202, reply.text
    notification: dict[str, Any] = (await client.get(reply.headers["location"])).json()
    return notification


async def test_a_time_without_an_offset_is_refused(client: httpx2.AsyncClient, written: Written) -> None:
    """A time without an offset is ambiguous, and refused."""
    for time in NAIVE:
        assert faults(await _post(client, send_at=time)) == {("/send_at", "naive_time")}, time
        assert faults(await _post(client, expires_at=time)) == {("/expires_at", "naive_time")}, time
    assert await written() == NOTHING


async def test_a_time_too_far_away_is_refused(client: httpx2.AsyncClient, written: Written) -> None:
    """More than a day ago or a year ahead is refused, up to the ends of the calendar."""
    for time in (_in(hours=-24, seconds=-5), _in(days=365, seconds=60), *ENDS_OF_TIME):
        assert faults(await _post(client, send_at=time)) == {("/send_at", "time_out_of_range")}, time
    assert await written() == NOTHING


async def test_an_expiry_that_cannot_be_is_refused(client: httpx2.AsyncClient, written: Written) -> None:
    """An expiry at or before `send_at`, or more than a year after it, is refused."""
    for time in (_in(seconds=-1), _in(days=-2), _in(days=366), *ENDS_OF_TIME):
        assert faults(await _post(client, expires_at=time)) == {("/expires_at", "time_out_of_range")}, time
    tomorrow = _in(days=1)
    reply = await _post(client, send_at=tomorrow, expires_at=tomorrow)
    assert faults(reply) == {("/expires_at", "time_out_of_range")}
    assert await written() == NOTHING


async def test_a_past_of_up_to_a_day_means_now(client: httpx2.AsyncClient, parts: wiring.ProcessParts) -> None:
    """A `send_at` of up to a day ago means now: the mail is sent with today's date and is not expired."""
    before = datetime.now(UTC)
    for time in (_in(seconds=-1), _in(hours=-23, minutes=-59)):
        reply = await _post(client, send_at=time)
        notification = await _shown(client, reply)
        assert reply.json()["status"] == notification["status"] == "queued"
        assert before <= datetime.fromisoformat(notification["send_at"]) <= datetime.now(UTC)
        assert datetime.fromisoformat(notification["expires_at"]) > datetime.now(UTC) + timedelta(hours=71)
    async with parts.database.read() as connection:
        due = list(await connection.scalars(select(get_columns(OutboxEntry).due_at)))
    assert len(due) == 2
    assert all(before <= item <= datetime.now(UTC) for item in due)


async def test_up_to_a_year_ahead_is_scheduled(client: httpx2.AsyncClient, parts: wiring.ProcessParts) -> None:
    """Until `send_at` the status is `scheduled`, and the entry is due at that moment in any offset."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    for offset in ("+00:00", "+05:45", "-12:00"):
        local = tomorrow.astimezone(datetime.fromisoformat(f"2026-01-01T00:00:00{offset}").tzinfo)
        reply = await _post(client, send_at=local.isoformat())
        notification = await _shown(client, reply)
        assert reply.json()["status"] == notification["status"] == "scheduled"
        assert datetime.fromisoformat(notification["send_at"]) == tomorrow
        assert datetime.fromisoformat(notification["next_attempt_at"]) == tomorrow
        assert datetime.fromisoformat(notification["expires_at"]) == tomorrow + timedelta(hours=72)
    assert (await _post(client, send_at=_in(days=364))).json()["status"] == "scheduled"
    async with parts.database.read() as connection:
        due = await connection.scalars(
            select(get_columns(OutboxEntry).due_at).order_by(get_columns(OutboxEntry).due_at)
        )
        assert list(due)[:3] == [tomorrow] * 3


async def test_scheduled_becomes_queued_by_the_clock(
    installation: Installation, forward: tuple[wiring.ProcessParts, ForwardClock]
) -> None:
    """`scheduled` is computed when read: at the time both GETs say `queued` without a write."""
    parts, clock = forward
    async with installation.open_client(parts) as client:
        location = (await _post(client, send_at=_in(hours=1))).headers["location"]
        clock.seconds = 3590
        assert (await client.get(location)).json()["status"] == "scheduled"
        clock.seconds = 3601
        assert (await client.get(location)).json()["status"] == "queued"
        assert [
            notification["status"] for notification in (await client.get("/v1/notifications")).json()["notifications"]
        ] == ["queued"]


async def test_a_template_may_expire_sooner(client: httpx2.AsyncClient) -> None:
    """The template's default expiry is one hour; a request may override it."""
    variables = {"product": "L", "reset_url": "https://x.example", "expires_in": "1 h"}
    body = {
        "to": "ada@example.com",
        "template": "password_reset",
        "variables": variables | {"request": {"device": "F"}},
    }
    notification = await _shown(client, await client.post("/v1/notifications", json=body))
    lifetime = datetime.fromisoformat(notification["expires_at"]) - datetime.fromisoformat(notification["send_at"])
    assert (lifetime, notification["priority"]) == (timedelta(hours=1), "high")
    expires_at = _in(hours=2)
    notification = await _shown(client, await client.post("/v1/notifications", json=body | {"expires_at": expires_at}))
    assert datetime.fromisoformat(notification["expires_at"]) == datetime.fromisoformat(expires_at)
