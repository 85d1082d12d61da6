"""Somebody who edits templates over the API, and the template that they edit."""

from typing import Any

import httpx2

from notifier import wiring
from notifier.auth import keys, scope
from notifier.auth.keys import Wish
from notifier.auth.scope import Scope

PATH = "/v1/templates/greeting"
FILES = {"subject.txt": "Hello {{ name }}", "body.html": "<p>Hello {{ name }}, your order {{ order.id }} left.</p>"}
SAMPLE = {"name": "Ada", "order": {"id": 7}}
SETTINGS = {"name": "Greeting"}


async def admin_key(parts: wiring.Base, *scopes: Scope) -> str:
    """An admin key, with all that it has unless somebody says otherwise."""
    wish = Wish(scopes=scopes or (*scope.ADMIN_SCOPES, Scope.AUDIT))
    async with parts.database.write() as connection:
        return (await keys.issue(connection, None, wish, now=parts.clock.now()))[1]


def draft(revision: str = "", **changes: Any) -> dict[str, Any]:
    """A draft to save; a name of `changes` with a dot is a file."""
    files = FILES | changes.pop("files", {})
    return {"files": files, "sample": SAMPLE, "settings": SETTINGS, "revision": revision} | changes


async def saved(client: httpx2.AsyncClient, revision: str = "", **changes: Any) -> dict[str, Any]:
    """Save it, which must succeed."""
    reply = await client.put(f"{PATH}/draft", json=draft(revision, **changes))
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def published(client: httpx2.AsyncClient, revision: str = "", note: str = "", **changes: Any) -> dict[str, Any]:
    """Save it and publish it; how the template stands then."""
    draft_ = await saved(client, revision, **changes)
    reply = await client.post(f"{PATH}/publish", json={"revision": draft_["revision"], "note": note})
    assert reply.status_code == 201, reply.text
    found: dict[str, Any] = (await client.get(PATH)).json()
    return found
