"""Pause, resume and cancel: what is queued waits or is withdrawn, and each row still is at most one mail."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx2
import pytest
from support import api_caller, marketing_template, merge_story
from support.merge_story import build_csv, build_rows, check_file, start_merge, wait_for_state
from support.polling import poll_until
from support.scripted_relay import HOLD, ScriptedRelay
from support.seeded_installation import Installation

from notifier.runtime import wiring

pytestmark = pytest.mark.usefixtures("sender")
ROWS = 40


async def _hold_relay(client: httpx2.AsyncClient, relay: ScriptedRelay) -> str:
    """Start a merge whose first mails stay at the relay; returns its path."""
    relay.say("*", "DOT", f"{HOLD}250 2.0.0 queued", times=4)
    path, _ = await check_file(client, build_csv(build_rows(ROWS)))
    await start_merge(client, path)
    await relay.wait_for_bodies(1)
    return path


async def test_a_paused_merge_sends_nothing_until_it_is_resumed(
    client: httpx2.AsyncClient, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """Mails that had not begun wait; after the resume each row has got exactly one mail."""
    path = await _hold_relay(client, relay)
    paused = await client.post(f"{path}/pause")
    assert (paused.status_code, paused.json()["state"]) == (200, "paused"), paused.text
    assert (await client.post(f"{path}/pause")).json()["state"] == "paused"
    relay.resume.set()
    begun = await _wait_until_still(client, path)
    assert begun < ROWS
    assert len(relay.received) == begun
    assert (await client.get(f"/v1/jobs/{paused.json()['job_id']}")).json()["state"] == "paused"
    assert await _list_wait_causes(client, path) >= {"batch_paused"}
    resumed = await client.post(f"{path}/resume")
    assert (resumed.status_code, resumed.json()["state"]) == (200, "running")
    ended = await wait_for_state(client, path, "finished")
    assert ended["submitted"]["statuses"] == {"sent": ROWS}
    assert sorted(mail.recipient for mail in relay.received) == sorted(row[0] for row in build_rows(ROWS))


async def _list_wait_causes(client: httpx2.AsyncClient, path: str) -> set[str]:
    """List why the first waiting mail of the merge waits."""
    query = f"batch_id={path.rpartition('/')[2]}&status=queued&limit=1"
    (mail,) = (await client.get(f"/v1/notifications?{query}")).json()["notifications"]
    causes = (await client.get(f"/v1/notifications/{mail['id']}/explain")).json()["because"]
    return {cause["code"] for cause in causes}


async def _wait_until_still(client: httpx2.AsyncClient, path: str) -> int:
    """Wait until no mail of the merge is in hand; returns how many were sent."""
    seen: list[int] = []

    async def is_still() -> int | None:
        statuses = (await client.get(path)).json()["submitted"]["statuses"]
        seen.append(statuses.get("sent", 0))
        return seen[-1] if seen[-1] and len(seen) > 25 and len(set(seen[-25:])) == 1 else None

    return await poll_until(is_still)


async def test_a_cancelled_merge_withdraws_what_is_queued(
    client: httpx2.AsyncClient, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """Nothing that had not begun leaves; a second cancel changes nothing."""
    path, _ = await check_file(client, build_csv(build_rows(600)))
    await start_merge(client, path, send_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat())

    async def is_written() -> bool | None:
        return (await client.get(path)).json()["submitted"]["written"] == 600 or None

    await poll_until(is_written)
    cancelled = await client.post(f"{path}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled"), cancelled.text
    assert (await client.post(f"{path}/cancel")).json()["state"] == "cancelled"
    await api_caller.wait_until_drained(parts.database)
    assert (await client.get(path)).json()["submitted"]["statuses"] == {"cancelled": 600}
    assert relay.received == []
    refused = await client.post(f"{path}/resume")
    assert (refused.status_code, refused.json()["code"]) == (409, "merge_state")


async def test_a_checked_merge_can_be_cancelled(client: httpx2.AsyncClient) -> None:
    """A merge that was not started ends, and cannot be started any more."""
    path, _ = await check_file(client, build_csv(build_rows(1)))
    assert (await client.post(f"{path}/cancel")).json()["state"] == "cancelled"
    assert (await client.post(f"{path}/start")).json()["code"] == "merge_state"
    assert (await client.post(f"{path}/pause")).json()["code"] == "merge_state"


async def test_the_routes_of_jobs_do_the_same(
    client: httpx2.AsyncClient, installation: Installation, parts: wiring.ProcessParts
) -> None:
    """Pause, resume and cancel through the job change the merge and its batch as well."""
    path, _ = await check_file(client, build_csv(build_rows(5)))
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    job = f"/v1/jobs/{(await start_merge(client, path, send_at=later))['job_id']}"
    key = await marketing_template.create_marketing_key(parts, "shop")
    async with installation.open_client(parts, key) as staff:
        for act, state in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
            reply = await staff.post(f"{job}/{act}")
            assert reply.status_code == 200, reply.text
            assert (await client.get(path)).json()["state"] == state
    batch = (await client.get(path.replace("merges", "batches"))).json()
    assert batch["cancelled_at"] is not None


async def test_a_cancelled_batch_ends_the_merge(client: httpx2.AsyncClient, parts: wiring.ProcessParts) -> None:
    """Cancelling the batch of a merge stops its run, too."""
    path, _ = await check_file(client, build_csv(build_rows(5)))
    await start_merge(client, path, send_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    reply = await client.post(path.replace("merges", "batches") + "/cancel")
    assert reply.status_code == 200
    await wait_for_state(client, path, "cancelled")
    await api_caller.wait_until_drained(parts.database)


async def test_a_paced_merge_keeps_its_pace_after_a_pause(
    client: httpx2.AsyncClient, parts: wiring.ProcessParts
) -> None:
    """After a resume the mails that wait follow each other at the pace of the start."""
    path, _ = await check_file(client, build_csv(build_rows(30)))
    await start_merge(client, path, per_minute=1)

    async def is_written() -> bool | None:
        return (await client.get(path)).json()["submitted"]["written"] == 30 or None

    await poll_until(is_written)
    assert (await client.post(f"{path}/pause")).json()["state"] == "paused"
    assert (await client.post(f"{path}/resume")).json()["state"] == "running"

    async def is_resumed() -> dict[str, Any] | None:
        job = (await client.get(path)).json()["job_id"]
        counts = (await client.get(f"/v1/jobs/{job}")).json()["counts"]
        return counts if counts.get("resumed", 0) >= 28 else None

    await poll_until(is_resumed)
    times = await merge_story.list_due_times(parts.database)
    gaps = [(after - before).total_seconds() for before, after in pairwise(times)]
    assert set(gaps) == {60.0}
