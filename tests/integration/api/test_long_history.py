"""What grows with time has an end in replies: the newest tries and changes are shown, and their numbers go on."""

from datetime import timedelta
from uuid import UUID

import httpx2
from integration.api.refusal import faults
from parts import caller, marketing
from parts.installation import Installation
from sqlalchemy import insert

from notifier import wiring
from notifier.db.tables import Asset, Attempt, Event, TemplateLayout
from notifier.ids import new_id
from notifier.notification import find, timeline
from notifier.outcomes import OutcomeName, Phase
from notifier.states import AssetMode, EventKind
from notifier.templating import layout
from notifier.templating.assets import asset
from notifier.templating.assets.asset import Uploader
from notifier.templating.assets.image import Wish


async def test_the_newest_tries_and_changes_are_shown(client: httpx2.AsyncClient, parts: wiring.Base) -> None:
    """Of a thousand tries and as many changes, two hundred each."""
    path = await caller.submit(client)
    id_, now = UUID(path.rpartition("/")[2]), parts.clock.now()
    tried = {"phase": Phase.DATA, "outcome": OutcomeName.DEFERRED, "reply": "later", "duration_ms": 1, "relay": "r"}
    changed = {"kind": EventKind.CHANGED, "actor": "key:x", "detail": ""}
    count = 1_000

    def own() -> dict[str, UUID]:
        return {"id": new_id(), "notification_id": id_}

    async with parts.database.write() as connection:
        for start in range(0, count, 100):
            made = [(number, now + timedelta(seconds=number)) for number in range(start, start + 100)]
            tries = [
                own() | tried | {"entry_id": new_id(), "lease_no": number, "number": number, "started_at": at}
                for number, at in made
            ]
            await connection.execute(insert(Attempt), tries)
            await connection.execute(insert(Event), [own() | changed | {"at": at} for _, at in made])
    shown = (await client.get(path)).json()["attempts"]
    assert [one["number"] for one in shown] == list(range(count - find.MAX_ATTEMPTS_SHOWN + 1, count + 1))
    events = (await client.get(f"{path}/events")).json()["events"]
    assert sum(one["kind"] == EventKind.CHANGED for one in events) == timeline.MAX_EVENTS_SHOWN
    assert len(events) < timeline.MAX_EVENTS_SHOWN + find.MAX_ATTEMPTS_SHOWN + 5


async def _fill(parts: wiring.Base) -> None:
    """As many layouts and images as there may be."""
    now = parts.clock.now()
    layouts = [f"_layouts/filler{number}.html" for number in range(layout.MAX_LAYOUTS)]
    text = {"text": "", "revision": 1, "updated_by": "x", "updated_at": now}
    wish, by = Wish(mode=AssetMode.FIT, width=None, height=None), Uploader(actor="x", at=now)
    async with parts.database.write() as connection:
        there = len(await layout.every(connection))
        await connection.execute(insert(TemplateLayout), [{"name": name} | text for name in layouts[there:]])
        (one,) = await asset.every(connection)
        original = await asset.keep_original(connection, b"filler", now)
        row = asset.new_row(original, wish, revision=1, by=by)
        names = [f"filler{number}" for number in range(asset.MAX_ASSETS - 1)]
        assert one.name == "logo"
        await connection.execute(insert(Asset), [row | {"id": new_id(), "name": name} for name in names])


async def test_layouts_and_images_have_an_end(installation: Installation, parts: wiring.Base) -> None:
    """They are listed whole, so that there may only be so many; one that is there can still be changed."""
    image = {"name": "logo", "content": "iVBORw0KGgo=", "revision": 0}
    async with installation.client(parts, await marketing.key(parts, "shop")) as client:
        first = await client.put("/v1/layouts/first.html", json={"text": "<p>", "revision": 0})
        assert first.status_code == 200
        assert (await client.post("/v1/assets", json=image)).status_code == 202
        await _fill(parts)
        reply = await client.put("/v1/layouts/second.html", json={"text": "<p>", "revision": 0})
        assert faults(reply) == {("", "too_many")}
        reply = await client.put("/v1/layouts/first.html", json={"text": "<b>", "revision": first.json()["revision"]})
        assert reply.status_code == 200
        assert faults(await client.post("/v1/assets", json=image | {"name": "other"})) == {("/name", "too_many")}
        assert (await client.post("/v1/assets", json=image | {"revision": 1})).status_code == 202
