"""The run of a merge: each chosen row is one notification, at the time that the start says."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import select
from support import api_caller, merge_story
from support.merge_story import build_csv, build_rows, check_file, start_merge, wait_for_state
from support.polling import poll_until
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import WELCOME

from notifier.db.tables import Notification, get_columns
from notifier.runtime import wiring

pytestmark = pytest.mark.usefixtures("sender")
_notification = get_columns(Notification)
DOUBLED = (
    ("ada@example.com", "Ada", "Larkspur"),
    ("ada@example.com", "Ada again", "Larkspur"),
    ("nobody", "Bob", "Larkspur"),
    ("carol@example.com", "Carol", "Larkspur"),
)


async def _list_rows(parts: wiring.ProcessParts, path: str) -> list[Any]:
    query = select(_notification.recipient, _notification.meta, _notification.send_at, _notification.created_at)
    async with parts.database.read() as connection:
        own = query.where(_notification.batch_id == UUID(path.rpartition("/")[2])).order_by(_notification.id)
        return list((await connection.execute(own)).all())


async def test_each_row_becomes_one_mail(
    client: httpx2.AsyncClient, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """All rows of a file of several steps are sent once, and the batch counts them."""
    path, merge = await check_file(client, build_csv(build_rows(1203)))
    assert (merge["rows"], merge["valid"]) == (1203, 1203)
    started = await start_merge(client, path)
    assert (started["state"], started["submitted"]["size"]) == ("running", 1203)
    ended = await wait_for_state(client, path, "finished", "failed")
    assert ended["submitted"] == {"size": 1203, "written": 1203, "left_out": 0, "statuses": {"sent": 1203}}
    assert sorted(mail.recipient for mail in relay.received) == sorted(row[0] for row in build_rows(1203))
    batch = (await client.get(path.replace("merges", "batches"))).json()
    assert (batch["size"], batch["accepted"], batch["progress"]) == (1203, 1203, 100)
    job = (await client.get(f"/v1/jobs/{ended['job_id']}")).json()
    assert (job["state"], job["counts"]["written"]) == ("succeeded", 1203)
    gone = await client.get(f"{path}/preview")
    assert (gone.status_code, gone.json()["code"]) == (409, "merge_file_gone")


async def test_faults_reject_the_start_unless_they_are_skipped(
    client: httpx2.AsyncClient, parts: wiring.ProcessParts
) -> None:
    """With `reject_all` nothing is written; with `skip_invalid` the valid rows are, each address once."""
    path, _ = await check_file(client, build_csv(DOUBLED))
    refused = await client.post(f"{path}/start")
    assert (refused.status_code, refused.json()["code"]) == (409, "merge_has_faults")
    assert await merge_story.count_written(parts.database, path) == 0
    await start_merge(client, path, on_error="skip_invalid")
    ended = await wait_for_state(client, path, "finished")
    assert (ended["submitted"]["written"], ended["submitted"]["left_out"]) == (2, 2)
    rows = await _list_rows(parts, path)
    assert [(row.recipient, row.meta["merge_row"]) for row in rows] == [
        ("ada@example.com", "2"),
        ("carol@example.com", "5"),
    ]


async def test_all_duplicates_can_be_submitted(client: httpx2.AsyncClient, parts: wiring.ProcessParts) -> None:
    """With `all` an address gets a mail for each of its rows."""
    path, _ = await check_file(client, build_csv(DOUBLED))
    await start_merge(client, path, on_error="skip_invalid", duplicates="all")
    await wait_for_state(client, path, "finished")
    assert [row.meta["merge_row"] for row in await _list_rows(parts, path)] == ["2", "3", "5"]


async def test_nothing_valid_cannot_be_started(client: httpx2.AsyncClient) -> None:
    """A file without a valid row is refused with a sentence."""
    path, _ = await check_file(client, build_csv([("nobody", "Bob", "Larkspur")]))
    refused = await client.post(f"{path}/start", json={"on_error": "skip_invalid"})
    assert (refused.status_code, refused.json()["code"]) == (409, "nothing_to_merge")


async def test_a_start_can_be_repeated_but_not_changed(client: httpx2.AsyncClient, parts: wiring.ProcessParts) -> None:
    """The same start again changes nothing; another one is refused."""
    path, _ = await check_file(client, build_csv(build_rows(3)))
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    first = await start_merge(client, path, send_at=later)
    again = await start_merge(client, path, send_at=later)
    assert again["job_id"] == first["job_id"]
    refused = await client.post(f"{path}/start", json={"duplicates": "all", "send_at": later})
    assert (refused.status_code, refused.json()["code"]) == (409, "merge_state")


async def test_mails_are_due_at_the_time_and_pace_of_the_start(
    client: httpx2.AsyncClient, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """With `send_at` and `per_minute` the first mail is due then, and the others follow evenly."""
    path, _ = await check_file(client, build_csv(build_rows(700)))
    begin = (datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0)
    await start_merge(client, path, send_at=begin.isoformat(), per_minute=60)

    async def get_all() -> list[Any] | None:
        rows = await _list_rows(parts, path)
        return rows if len(rows) == 700 else None

    rows = await poll_until(get_all)
    assert [row.send_at for row in rows] == [begin + timedelta(seconds=number) for number in range(700)]
    assert relay.received == []
    assert (await client.get(path)).json()["state"] == "running"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"send_at": "2026-01-01T00:00:00Z"}, "time_out_of_range"),
        ({"send_at": "2027-01-01T00:00:00"}, "naive_time"),
        ({"per_minute": 0}, "invalid_type"),
        ({"on_error": "ignore"}, "invalid_type"),
        ({"speed": 3}, "unknown_field"),
    ],
)
async def test_a_bad_start_is_refused(client: httpx2.AsyncClient, options: dict[str, Any], code: str) -> None:
    """Wrong options are one fault, and the merge can still be started."""
    path, _ = await check_file(client, build_csv(build_rows(1)))
    reply = await client.post(f"{path}/start", json=options)
    assert (reply.status_code, reply.json()["code"]) == (422, code), reply.text
    assert (await client.get(path)).json()["state"] == "checked"


async def test_a_suppressed_address_gets_no_mail(client: httpx2.AsyncClient, relay: ScriptedRelay) -> None:
    """A suppressed row is a notification with that status, as after a submit."""
    relay.say("ada0@example.com", "RCPT", "550 5.1.1 no such user", times=9)
    reply = await client.post("/v1/notifications", json=WELCOME | {"to": "ada0@example.com"})
    assert reply.status_code == 202
    await poll_until(lambda: _is_suppressed(client, reply.headers["location"]))
    path, merge = await check_file(client, build_csv(build_rows(2)))
    assert merge["suppressed"] == 1
    await start_merge(client, path)
    ended = await wait_for_state(client, path, "finished")
    assert ended["submitted"]["statuses"] == {"sent": 1, "suppressed": 1}


async def _is_suppressed(client: httpx2.AsyncClient, path: str) -> bool | None:
    status = (await client.get(path)).json()["status"]
    return status == "failed" or None


async def test_the_outbox_never_has_more_than_its_part(
    client: httpx2.AsyncClient, parts: wiring.ProcessParts, bounded_outbox: int
) -> None:
    """Rows are written only while few mails of the merge wait; the rest follows when they have left."""
    path, _ = await check_file(client, build_csv(build_rows(2600)))
    await start_merge(client, path, send_at=(datetime.now(UTC) + timedelta(hours=2)).isoformat())

    async def is_full() -> bool | None:
        job = (await client.get(path)).json()["job_id"]
        run = (await client.get(f"/v1/jobs/{job}")).json()
        return run["counts"].get("written", 0) >= bounded_outbox or None

    await poll_until(is_full)
    for _ in range(40):
        await client.get(path)
        assert await merge_story.count_queued(parts.database) == bounded_outbox
    await api_caller.make_due(parts.database)
    await poll_until(lambda: _is_written(client, path, bounded_outbox + 500))
    ended = (await client.get(path)).json()
    assert ended["submitted"]["statuses"].get("sent", 0) >= 500


async def _is_written(client: httpx2.AsyncClient, path: str, count: int) -> bool | None:
    return (await client.get(path)).json()["submitted"]["written"] >= count or None
