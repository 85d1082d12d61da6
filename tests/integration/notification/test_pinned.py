"""Whatever is edited, published or deleted between submit and send, the mail is that of its pinned version.

Each mail is previewed after its submit, then templates and layouts are changed at random, and then it is sent.
"""

import contextlib
import random
from pathlib import Path

import httpx2
import pytest
from chaos.size import size
from msgspec.structs import replace
from sqlalchemy import update
from support import api_caller, published_template
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import Installation

from notifier.audit import Actor
from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import KeyScope
from notifier.clock import SystemClock
from notifier.db.tables import Template, get_columns
from notifier.errors import NotFoundError
from notifier.runtime import wiring
from notifier.template_language.template_source import TemplateSource
from notifier.templating import draft_store, layout_store
from notifier.templating.layout_store import LayoutInUseError
from notifier.templating.sync import template_files

ROOT = Path("templates")
SLUGS = ("welcome", "order_shipped", "password_reset")
MAILS = size(8, 200)
_template = get_columns(Template)


def changed(source: TemplateSource, word: str) -> TemplateSource:
    """Return the source with one more word in each part and in its layouts."""
    marked = {name: text.replace("</p>", f" {word}</p>", 1) for name, text in source.files.items()}
    marked["subject.txt"] = f"{word} {source.files['subject.txt']}"
    return replace(source, files=marked)


class Editors:
    """People who change templates, one change at a time."""

    def __init__(self, parts: wiring.ProcessParts, chance: random.Random) -> None:
        self._parts = parts
        self._chance = chance
        self._deeds = (self._save, self._publish, self._delete, self._change_layout, self._take_layout_away)

    async def do_something(self) -> None:
        """Make one random change."""
        await self._chance.choice(self._deeds)(self._chance.choice(SLUGS))

    def _source(self, slug: str) -> TemplateSource:
        return changed(template_files.read_template(ROOT, slug), f"W{self._chance.randrange(10**6)}")

    async def _save(self, slug: str) -> None:
        async with self._parts.database.write() as connection:
            revision = (await draft_store.get_draft(connection, slug)).revision
            await draft_store.save_draft(connection, slug, self._source(slug), revision=revision, actor=_staff())

    async def _publish(self, slug: str) -> None:
        async with self._parts.database.write() as connection:
            await published_template.publish_template(connection, slug, self._source(slug))

    async def _delete(self, slug: str) -> None:
        async with self._parts.database.write() as connection:
            gone = update(Template).where(_template.slug == slug).values(deleted_at=SystemClock().now())
            await connection.execute(gone)

    async def _change_layout(self, _: str) -> None:
        async with self._parts.database.write() as connection:
            layout = await layout_store.get_layout(connection, "_layouts/base.html")
            text, revision = f"<p>{self._chance.random()}</p>", layout.revision if layout else 0
            await layout_store.save_layout(connection, "_layouts/base.html", text, revision=revision, actor=_staff())

    async def _take_layout_away(self, _: str) -> None:
        with contextlib.suppress(NotFoundError, LayoutInUseError):
            async with self._parts.database.write() as connection:
                layout = await layout_store.get_layout(connection, "_layouts/base.html")
                revision = layout.revision if layout else 0
                await layout_store.delete_layout(connection, "_layouts/base.html", revision=revision, actor=_staff())


def _staff() -> Actor:
    return Actor(name="staff:1", at=SystemClock().now())


async def _revive(parts: wiring.ProcessParts) -> None:
    """Restore the deleted templates so that the next mails are accepted."""
    async with parts.database.write() as connection:
        await connection.execute(update(Template).values(deleted_at=None))


@pytest.mark.parametrize("seed", range(size(1, 10)))
async def test_the_mail_is_that_of_its_version(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay, seed: int
) -> None:
    """The bytes at the relay are those that the preview showed right after the submit."""
    chance = random.Random(seed)
    editors = Editors(parts, chance)
    async with parts.database.write() as connection:
        shop = await service_admin.find_service(connection, "shop")
        scopes = [KeyScope.SEND, KeyScope.READ, KeyScope.CONTENT]
        key = await key_admin.create_live_key(connection, shop, scopes=scopes, now=SystemClock().now())
    content: dict[str, bytes] = {}
    async with installation.open_client(parts, key) as client:
        for number in range(MAILS):
            path = await _submitted(client, chance.choice(SLUGS), f"p{number}@example.com")
            content[path] = (await client.get(f"{path}/content", params={"format": "eml"})).content
            await editors.do_something()
            await _revive(parts)
        for _ in range(MAILS):
            await editors.do_something()
        async with wiring.run_sender(parts):
            await relay.wait_for(MAILS)
            for path in content:
                await api_caller.wait_for_status(client, path, "sent")
        arrived = {mail.recipient: mail.data for mail in relay.received}
        for number, (path, source) in enumerate(content.items()):
            assert arrived[f"p{number}@example.com"] == source
            assert (await client.get(f"{path}/content")).json()["identical"] is True


async def _submitted(client: httpx2.AsyncClient, slug: str, to: str) -> str:
    sample = template_files.read_template(ROOT, slug).sample
    return await api_caller.submit_mail(client, to, template=slug, variables=sample, locale="fr")
