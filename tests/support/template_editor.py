"""An editor of templates over the API, and their template."""

from typing import Any

import httpx2

from notifier.auth import key_admin
from notifier.auth.authenticated_key import ADMIN_SCOPES, KeyScope
from notifier.auth.key_admin import NewKey
from notifier.runtime import wiring

PATH = "/v1/templates/greeting"
FILES = {"subject.txt": "Hello {{ name }}", "body.html": "<p>Hello {{ name }}, your order {{ order.id }} left.</p>"}
SAMPLE = {"name": "Ada", "order": {"id": 7}}
SETTINGS = {"name": "Greeting"}


async def create_admin_key(parts: wiring.ProcessParts, *scopes: KeyScope) -> str:
    """Create an admin key, with all scopes by default."""
    wish = NewKey(scopes=scopes or (*ADMIN_SCOPES, KeyScope.AUDIT))
    async with parts.database.write() as connection:
        return (await key_admin.insert_key(connection, None, wish, now=parts.clock.now()))[1]


def build_draft(revision: str = "", **changes: Any) -> dict[str, Any]:
    """Build a draft to save; a name in `changes` with a dot is a file."""
    files = FILES | changes.pop("files", {})
    return {"files": files, "sample": SAMPLE, "settings": SETTINGS, "revision": revision} | changes


async def save_draft(client: httpx2.AsyncClient, revision: str = "", **changes: Any) -> dict[str, Any]:
    """Save the draft, which must succeed."""
    reply = await client.put(f"{PATH}/draft", json=build_draft(revision, **changes))
    assert reply.status_code == 200, reply.text
    saved: dict[str, Any] = reply.json()
    return saved


async def publish_draft(
    client: httpx2.AsyncClient, revision: str = "", note: str = "", **changes: Any
) -> dict[str, Any]:
    """Save and publish the draft; return the template."""
    draft_ = await save_draft(client, revision, **changes)
    reply = await client.post(f"{PATH}/publish", json={"revision": draft_["revision"], "note": note})
    assert reply.status_code == 201, reply.text
    template: dict[str, Any] = (await client.get(PATH)).json()
    return template
