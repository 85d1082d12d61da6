"""Replies show a bounded number of attempts and changes, the newest ones, with their numbers."""

from datetime import timedelta
from uuid import UUID

import httpx2
from sqlalchemy import insert
from support import api_caller

from notifier.db.tables import Attempt, NotificationEvent
from notifier.ids import generate_id
from notifier.lookup import notification_view
from notifier.outcomes import OutcomeName, SmtpPhase
from notifier.runtime import wiring
from notifier.states import EventKind


async def test_the_newest_tries_and_changes_are_shown(client: httpx2.AsyncClient, parts: wiring.ProcessParts) -> None:
    """Of a thousand attempts and a thousand changes, the newest two hundred of each are shown."""
    path = await api_caller.submit_mail(client)
    id_, now = UUID(path.rpartition("/")[2]), parts.clock.now()
    tried = {"phase": SmtpPhase.DATA, "outcome": OutcomeName.DEFERRED, "reply": "later", "duration_ms": 1, "relay": "r"}
    changed = {"kind": EventKind.CHANGED, "actor": "key:x", "detail": ""}
    count = 1_000

    def own() -> dict[str, UUID]:
        return {"id": generate_id(), "notification_id": id_}

    async with parts.database.write() as connection:
        for start in range(0, count, 100):
            made = [(number, now + timedelta(seconds=number)) for number in range(start, start + 100)]
            tries = [
                own() | tried | {"entry_id": generate_id(), "lease_no": number, "number": number, "started_at": at}
                for number, at in made
            ]
            await connection.execute(insert(Attempt), tries)
            await connection.execute(insert(NotificationEvent), [own() | changed | {"at": at} for _, at in made])
    attempts = (await client.get(path)).json()["attempts"]
    assert [item["number"] for item in attempts] == list(
        range(count - notification_view.MAX_ATTEMPTS_SHOWN + 1, count + 1)
    )
    events = (await client.get(f"{path}/events")).json()["events"]
    assert sum(item["kind"] == EventKind.CHANGED for item in events) == notification_view.MAX_EVENTS_SHOWN
    assert len(events) < notification_view.MAX_EVENTS_SHOWN + notification_view.MAX_ATTEMPTS_SHOWN + 5
