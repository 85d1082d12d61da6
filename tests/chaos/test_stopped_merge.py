"""A merge that is paused, continued and cancelled while real senders send it: what had not begun does not leave."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import httpx2
from chaos import final_state
from chaos.chaos_scene import Scene
from chaos.relay_log import Name
from chaos.relay_script import Pace
from chaos.size import size
from sqlalchemy import func, or_, select
from support import merge_story
from support.polling import poll_until

from notifier.clock import SystemClock
from notifier.db.tables import Notification, OutboxEntry, get_columns
from notifier.states import EntryKind, EntryState, Status

ROWS, SENT = size((600, 30), (6000, 600))
"""Rows of the merge, and how many mails the relay takes before each stop."""
SETTINGS = {"SENDER__SCHEDULES": "false", "API__RATE_PER_MINUTE": "1000000"}
PACE = Pace(delay=0.05)
SETTLE_SECONDS = size(60.0, 300.0)
_notification, _entry = get_columns(Notification), get_columns(OutboxEntry)


@asynccontextmanager
async def _open_client(scene: Scene) -> AsyncIterator[httpx2.AsyncClient]:
    url, headers = f"http://127.0.0.1:{scene.fleet.api_port}", {"Authorization": f"Bearer {scene.key}"}
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=60) as client:
        yield client


async def _list_begun(scene: Scene, path: str) -> set[str]:
    """List the recipients of the mails that were sent, or whose body may have begun.

    After a stop no entry is marked, so one that is settled between the two queries is in the first.
    """
    marked = select(_entry.subject_id).where(_entry.kind == EntryKind.EMAIL, _entry.marked_at.is_not(None))
    mails = select(_notification.id, _notification.recipient, _notification.status)
    mails = mails.where(_notification.batch_id == UUID(path.rpartition("/")[2]))
    async with scene.database.read() as connection:
        begun = set((await connection.execute(marked)).scalars())
        rows = (await connection.execute(mails)).all()
    return {row.recipient for row in rows if row.id in begun or row.status not in {Status.QUEUED, Status.CANCELLED}}


def _list_left(scene: Scene) -> set[str]:
    """List the recipients whose body has reached the relay."""
    return {event.recipient for event in scene.relay.log.all() if event.name is Name.BEGIN}


async def _stop(scene: Scene, client: httpx2.AsyncClient, path: str, act: str) -> set[str]:
    """Pause or cancel the merge once enough mails have left; list what had begun when this was answered."""
    before = scene.taken()

    async def are_taken() -> bool:
        return scene.taken() >= before + SENT

    async def is_confirmed() -> bool:
        reply = await client.post(f"{path}/{act}")
        assert reply.status_code in {200, 503}, reply.text  # 503: a slow host, so that it is repeated
        return reply.status_code == 200

    await poll_until(are_taken)
    await poll_until(is_confirmed)
    begun = await _list_begun(scene, path)
    assert len(begun) < ROWS
    return begun


async def _wait_until_put_off(scene: Scene) -> None:
    """Wait until no mail is due or in the hands of a sender."""
    in_hand = or_(_entry.state == EntryState.LEASED, _entry.due_at <= SystemClock().now())
    query = select(func.count()).where(_entry.kind == EntryKind.EMAIL, in_hand)

    async def are_put_off() -> bool:
        async with scene.database.read() as connection:
            return (await connection.execute(query)).scalar_one() == 0

    await poll_until(are_put_off)


async def _run_story(scene: Scene) -> None:
    """Start a merge, pause it, continue it and cancel it."""
    async with _open_client(scene) as client:
        path, _ = await merge_story.check_file(client, merge_story.build_csv(merge_story.build_rows(ROWS)))
        await merge_story.start_merge(client, path)
        begun = await _stop(scene, client, path, "pause")
        await _wait_until_put_off(scene)
        assert _list_left(scene) <= begun
        assert (await client.get(path)).json()["state"] == "paused"
        assert (await client.post(f"{path}/resume")).status_code == 200
        begun = await _stop(scene, client, path, "cancel")
        assert await final_state.settled(scene.database, SETTLE_SECONDS)
        left = _list_left(scene)
        assert left <= begun
        assert scene.taken() == len(left)
        merge = (await client.get(path)).json()
        written = merge["submitted"]["written"]
        assert merge["state"] == "cancelled"
        assert merge["submitted"]["statuses"] == {"sent": len(left), "cancelled": written - len(left)}


async def test_senders_on_postgresql(quick_scene: Scene) -> None:
    """With two senders: what leaves after the reply had begun before it, and each mail leaves once."""
    fleet = await quick_scene.begin(PACE, SETTINGS)
    await fleet.start_all("first", "second")
    await _run_story(quick_scene)


async def test_one_process_on_sqlite(sqlite_scene: Scene) -> None:
    """With `serve`, which is API and sender in one."""
    fleet = await sqlite_scene.begin(PACE, SETTINGS)
    await fleet.start_api("serve", "serve")
    await _run_story(sqlite_scene)
