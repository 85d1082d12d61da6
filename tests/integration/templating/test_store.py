"""Published versions on both databases: numbered, immutable, pinned."""

from datetime import UTC, datetime
from typing import Any

import pytest
from parts import published
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from notifier import wiring
from notifier.db.tables import Template, TemplateVersion
from notifier.ids import new_id
from notifier.rendering.source import TemplateSettings, TemplateSource
from notifier.states import Category, Priority, WhenUncertain
from notifier.templating import store
from notifier.templating.store import Published

NOW = datetime(2026, 3, 9, 12, tzinfo=UTC)
SETTINGS = TemplateSettings(name="A", priority="high", expires_after="1h", optional=("order.note",))


def source(subject: str = "Hi", **changes: Any) -> TemplateSource:
    """A source with this subject."""
    files = {"subject.txt": subject, "body.html": "<p>é</p>", "_layouts/base.html": "b"}
    sample = {"order": {"id": "1", "note": "n"}}
    return TemplateSource(**{"files": files, "sample": sample, "settings": SETTINGS, **changes})


async def publish(parts: wiring.Base, source: TemplateSource, slug: str = "hi") -> Published:
    """Publish in a transaction of its own."""
    async with parts.database.write() as connection:
        paths = [["order", "id"]]
        return await published.publish(connection, slug, source, paths, now=NOW)


async def test_a_first_version_is_number_one(parts: wiring.Base) -> None:
    """What was published is found as the current version, with all that a submit needs."""
    made = await publish(parts, source())
    async with parts.database.read() as connection:
        found = await store.current(connection, "hi")
    assert found == made
    assert made == Published(
        id=made.id,
        template_id=made.template_id,
        slug="hi",
        number=1,
        content_hash=source().content_hash(),
        variables_schema={
            "type": "object",
            "properties": {
                "order": {
                    "type": "object",
                    "properties": {"id": {"type": "string"}, "note": {"type": "string"}},
                    "required": ["id"],
                    "additionalProperties": False,
                }
            },
            "required": ["order"],
            "additionalProperties": False,
        },
        subject_variables=[["order", "id"]],
        category=Category.TRANSACTIONAL,
        priority=Priority.HIGH,
        expires_after=3600,
        when_uncertain=WhenUncertain.RESEND,
        sender=None,
        reply_to=None,
        published_at=NOW,
    )


async def test_versions_are_numbered_and_stay(parts: wiring.Base) -> None:
    """Each publish makes the next number current; the older versions are still there, unchanged."""
    first, second = await publish(parts, source("one")), await publish(parts, source("two"))
    async with parts.database.read() as connection:
        assert await store.current(connection, "hi") == second
        assert await store.numbered(connection, "hi", 1) == first
        assert await store.numbered(connection, "hi", 2) == second
        assert await store.numbered(connection, "hi", 3) is None
        assert await store.numbered(connection, "gone", 1) is None
        assert await store.current(connection, "gone") is None
    assert (first.number, second.number) == (1, 2)


async def test_the_number_after_going_back_is_new(parts: wiring.Base) -> None:
    """A number is never used twice, even when an older version was made current again."""
    for text in ("one", "two"):
        await publish(parts, source(text))
    table = Template.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it
    async with parts.database.write() as connection:
        await connection.execute(table.update().where(table.c.slug == "hi").values(current_number=1))
    assert (await publish(parts, source("three"))).number == 3


async def test_the_source_is_pinned_with_its_version(parts: wiring.Base) -> None:
    """Each version gives back just the source that it was published with, layouts and sample included."""
    one, two = source("one"), source("two", settings=TemplateSettings(name="B"))
    first, second = await publish(parts, one), await publish(parts, two)
    async with parts.database.read() as connection:
        found = await store.sources(connection, [first.id, second.id, new_id()])
    assert found == {first.id: one, second.id: two}
    assert found[first.id].content_hash() == first.content_hash


async def test_a_number_cannot_be_taken_twice(parts: wiring.Base) -> None:
    """The database itself refuses a second version of the same number."""
    first = await publish(parts, source())
    table = TemplateVersion.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it
    async with parts.database.read() as connection:
        row = (await connection.execute(select(table).where(table.c.id == first.id))).mappings().one()
    with pytest.raises(IntegrityError):
        async with parts.database.write() as connection:
            await connection.execute(table.insert().values({**row, "id": new_id()}))


async def test_all_current_versions_by_slug(parts: wiring.Base) -> None:
    """Each template is listed once, with its current version, in alphabetical order."""
    await publish(parts, source("one"))
    await publish(parts, source("two"))
    await publish(parts, source(), slug="aa")
    async with parts.database.read() as connection:
        found = [(one.slug, one.number) for one in await store.all_current(connection)]
    assert found == [
        ("aa", 1), ("daily_report", 1), ("hi", 2), ("newsletter", 1), ("order_shipped", 1), ("password_reset", 1),
        ("welcome", 1),
    ]  # fmt: skip


async def test_a_publish_that_is_rolled_back_leaves_nothing(parts: wiring.Base) -> None:
    """The caller owns the transaction: without its commit there is no version."""

    async def fail() -> None:
        async with parts.database.write() as connection:
            await published.publish(connection, "hi", source(), now=NOW)
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    async with parts.database.read() as connection:
        assert await store.current(connection, "hi") is None
        assert await store.numbered(connection, "hi", 1) is None
