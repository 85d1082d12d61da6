"""A19: a mail that would expire in the queue is refused at once, and no other mail is refused for the queue."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from integration.api.clock import ForwardClock
from integration.api.refusal import Written, faults, outcome, problem
from sqlalchemy import text
from support.long_queue import add_measured_sender, get_forecast, queue_entries, refresh_forecast, write_heartbeat
from support.seeded_installation import WELCOME, Installation

from notifier.ids import generate_id
from notifier.outbox.heartbeat import Heartbeat
from notifier.runtime import wiring
from notifier.states import Priority
from notifier.throttle import queue_forecast
from notifier.throttle.relay_state import RelayReport

LONG = 200
"""Mails that are due: as many seconds at one a second."""
TOO_LONG = (503, "queue_too_long")
PATH = "/v1/notifications"


def _in(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def _post(client: httpx2.AsyncClient, seconds: float = LONG / 2, **fields: Any) -> httpx2.Response:
    """Post a mail that expires after so many seconds."""
    key = fields.pop("key", None)
    headers = {"Idempotency-Key": key} if key else {}
    return await client.post(PATH, json=WELCOME | {"expires_at": _in(seconds)} | fields, headers=headers)


@pytest.fixture
async def long_queue(parts: wiring.ProcessParts, client: httpx2.AsyncClient) -> httpx2.AsyncClient:
    """The shop with 200 due mails and a sender of one mail a second, as the API has measured it."""
    await queue_entries(parts, LONG)
    await add_measured_sender(parts)
    await refresh_forecast(client)
    return client


async def test_what_would_expire_in_the_queue_is_refused(long_queue: httpx2.AsyncClient, written: Written) -> None:
    """503 with Retry-After, and nothing is written; a mail with enough time is accepted."""
    before = await written()
    refused = await _post(long_queue)
    assert outcome(refused) == TOO_LONG
    assert int(refused.headers["retry-after"]) in range(90, 130)
    assert "expires in 100 s" in problem(refused)["detail"]
    assert await written() == before
    assert (await _post(long_queue, 2 * LONG)).status_code == 202
    assert (await long_queue.post(PATH, json=WELCOME)).status_code == 202  # 72 hours


async def test_the_api_looks_by_itself(parts: wiring.ProcessParts, client: httpx2.AsyncClient) -> None:
    """The first POST is accepted and starts a measurement of the queue in the background."""
    await queue_entries(parts, LONG)
    await add_measured_sender(parts)
    assert (await _post(client)).status_code == 202
    await get_forecast(client).close()
    assert outcome(await _post(client)) == TOO_LONG


async def test_what_is_sent_later_is_not_hurt_by_todays_queue(long_queue: httpx2.AsyncClient) -> None:
    """A scheduled mail is refused only if its time comes before the queue is empty."""
    assert (await _post(long_queue, 2 * LONG + 60, send_at=_in(2 * LONG))).status_code == 202
    assert outcome(await _post(long_queue, LONG / 2 + 60, send_at=_in(LONG / 2))) == TOO_LONG


async def test_others_are_not_before_it(installation: Installation, parts: wiring.ProcessParts) -> None:
    """Lower priorities and other services' queues are not counted."""
    await queue_entries(parts, LONG, Priority.BULK)
    await add_measured_sender(parts)
    async with (
        installation.open_client(parts) as client,
        installation.open_client(parts, installation.keys.other) as other,
    ):
        await refresh_forecast(client)
        await refresh_forecast(other)
        assert outcome(await _post(client, priority="bulk")) == TOO_LONG
        for priority in ("normal", "high"):
            assert (await _post(client, priority=priority)).status_code == 202, priority
        assert (await _post(other, priority="bulk")).status_code == 202


async def test_a_mail_of_a_test_key_is_no_exception(long_queue: httpx2.AsyncClient) -> None:
    """A test key's mail is refused in the same way, so callers can try it out."""
    assert outcome(await _post(long_queue, to="delivered@simulator.example")) == TOO_LONG


async def test_a_rehearsal_is_not_refused(long_queue: httpx2.AsyncClient) -> None:
    """A dry run is not refused for a long queue."""
    reply = await long_queue.post(f"{PATH}?dry_run=true", json=WELCOME | {"expires_at": _in(LONG / 2)})
    assert reply.status_code == 200


async def test_what_was_accepted_stays_accepted(parts: wiring.ProcessParts, client: httpx2.AsyncClient) -> None:
    """A7: a replay is answered however long the queue is; another body is still 422."""
    body = WELCOME | {"expires_at": _in(LONG / 2)}
    headers = {"Idempotency-Key": "order-4711"}
    first = await client.post(PATH, json=body, headers=headers)
    await queue_entries(parts, LONG)
    await add_measured_sender(parts)
    await refresh_forecast(client)
    again = await client.post(PATH, json=body, headers=headers)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (202, "true")
    assert again.json()["id"] == first.json()["id"]
    other = await client.post(PATH, json=body | {"to": "bob@example.com"}, headers=headers)
    assert outcome(other) == (422, "idempotency_key_reused")
    assert outcome(await _post(client, key="order-4712")) == TOO_LONG


# -- when nobody knows ------------------------------------------------------------------------------------------------


async def test_without_a_rate_nothing_is_refused(parts: wiring.ProcessParts, client: httpx2.AsyncClient) -> None:
    """Without a sender or a known rate nothing is refused."""
    await queue_entries(parts, LONG)
    await refresh_forecast(client)
    assert (await _post(client)).status_code == 202
    await write_heartbeat(parts)
    await refresh_forecast(client)
    assert (await _post(client)).status_code == 202


async def test_an_open_circuit_alone_refuses_nothing(parts: wiring.ProcessParts, client: httpx2.AsyncClient) -> None:
    """While the relay is unreachable all mails are accepted; afterwards the queue counts again."""
    await queue_entries(parts, LONG)
    sender_id = await add_measured_sender(parts)
    report = RelayReport(parts.database, sender_id, "relay.example:25", parts.clock)
    report.report_outage("Connection refused")
    assert report._writing is not None
    await report._writing
    await refresh_forecast(client)
    assert (await _post(client)).status_code == 202
    report.report_outage(None)
    await report._writing
    await refresh_forecast(client)
    assert outcome(await _post(client)) == TOO_LONG


async def test_a_look_that_fails_refuses_nothing(
    parts: wiring.ProcessParts, long_queue: httpx2.AsyncClient, logged: io.StringIO
) -> None:
    """After a failed measurement the old one is dropped, and the failure is logged."""
    foreseen = get_forecast(long_queue)
    assert outcome(await _post(long_queue)) == TOO_LONG
    counted = foreseen._max_count
    for name, new in (("relay_state", "elsewhere"), ("elsewhere", "relay_state")):
        async with parts.database.write() as connection:
            await connection.execute(text(f"ALTER TABLE {name} RENAME TO {new}"))
        await refresh_forecast(long_queue)
        if new == "elsewhere":
            assert (await _post(long_queue)).status_code == 202
            assert foreseen._max_count < counted
    assert "queue_not_seen" in logged.getvalue()
    assert outcome(await _post(long_queue)) == TOO_LONG


async def test_an_old_look_is_not_believed(
    installation: Installation, forward: tuple[wiring.ProcessParts, ForwardClock]
) -> None:
    """A measurement that is too old is ignored until the next one."""
    parts, clock = forward
    await queue_entries(parts, LONG)
    await add_measured_sender(parts)
    async with installation.open_client(parts) as client:
        await refresh_forecast(client)
        assert outcome(await _post(client, 50)) == TOO_LONG
        clock.seconds += queue_forecast.VALID_INTERVALS * queue_forecast.REFRESH_SECONDS + 1
        reply = await client.post(PATH, json=WELCOME | {"expires_at": _in(clock.seconds + 50)})
        assert reply.status_code == 202
        await get_forecast(client).close()


async def test_time_that_passes_shortens_the_queue(
    installation: Installation, forward: tuple[wiring.ProcessParts, ForwardClock]
) -> None:
    """The time since the measurement is subtracted from the queue."""
    parts, clock = forward
    await queue_entries(parts, LONG)
    await add_measured_sender(parts)
    async with installation.open_client(parts) as client:
        await refresh_forecast(client)
        refused = await _post(client, 100)
        clock.seconds += 10
        again = await client.post(PATH, json=WELCOME | {"expires_at": _in(clock.seconds + 100)})
        assert outcome(refused) == outcome(again) == TOO_LONG
        sooner = int(refused.headers["retry-after"]) - int(again.headers["retry-after"])
        assert sooner in (9, 10, 11)
        await get_forecast(client).close()


async def test_all_senders_count_and_each_must_know(postgres_installation: Installation) -> None:
    """The rates of live senders are added; one unknown rate makes the sum unknown; silent senders do not count."""
    async with postgres_installation.open_parts() as parts, postgres_installation.open_client(parts) as client:
        await queue_entries(parts, LONG)
        await add_measured_sender(parts)
        await refresh_forecast(client)
        alone = await _post(client, 50)
        await write_heartbeat(parts)
        await refresh_forecast(client)
        together = await _post(client, 50)
        assert outcome(alone) == outcome(together) == TOO_LONG
        waits = [int(reply.headers["retry-after"]) + 50 for reply in (alone, together)]
        assert waits[1] == pytest.approx(waits[0] / 2, abs=6)
        third = Heartbeat(parts.database, generate_id(), parts.clock, dead_after=30)
        await third.beat()
        await refresh_forecast(client)
        assert (await _post(client, 50)).status_code == 202
        async with parts.database.write() as connection:
            silence = text("UPDATE sender_process SET beat_at = beat_at - interval '2 minutes' WHERE id = :id")
            await connection.execute(silence, {"id": third.boot_id})
        await refresh_forecast(client)
        assert outcome(await _post(client, 50)) == TOO_LONG


# -- batches ----------------------------------------------------------------------------------------------------------


def _batch(*seconds: float, **fields: Any) -> dict[str, Any]:
    """Build a batch with one notification for each lifetime."""
    return {"notifications": [WELCOME | {"expires_at": _in(item)} for item in seconds]} | fields


async def test_a_batch_is_refused_as_a_whole(long_queue: httpx2.AsyncClient, written: Written) -> None:
    """`reject_all`: one that would expire refuses all with 503; a fault takes precedence."""
    before = await written()
    refused = await long_queue.post(f"{PATH}/batch", json=_batch(2 * LONG, LONG / 2, LONG / 4))
    assert outcome(refused) == TOO_LONG
    assert int(refused.headers["retry-after"]) in range(140, 180)  # that of the one that would wait longest
    faulty = _batch(LONG / 2, 2 * LONG)
    faulty["notifications"][1]["to"] = "nobody"
    assert faults(await long_queue.post(f"{PATH}/batch", json=faulty)) == {("/notifications/1/to", "invalid_address")}
    assert await written() == before


async def test_a_batch_leaves_out_what_would_expire(long_queue: httpx2.AsyncClient, written: Written) -> None:
    """`skip_invalid`: only the mails that would expire are errors."""
    (before, *_) = await written()
    reply = await long_queue.post(f"{PATH}/batch", json=_batch(2 * LONG, LONG / 2, on_error="skip_invalid"))
    assert reply.status_code == 202
    good, late = reply.json()["results"]
    assert good["status"] == "queued"
    assert late["error"]["code"] == "queue_too_long"
    assert [(error["pointer"], error["code"]) for error in late["error"]["errors"]] == [
        ("/notifications/1", "queue_too_long")
    ]
    assert (await written())[0] == before + 1


async def test_a_repeated_batch_is_not_refused(parts: wiring.ProcessParts, client: httpx2.AsyncClient) -> None:
    """A replayed batch is answered whatever the queue is."""
    batch, headers = _batch(LONG / 2, LONG / 2), {"Idempotency-Key": "monday"}
    first = await client.post(f"{PATH}/batch", json=batch, headers=headers)
    await queue_entries(parts, LONG)
    await add_measured_sender(parts)
    await refresh_forecast(client)
    again = await client.post(f"{PATH}/batch", json=batch, headers=headers)
    assert (again.status_code, again.json()["batch_id"]) == (202, first.json()["batch_id"])
    assert [result["replayed"] for result in again.json()["results"]] == [True, True]
    assert outcome(await client.post(f"{PATH}/batch", json=batch)) == TOO_LONG
